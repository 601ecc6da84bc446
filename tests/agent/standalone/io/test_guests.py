"""Guests of a node whose managers come and go: no address has two holders, and none is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import grpc
import pytest
import structlog
from grpc.aio import AioRpcError, Metadata, UsageError
from msgspec.structs import replace

from agent.attachments import Connection
from agent.dns.asking import Asker
from agent.standalone.io import guests as module
from agent.standalone.io.guests import Guests
from agent.standalone.record import Record
from agent.topology import Table
from swarm.api.v1.dispatch_pb2 import (
    AttachGuestRequest,
    AttachGuestResponse,
    ReleaseGuestRequest,
    ReleaseGuestResponse,
)
from swarm.errors import Missing, Refused, Unavailable
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.images.config import ImageConfig
from swarm.objects import Attachment
from swarm.specs import ContainerSpec
from swarm.standalone import ContainerNetwork, StandaloneSpec
from swarm.topology import Endpoint, Topology

HERE, MESH = NodeId("n1"), NetworkId("mesh-id")
ONE = Record(
    id="a" * 64,
    spec=StandaloneSpec(name="one", container=ContainerSpec(image="i")),
    image_id="sha256:1",
    image=ImageConfig(),
    created_at=1.0,
)
ID = TaskId(ONE.id)
ASKED = ContainerNetwork(network="mesh", aliases=("www",))
GIVEN = Attachment(network_id=MESH, addresses=("10.0.0.2",), aliases=("www",))
STAY = (ID, MESH)


class Swarm:
    """The managers, their topology, and a session with one of them."""

    def __init__(self) -> None:
        self.table = Table()
        self.held: dict[tuple[TaskId, NetworkId], str] = {}
        self.asked = list[AttachGuestRequest]()
        self.is_there = True
        self.tells = True
        self.failures: Sequence[BaseException] = ()
        self.gate = asyncio.Event()
        self.gate.set()
        self.known: dict[TaskId, Connection] = {}
        self._news = asyncio.Event()
        self.guests = Guests(
            self.table,
            self,  # type: ignore[arg-type]
            node_id=HERE,
            dispatcher=lambda: self if self.is_there else None,  # type: ignore[arg-type,return-value]
            log=structlog.get_logger(),
        )

    async def AttachGuest(
        self, request: AttachGuestRequest, *, timeout: float
    ) -> AttachGuestResponse:
        assert timeout > 0
        self.asked.append(request)
        await self._fail()
        stay = (TaskId(request.container_id), MESH)
        self.held[stay] = request.addresses[0] if request.addresses else "10.0.0.2"
        if self.tells:
            self.tell()
        return AttachGuestResponse(network_id=MESH, addresses=[self.held[stay]])

    async def ReleaseGuest(
        self, request: ReleaseGuestRequest, *, timeout: float
    ) -> ReleaseGuestResponse:
        assert timeout > 0
        await self.gate.wait()
        await self._fail()
        self.held.pop((TaskId(request.container_id), NetworkId(request.network_id)), None)
        self.tell()
        return ReleaseGuestResponse()

    async def _fail(self) -> None:
        if self.failures:
            first, *self.failures = self.failures
            raise first

    def tell(self) -> None:
        """The node hears who is where."""
        there = tuple(
            Endpoint(
                network_id=network_id,
                task_id=task_id,
                task_name="one",
                node_id=HERE,
                addresses=(address,),
                is_serving=True,
            )
            for (task_id, network_id), address in self.held.items()
        )
        self.table.take(Topology(is_complete=True, endpoints=there))
        self._news.set()
        self._news = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await self._news.wait()

    def connection(self, task_id: TaskId) -> Connection | None:
        return self.known.get(task_id)

    def runs(self) -> None:
        """The container runs, connected."""
        asker = Asker(task_id=ID, networks=(MESH,), hostname="one", servers=())
        self.known[ID] = Connection(
            attachments=(GIVEN,), asker=asker, is_standalone=True, name="one"
        )


def within(story: Callable[[Swarm], Awaitable[None]]) -> None:
    async def run() -> None:
        swarm = Swarm()
        releasing = asyncio.create_task(swarm.guests.run())
        try:
            async with asyncio.timeout(30):
                await story(swarm)
            assert not releasing.done()
        finally:
            releasing.cancel()

    asyncio.run(run())


async def until(done: Callable[[], bool]) -> None:
    while not done():
        await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    monkeypatch.setattr(module, "AGAIN_S", 0.02)


def cut() -> AioRpcError:
    return AioRpcError(grpc.StatusCode.UNAVAILABLE, Metadata(), Metadata(), "socket closed")


def test_a_place_is_given_once_the_node_has_heard_of_it_and_goes_with_the_container() -> None:
    async def story(swarm: Swarm) -> None:
        swarm.tells = False
        coming = asyncio.create_task(swarm.guests.attach(ONE, ASKED))
        await until(lambda: bool(swarm.held))
        await asyncio.sleep(0.1)
        assert not coming.done(), "what is not known here is not released either"
        assert swarm.held
        swarm.tell()
        assert await coming == GIVEN

        swarm.guests.leave(ID)
        await until(lambda: not swarm.held)

    within(story)


@pytest.mark.parametrize("how", [cut(), UsageError("Channel is closed."), asyncio.CancelledError()])
def test_a_manager_that_goes_away_is_asked_again_and_so_is_the_next(how: BaseException) -> None:
    async def story(swarm: Swarm) -> None:
        swarm.failures = [how, how]
        assert await swarm.guests.attach(ONE, ASKED) == GIVEN
        assert len(swarm.asked) == 3

        swarm.failures = [how]
        swarm.guests.leave(ID)
        await until(lambda: not swarm.held)

    within(story)


def test_a_session_that_is_about_to_begin_is_waited_for() -> None:
    async def story(swarm: Swarm) -> None:
        swarm.is_there = False
        coming = asyncio.create_task(swarm.guests.attach(ONE, ASKED))
        await asyncio.sleep(0.05)
        swarm.is_there = True
        assert await coming == GIVEN

    within(story)


def test_without_managers_the_reason_is_said_and_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "ASKED_WITHIN_S", 0.2)

    async def story(swarm: Swarm) -> None:
        swarm.is_there = False
        with pytest.raises(Unavailable, match="network mesh: no manager of the swarm answers"):
            await swarm.guests.attach(ONE, ASKED)
        swarm.is_there = True
        swarm.held[STAY] = "10.0.0.2"  # it was heard all the same
        swarm.tell()
        await until(lambda: not swarm.held)

    within(story)


def test_a_refusal_names_the_network_and_is_not_asked_again() -> None:
    async def story(swarm: Swarm) -> None:
        refusal = AioRpcError(
            grpc.StatusCode.FAILED_PRECONDITION, Metadata(), Metadata(), "it is full"
        )
        swarm.failures = [refusal]
        with pytest.raises(Refused, match="could not attach to network mesh: it is full"):
            await swarm.guests.attach(ONE, ASKED)
        assert len(swarm.asked) == 1

    within(story)


def test_who_is_in_no_swarm_knows_of_no_such_network() -> None:
    async def story() -> None:
        swarm = Swarm()
        alone = Guests(
            swarm.table,
            swarm,  # type: ignore[arg-type]
            node_id=NodeId(""),
            dispatcher=lambda: None,
            log=structlog.get_logger(),
        )
        with pytest.raises(Missing, match="network mesh not found"):
            await alone.attach(ONE, ASKED)

    asyncio.run(story())


def test_what_is_not_told_in_time_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARD_WITHIN_S", 0.05)

    async def story(swarm: Swarm) -> None:
        swarm.tells = False
        with pytest.raises(Unavailable, match="did not tell of it in time"):
            await swarm.guests.attach(ONE, ASKED)
        await until(lambda: not swarm.held)

        swarm.tells = True
        await swarm.guests.attach(ONE, ASKED)
        swarm.tells = False
        swarm.held[STAY] = "10.0.0.3"
        swarm.tell()
        renamed = replace(ONE, spec=replace(ONE.spec, name="two"))
        with pytest.raises(Unavailable):
            await swarm.guests.attach(renamed, ContainerNetwork(network="mesh"))
        await asyncio.sleep(0.1)
        assert swarm.held, "one that is there already stays"

    within(story)


def test_whoever_gives_up_waiting_leaves_nothing_behind() -> None:
    async def story(swarm: Swarm) -> None:
        swarm.tells = False
        coming = asyncio.create_task(swarm.guests.attach(ONE, ASKED))
        await until(lambda: bool(swarm.held))
        coming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await coming
        await until(lambda: not swarm.held)

    within(story)


def test_what_an_earlier_run_gives_back_is_not_taken_from_the_next() -> None:
    """Its release is on its way while the container starts again."""

    async def story(swarm: Swarm) -> None:
        await swarm.guests.attach(ONE, ASKED)
        swarm.gate.clear()
        swarm.guests.leave(ID)
        await asyncio.sleep(0.05)
        coming = asyncio.create_task(swarm.guests.attach(ONE, ASKED))
        await asyncio.sleep(0.05)
        assert len(swarm.asked) == 1
        swarm.gate.set()
        await coming
        await asyncio.sleep(0.1)
        assert swarm.held

    within(story)


def test_what_managers_forgot_is_asked_for_again_at_its_address() -> None:
    async def story(swarm: Swarm) -> None:
        swarm.runs()
        swarm.guests.adopt(swarm.known.values())
        await until(lambda: bool(swarm.held))
        assert swarm.asked[0] == AttachGuestRequest(
            container_id=ID, name="one", network=MESH, aliases=["www"], addresses=["10.0.0.2"]
        )
        await asyncio.sleep(0.1)
        assert len(swarm.asked) == 1

    within(story)


def test_what_managers_do_not_let_in_again_is_asked_for_once() -> None:
    async def story(swarm: Swarm) -> None:
        swarm.runs()
        swarm.failures = [
            AioRpcError(grpc.StatusCode.NOT_FOUND, Metadata(), Metadata(), "no such network")
        ]
        swarm.guests.adopt(swarm.known.values())
        await until(lambda: bool(swarm.asked))
        await asyncio.sleep(0.1)
        assert len(swarm.asked) == 1

    within(story)
