"""Connections over pretended networks: what waits for what, and what the next agent knows."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from agent.assignments import Wanted
from agent.attachments import Connection, connection
from agent.dns.asking import Asker
from agent.io import connections as module
from agent.io.connections import LEAVES_S, Connections, remembered
from agent.io.crew import Crew
from agent.network.io.networks import Running
from agent.topology import Changes, Table
from swarm.errors import KernelRefused, Refused
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Attachment, Task
from swarm.specs import BRIDGE, Port, PublishMode, TaskSpec
from swarm.topology import Endpoint, Topology
from tests.networks import attached

ID = TaskId("t1")
NET = Attachment(network_id=NetworkId("n1"), addresses=("10.0.1.5",))
LOCAL = Attachment(network_id=NetworkId("a" * 64), addresses=("172.18.0.2",))
ASKED = Port(target=80, mode=PublishMode.HOST)
GIVEN = Port(target=80, published=33000, mode=PublishMode.HOST)


class FakeNetworks:
    """Writes down what it is told, in order; `refusal` is the answer to the next of it."""

    def __init__(self) -> None:
        self.begun: list[object] = []
        self.held: object = None  # what waits at the gate, or everything
        self.done: list[object] = []
        self.applied: list[Changes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Exception | None = None

    async def apply(self, changes: Changes) -> None:
        self.applied.append(changes)
        await self._do(("apply", changes.data_path_port))

    async def attach(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        await self._do(("attach", task_id))
        return (GIVEN,) if connection.ports else ()

    async def apply_local(self, changes: Changes) -> None:
        await self._do(("apply here", len(changes.put), len(changes.gone)))

    async def amend(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        await self._do(("amend", task_id, *(each.network_id for each in connection.attachments)))
        return connection.ports

    async def detach(self, task_id: TaskId) -> None:
        await self._do(("detach", task_id))

    async def reconcile(
        self, running: Mapping[TaskId, Running] | None = None, *, is_all: bool = True
    ) -> None:
        what = "look" if running is None else ("take over", *sorted(running))
        await self._do(what if is_all else ("here", what))

    async def _do(self, what: object) -> None:
        self.begun.append(what)
        if self.held in (None, what):
            await self.gate.wait()
        self.done.append(what)
        if (refusal := self.refusal) is not None:
            self.refusal = None
            raise refusal


class FakeBridge:
    """Lends one address after the other."""

    def __init__(self) -> None:
        self.lent: dict[TaskId, Attachment] = {}

    def lend(self, task_id: TaskId) -> Attachment:
        address = f"172.17.0.{len(self.lent) + 2}"
        found = Attachment(network_id=NetworkId(BRIDGE), addresses=(address,))
        return self.lent.setdefault(task_id, found)

    def keep(self, task_id: TaskId, attachment: Attachment) -> None:
        self.lent[task_id] = attachment

    def give_back(self, task_id: TaskId) -> None:
        self.lent.pop(task_id, None)


class World:
    """Connections of one agent, over what an earlier one left in the directory."""

    def __init__(self, directory: Path) -> None:
        self.networks, self.bridge, self.table = FakeNetworks(), FakeBridge(), Table()
        self.crew, self.delays = Crew(), list[float]()
        self.directory = directory / "connections"
        self.connections = Connections(
            self.directory,
            networks=self.networks,
            bridge=self.bridge,
            table=self.table,
            observe=self.delays.append,
            log=structlog.get_logger(),
        )

    def start(self, pids: dict[TaskId, int] | None = None) -> None:
        self.connections.adopt(remembered(self.directory), pids or {})
        self.crew.spawn(self.connections.run())

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not done():
                await asyncio.sleep(0.001)


def within(base: Path, *stories: Callable[[World], Awaitable[None]]) -> None:
    """Each story with an agent of its own, one after the other."""

    async def run() -> None:
        for story in stories:
            world = World(base)
            try:
                await story(world)
                assert not world.crew.crashed.done()
            finally:
                await world.crew.close()

    asyncio.run(run())


def wanted(*targets: str, attachments: tuple[Attachment, ...] = ()) -> Wanted:
    task = Task(id=ID, service_id=ServiceId("s1"), attachments=attachments)
    return Wanted(task=task, spec=TaskSpec(networks=attached(*targets)), revision=1, ports=(ASKED,))


def standalone(container_id: TaskId) -> Connection:
    """A container that is no task, in the node's bridge."""
    bridged = Attachment(network_id=NetworkId(BRIDGE), addresses=("172.17.0.9",))
    return Connection(attachments=(bridged,), asker=Asker(task_id=container_id), is_standalone=True)


def tasks(task_id: TaskId) -> Connection:
    return replace(standalone(task_id), is_standalone=False)


async def connect(world: World, task: Wanted) -> tuple[Port, ...]:
    lent = world.connections.lend(task)
    return await world.connections.attach(ID, 5, connection(task, lent, "web"))


def test_nothing_is_done_before_a_manager_has_said_what_should_be(tmp_path: Path) -> None:
    """An agent starts over running containers; its manager is not there at once.

    1. It knows the containers, and does nothing: it does not know yet what belongs there.
    2. The manager says all, and a new task comes with it.
    3. First the topology is known, then the kernel is compared, then the new one is connected.
    """

    async def story(world: World) -> None:
        world.start()
        world.connections.follow(Changes(data_path_port=1))
        attaching = world.crew.spawn(_quietly(connect(world, wanted("n1", attachments=(NET,)))))
        for _ in range(20):
            await asyncio.sleep(0)
        assert world.networks.done == []

        world.connections.settled(())
        await attaching

        assert world.networks.done == [("apply", 1), ("take over",), ("attach", ID)]

    within(tmp_path, story)


def test_a_container_is_connected_after_the_topology_that_came_with_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.settled(())
        await world.until(lambda: ("take over",) in world.networks.done)
        world.networks.gate.clear()
        world.connections.follow(Changes(data_path_port=7))
        for _ in range(3):
            await asyncio.sleep(0)
        attaching = asyncio.ensure_future(connect(world, wanted("n1", attachments=(NET,))))
        world.connections.follow(Changes(data_path_port=8))
        world.connections.follow(Changes(data_path_port=9))

        world.networks.gate.set()
        assert await attaching == (GIVEN,)
        await world.until(lambda: ("apply", 9) in world.networks.done)

        assert world.networks.done.index(("apply", 7)) < world.networks.done.index(("attach", ID))
        assert ("apply", 8) not in world.networks.done, "it was joined with what came after it"
        assert len(world.delays) == 2

    within(tmp_path, story)


def test_the_next_agent_knows_addresses_and_ports_of_what_runs(tmp_path: Path) -> None:
    async def first(world: World) -> None:
        world.start()
        world.connections.settled(())
        await connect(world, wanted())

    async def second(world: World) -> None:
        assert remembered(world.directory)[ID].ports == (GIVEN,)
        world.start({ID: 42})
        assert world.bridge.lent[ID].addresses == ("172.17.0.2",)

        world.connections.settled({ID})
        await world.until(lambda: len(world.networks.done) == 3)

        taken = ("take over", ID)
        assert world.networks.done == [("here", taken), ("apply", 0), taken]

    within(tmp_path, first, second)


def test_the_nodes_own_networks_wait_for_no_manager(tmp_path: Path) -> None:
    """An agent starts over a task and a container that is none; no manager is there.

    1. The networks of this node are looked at, and a container is connected to one.
    2. A task waits all the same, even in the node's bridge: a manager may not want it.
    3. The manager comes and does not know the old task: that one is let go of, this one stays.
    """
    own, other = TaskId("c1"), TaskId("c2")

    async def first(world: World) -> None:
        world.start()
        world.connections.settled(())
        await connect(world, wanted())
        await world.connections.attach(own, 5, standalone(own))

    async def second(world: World) -> None:
        world.start({ID: 42, own: 43})
        await world.connections.attach(other, 5, standalone(other))
        assert world.networks.done == [("here", ("take over", own, ID)), ("attach", other)]
        waiting = asyncio.ensure_future(world.connections.attach(TaskId("t2"), 5, tasks(ID)))
        for _ in range(20):
            await asyncio.sleep(0)
        assert len(world.networks.done) == 2

        world.connections.settled(())
        await waiting
        await world.connections.release(own)

        assert world.networks.done[2:] == [
            ("apply", 0), ("detach", ID), ("take over", own), ("attach", "t2"), ("detach", own),
        ]  # fmt: skip
        assert not (world.directory / ID).exists()
        assert (world.directory / other).exists()

    within(tmp_path, first, second)


def test_one_that_ends_while_it_is_taken_over_is_let_go_of_after(tmp_path: Path) -> None:
    """Else its ports would be given to it again once it is gone, and be nobody's to take back."""
    own = TaskId("c1")

    async def first(world: World) -> None:
        world.start()
        world.connections.settled(())
        await world.connections.attach(own, 5, standalone(own))

    async def second(world: World) -> None:
        world.networks.held = ("take over", own)
        world.networks.gate.clear()
        world.start({own: 43})
        world.connections.settled(())
        await world.until(lambda: ("apply", 0) in world.networks.done)
        releasing = asyncio.ensure_future(world.connections.release(own))
        await world.until(lambda: ("take over", own) in world.networks.begun)
        for _ in range(20):
            await asyncio.sleep(0)
        assert ("detach", own) not in world.networks.begun
        world.networks.gate.set()
        await releasing

        assert world.networks.done[2:] == [("take over", own), ("detach", own)]

    within(tmp_path, first, second)


def test_a_container_that_runs_is_moved_to_other_networks(tmp_path: Path) -> None:
    own = TaskId("c1")

    async def story(world: World) -> None:
        world.start()
        await world.connections.attach(own, 5, standalone(own))

        moved = replace(standalone(own), attachments=(LOCAL,))
        await world.connections.move(own, os.getpid(), moved)

        assert world.networks.done == [("attach", own), ("amend", own, LOCAL.network_id)]
        assert remembered(world.directory)[own] == moved
        assert world.connections.connection(own) == moved

    within(tmp_path, story)


def test_what_ended_while_nobody_looked_is_forgotten(tmp_path: Path) -> None:
    """One container ended while no agent was there, another before the manager spoke."""

    async def first(world: World) -> None:
        world.start()
        world.connections.settled(())
        await connect(world, wanted())

    async def absent(world: World) -> None:
        world.start()
        assert list((tmp_path / "connections").iterdir()) == []

    async def ended(world: World) -> None:
        world.start({ID: 42})
        world.connections.settled(())
        await world.until(lambda: len(world.networks.done) == 2)
        assert world.networks.done == [("apply", 0), ("take over",)]
        assert world.bridge.lent == {}
        assert list((tmp_path / "connections").iterdir()) == []

    within(tmp_path, first, ended)
    within(tmp_path, first, absent)


def test_an_end_lets_go_of_everything_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.settled(())
        await connect(world, wanted())
        assert world.bridge.lent

        await world.connections.release(ID)
        await world.connections.release(ID)

        assert world.networks.done.count(("detach", ID)) == 1
        assert world.bridge.lent == {}
        assert list((tmp_path / "connections").iterdir()) == []

    within(tmp_path, story)


def test_a_container_that_never_started_gives_its_address_back(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.lend(wanted())

        await world.connections.release(ID)

        assert world.bridge.lent == {}
        assert world.networks.done == []

    within(tmp_path, story)


def test_a_refusal_is_the_starts_and_leaves_no_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.settled(())
        await world.until(lambda: ("take over",) in world.networks.done)
        world.networks.refusal = Refused("port 80 is taken")

        with pytest.raises(Refused, match="port 80 is taken"):
            await connect(world, wanted("n1", attachments=(NET,)))
        await world.connections.release(ID)

        assert world.networks.done[-1] == ("detach", ID)
        assert list((tmp_path / "connections").iterdir()) == []

    within(tmp_path, story)


def test_a_container_is_put_into_another_network_and_the_next_agent_knows(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.settled(())
        await connect(world, wanted())

        await world.connections.amend(wanted(attachments=(NET,)), os.getpid())
        await world.connections.amend(wanted(attachments=(NET,)), os.getpid())

        assert world.networks.done[-1] == ("amend", ID, BRIDGE, NET.network_id)
        assert world.networks.done.count(world.networks.done[-1]) == 1
        assert remembered(world.directory)[ID].attachments[1] == NET
        await world.connections.amend(wanted(), os.getpid())
        assert world.networks.done[-1] == ("amend", ID, BRIDGE)

    within(tmp_path, story)


def test_a_change_that_fails_calls_for_a_look_at_once(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()
        world.connections.settled(())
        await world.until(lambda: ("take over",) in world.networks.done)
        world.networks.refusal = KernelRefused("route", 16, "busy")

        world.connections.follow(Changes(data_path_port=1))
        await world.until(lambda: "look" in world.networks.done)
        world.connections.follow(Changes(data_path_port=2))
        await world.until(lambda: ("apply", 2) in world.networks.done)

        assert world.networks.done[2:] == [("apply", 1), "look", ("apply", 2)]

    within(tmp_path, story)


def test_the_kernel_is_looked_at_now_and_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        monkeypatch.setattr(module, "MEND_S", 0.01)
        world.start()
        world.connections.settled(())

        await world.until(lambda: world.networks.done.count("look") == 2)

    within(tmp_path, story)


def test_only_a_task_with_others_beside_it_waits_before_it_is_signalled(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        other = TaskId("t2")
        assert world.connections.leaving_s(ID) == 0.0
        endpoints = tuple(
            Endpoint(network_id=NET.network_id, task_id=each, is_serving=each == other)
            for each in (ID, other)
        )

        world.table.take(Topology(is_complete=True, endpoints=endpoints))

        assert world.connections.leaving_s(ID) == LEAVES_S
        assert world.connections.leaving_s(other) == 0.0

    within(tmp_path, story)


def test_a_record_that_cannot_be_read_is_no_record(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (tmp_path / "connections").mkdir()
        (tmp_path / "connections" / ID).write_bytes(b"{half")

        world.start({ID: 42})

        assert remembered(world.directory) == {}
        assert world.bridge.lent == {}

    within(tmp_path, story)


async def _quietly(work: Awaitable[object]) -> None:
    await work


def test_leaving_takes_what_is_the_swarms_and_keeps_the_rest(tmp_path: Path) -> None:
    """A container that is no task's stays connected; the next agent finds it, and it alone."""
    kept = TaskId("k" * 64)

    async def story(world: World) -> None:
        endpoint = Endpoint(network_id=NET.network_id, task_id=ID)
        told = world.table.take(Topology(endpoints=(endpoint,), is_complete=True))
        world.connections.follow(told)
        world.start()
        world.connections.settled(())
        await connect(world, wanted(attachments=(NET,)))
        own = connection(wanted(BRIDGE), (world.bridge.lend(kept),), "own")
        await world.connections.attach(kept, 6, own)

        await world.connections.leave({kept})

        assert world.networks.done[-2:] == [("detach", ID), ("apply", 0)]
        assert world.networks.applied[-1].gone == (endpoint,)
        assert remembered(world.directory).keys() == {kept}
        assert world.bridge.lent.keys() == {kept}

    within(tmp_path, story)


def test_an_agent_that_heard_no_manager_leaves_without_touching_anything(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.start()

        await world.connections.leave(())

        assert world.networks.done == []

    within(tmp_path, story)
