"""Effects on a pretended runtime: what is told, what is bounded, what is never left hanging."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import structlog

from agent.assignments import Wanted
from agent.attachments import Connection
from agent.containers import Node
from agent.contents import Files
from agent.effects import Abandon, Connect, Delete, Kill, Leave, Prepare, Route, Signal, Start, Wait
from agent.events import (
    Abandoned,
    Delayed,
    Event,
    GraceExpired,
    Left,
    Prepared,
    PrepareFailed,
    Started,
    StartFailed,
)
from agent.images.image import RootFs
from agent.io.contents import Contents
from agent.io.crew import Crew
from agent.io.executor import STARTS_AT_ONCE, Executor
from agent.io.volumes import Volumes
from agent.metrics import Metrics
from agent.templates import Host
from agent.topology import Changes
from runtime import outcome
from runtime.spec import ContainerSpec
from swarm import specs
from swarm.dispatch import Content
from swarm.errors import KernelRefused, Missing, Refused, Unavailable
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.images.config import ImageConfig
from swarm.images.credentials import Credentials, Unrecognized
from swarm.images.logins import pack_logins
from swarm.objects import Attachment, Task
from swarm.specs import FileReference, Mount, MountKind, Port, PublishMode, TaskSpec
from tests.programs import running

ID = TaskId("t1")
LOGIN = Credentials("me", "swordfish")
NETNS = 77
NET = Attachment(network_id=NetworkId("n1"), addresses=("10.0.1.5",))
PORT = Port(target=80, published=33000, mode=PublishMode.HOST)


class FakeRuntime:
    """Starts whatever it is given once `gate` is open; remembers what it was asked."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.refusal: Exception | None = None
        self.refusals_of_delete = 0
        self.starting = self.most_starting = 0
        self.started: list[ContainerSpec] = []
        self.signals: list[tuple[str, int]] = []
        self.deleted: list[str] = []

    async def run(
        self, spec: ContainerSpec, attach: Callable[[int], Awaitable[None]] | None = None
    ) -> outcome.Started:
        if spec.awaits_network:
            assert attach is not None
            await attach(NETNS)
        self.starting += 1
        self.most_starting = max(self.most_starting, self.starting)
        await self.gate.wait()
        self.starting -= 1
        if self.refusal is not None:
            raise self.refusal
        self.started.append(spec)
        return outcome.Started(container_id=spec.id, pid=os.getpid(), started_at=5.0)

    async def kill(self, container_id: str, signal: int) -> None:
        self.signals.append((container_id, signal))
        raise Missing(f"container {container_id} is gone")

    async def delete(self, container_id: str) -> None:
        if self.refusals_of_delete:
            self.refusals_of_delete -= 1
            raise KernelRefused("remove", 16, "busy")
        self.deleted.append(container_id)


class FakeImages:
    """One image under every name but `gone`; `gate` holds it back, LOGIN gets `private`."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.logins: list[Credentials | None] = []
        self.config = ImageConfig(cmd=("serve",), stop_signal="SIGUSR2")

    async def ready(self, reference: str, login: Credentials | None = None) -> RootFs:
        await self.gate.wait()
        self.logins.append(login)
        if reference == "private" and login != LOGIN:
            raise Unrecognized("registry r:5000 denies access to private")
        return await self.local("web" if reference == "private" else reference)

    async def local(self, reference: str) -> RootFs:
        if reference in {"gone", "private"}:
            raise Missing(f"image {reference} not found")
        return RootFs(layer_dirs=(Path("/l"),), config=self.config, id="sha256:1", digest="d")


class FakeConnections:
    """Connects every container, unless there is a `refusal`, and remembers what was asked."""

    def __init__(self) -> None:
        self.refusal: Exception | None = None
        self.lent: tuple[Attachment, ...] = ()
        self.attached: list[tuple[TaskId, int, Connection]] = []
        self.followed: list[Changes] = []
        self.amended: list[tuple[TaskId, int]] = []

    def follow(self, changes: Changes) -> None:
        self.followed.append(changes)

    def lend(self, wanted: Wanted) -> tuple[Attachment, ...]:
        return self.lent

    async def attach(self, task_id: TaskId, netns: int, wanted: Connection) -> tuple[Port, ...]:
        self.attached.append((task_id, netns, wanted))
        if self.refusal is not None:
            raise self.refusal
        return (PORT,)

    async def amend(self, wanted: Wanted, pid: int) -> None:
        self.amended.append((wanted.task.id, pid))
        if self.refusal is not None:
            raise self.refusal

    def leaving_s(self, task_id: TaskId) -> float:
        return 0.0


class World:
    """An executor with everything around it pretended, and what it told."""

    def __init__(self, base: Path) -> None:
        self.runtime, self.images, self.metrics = FakeRuntime(), FakeImages(), Metrics()
        self.connections = FakeConnections()
        self.specs: dict[TaskId, TaskSpec] = {}
        self.told: list[tuple[TaskId, Event]] = []
        self.base = base
        self.pid = os.getpid()
        self.crew = Crew()
        self.held: dict[str, Content] = {}
        self.contents = Contents(base / "contents", lambda: self.held)
        (base / "containers").mkdir()
        self.executor = Executor(
            runtime=self.runtime,
            images=self.images,
            node=self.node,
            containers=base / "containers",
            contents=self.contents,
            volumes=Volumes(base / "volumes", users=dict, changed=lambda: None),
            connections=self.connections,
            find=self.find,
            pid_of=lambda _: self.pid,
            tell=lambda task_id, event: self.told.append((task_id, event)),
            spawn=self.crew.spawn,
            metrics=self.metrics,
            log=structlog.get_logger(),
        )

    def node(self) -> Node:
        return Node(
            host=Host(node_id=NodeId("n"), hostname="h"),
            containers=str(self.base / "containers"),
            volumes=str(self.base / "volumes"),
            cgroup_parent="swarmd",
        )

    def find(self, task_id: TaskId) -> Wanted | None:
        task = Task(id=task_id, service_id=ServiceId("s"), service_name="web")
        spec = self.specs.get(task_id)
        return Wanted(task=task, spec=spec, revision=1) if spec else None

    def want(
        self, task_id: TaskId = ID, image: str = "web", *, login: bool = False, **asked: object
    ) -> None:
        container = specs.ContainerSpec(image=image, **asked)  # type: ignore[arg-type]
        self.specs[task_id] = TaskSpec(container=container, registry_login=login)

    def give_login(self, login: Credentials) -> None:
        """What the managers send for the service of every task."""
        data = pack_logins({"docker.io": login})
        self.held["s"] = Content(id="s", version=1, data=data)
        self.contents.arrived()

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not done():
                await asyncio.sleep(0.001)

    async def told_by(self, *effects: Prepare | Start) -> list[Event]:
        """What each effect told, one after the other."""
        for effect in effects:
            count = len(self.told)
            self.executor.perform(effect)
            await self.until(lambda count=count: len(self.told) > count)  # type: ignore[misc]
        return [event for _, event in self.told]


def within(base: Path, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        world = World(base)
        try:
            await story(world)
            assert not world.crew.crashed.done()
        finally:
            await world.crew.close()

    asyncio.run(run())


def test_a_task_is_prepared_and_started(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(mounts=(Mount(source="data", target="/data"), Mount(target="/tmp/x")))

        told = await world.told_by(Prepare(ID), Start(ID))

        assert told == [Prepared(), Started(pid=os.getpid(), started_at=5.0)]
        assert world.runtime.started[0].args == ("serve",)
        assert world.executor.image_id(ID) == "sha256:1"
        assert (tmp_path / "volumes/data/_data").is_dir()
        assert (tmp_path / "volumes/data/volume.json").is_file()
        assert (tmp_path / "containers/t1/volumes/1").is_dir()

    within(tmp_path, story)


def test_a_bind_source_that_does_not_exist_is_told_as_docker_says_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(mounts=(Mount(kind=MountKind.BIND, source="/no/x", target="/x"),))

        told = await world.told_by(Prepare(ID))

        assert told == [
            PrepareFailed(
                reason='invalid mount config for type "bind": '
                "bind source path does not exist: /no/x"
            )
        ]

    within(tmp_path, story)


def test_an_image_that_cannot_be_had_and_a_start_that_fails_give_reasons(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(image="gone")
        assert await world.told_by(Prepare(ID)) == [PrepareFailed(reason="image gone not found")]

        world.want()
        world.runtime.refusal = KernelRefused("exec", 2, "exec /x: no such file or directory")
        told = await world.told_by(Prepare(ID), Start(ID))
        assert told[-1] == StartFailed(reason="exec /x: no such file or directory")

    within(tmp_path, story)


def test_a_bug_in_preparation_fails_the_task_instead_of_hanging_it(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()
        world.images.config = None  # type: ignore[assignment]

        (told,) = await world.told_by(Prepare(ID))

        assert isinstance(told, PrepareFailed)
        assert "internal error" in told.reason

    within(tmp_path, story)


def test_a_pull_is_given_up_when_the_task_is(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()
        world.images.gate.clear()
        world.executor.perform(Prepare(ID))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

        world.executor.perform(Abandon(ID))
        await world.until(lambda: bool(world.told))

        assert world.told == [(ID, Abandoned())]

    within(tmp_path, story)


def test_starts_are_bounded_and_a_queued_one_can_be_given_up(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        ids = [TaskId(f"t{number}") for number in range(STARTS_AT_ONCE + 2)]
        for task_id in ids:
            world.want(task_id)
            world.executor.perform(Prepare(task_id))
        await world.until(lambda: len(world.told) == len(ids))
        world.told.clear()
        world.runtime.gate.clear()
        for task_id in ids:
            world.executor.perform(Start(task_id))
        await world.until(lambda: world.runtime.starting == STARTS_AT_ONCE)

        world.executor.perform(Abandon(ids[-1]))
        world.executor.perform(Abandon(ids[0]))
        await world.until(lambda: bool(world.told))
        world.runtime.gate.set()
        await world.until(lambda: len(world.told) == len(ids))

        outcomes = dict(world.told)
        assert outcomes[ids[-1]] == Abandoned()
        assert isinstance(outcomes[ids[0]], Started)
        assert world.runtime.most_starting == STARTS_AT_ONCE

    within(tmp_path, story)


FIRST = """
import signal
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, lambda *_: None)
signal.signal(signal.SIGUSR2, lambda *_: None)
print(flush=True)
while True:
    signal.pause()
"""


@pytest.mark.parametrize(("asked", "signal"), [("", 12), ("SIGINT", 2), ("HUP", 9)])
def test_the_stop_signal_is_the_specs_or_the_images_or_a_kill_for_the_deaf(
    tmp_path: Path, asked: str, signal: int
) -> None:
    async def story(world: World) -> None:
        world.want(stop_signal=asked)
        world.pid = first.pid

        world.executor.perform(Signal(ID))
        await world.until(lambda: bool(world.runtime.signals))

        assert world.runtime.signals == [(ID, signal)]

    with running(FIRST) as first:
        within(tmp_path, story)


def test_kill_and_grace_reach_a_task_that_is_gone_without_harm(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.executor.perform(Kill(ID))
        world.executor.perform(Wait(ID, 0.001))
        await world.until(lambda: bool(world.told) and bool(world.runtime.signals))

        assert world.told == [(ID, GraceExpired())]
        assert world.runtime.signals == [(ID, 9)]

    within(tmp_path, story)


def test_deletion_is_tried_again_and_takes_the_tasks_own_directory(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(mounts=(Mount(target="/x"), Mount(source="keep", target="/y")))
        await world.told_by(Prepare(ID), Start(ID))
        world.runtime.refusals_of_delete = 1

        world.executor.perform(Delete(ID))
        await world.until(lambda: not (tmp_path / "containers/t1").exists())

        assert world.runtime.deleted == [ID]
        assert (tmp_path / "volumes/keep/_data").is_dir()
        assert world.executor.image_id(ID) == ""

    within(tmp_path, story)


def test_what_nobody_remembers_is_swept(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for name in ("kept", "left"):
            (tmp_path / "containers" / name).mkdir()

        world.executor.sweep({TaskId("kept")})
        await world.until(lambda: not (tmp_path / "containers/left").exists())

        assert (tmp_path / "containers/kept").is_dir()

    within(tmp_path, story)


def test_a_volume_that_cannot_be_made_rejects_the_task(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        (tmp_path / "volumes").write_text("a file where a directory should be")
        world.want(mounts=(Mount(source="data", target="/data"),))

        (told,) = await world.told_by(Prepare(ID))

        assert isinstance(told, PrepareFailed)
        assert told.reason.startswith("volume data cannot be made:")

    within(tmp_path, story)


def test_unavailable_and_refused_are_both_reasons(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        for refusal in (Unavailable("the launcher is away"), Refused("no")):
            world.want()
            world.runtime.refusal = refusal
            told = await world.told_by(Prepare(ID), Start(ID))
            assert told[-1] == StartFailed(reason=str(refusal))

    within(tmp_path, story)


def test_a_task_waits_for_its_secrets_and_starts_with_what_came(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(secrets=(FileReference(id="s1", name="db"),))
        written: list[tuple[str, Files]] = []
        world.contents.write = lambda task_id, files: written.append((task_id, files))  # type: ignore[method-assign]
        delayed = await world.told_by(Prepare(ID))

        world.held["s1"] = Content(id="s1", version=1, data=b"hunter2")
        world.contents.arrived()
        await world.until(lambda: len(world.told) > 1)
        world.held.clear()
        told = await world.told_by(Start(ID))

        assert delayed == [Delayed(reason="waiting for secret db")]
        assert told == [*delayed, Prepared(), Started(pid=os.getpid(), started_at=5.0)]
        ((task_id, files),) = written
        assert (task_id, files.written[0].data) == (ID, b"hunter2")
        (mount,) = world.runtime.started[0].mounts
        assert (mount.target, mount.read_only) == ("/run/secrets", True)
        assert "hunter2" not in repr(world.runtime.started)

    within(tmp_path, story)


def test_an_image_is_pulled_once_its_login_has_come_and_with_that(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(image="private", login=True)
        delayed = await world.told_by(Prepare(ID))

        world.give_login(LOGIN)
        await world.until(lambda: len(world.told) > 1)

        assert delayed == [Delayed(reason="waiting for the login of its registry")]
        assert world.images.logins == [LOGIN]
        assert world.told == [(ID, delayed[0]), (ID, Prepared())]

    within(tmp_path, story)


def test_nobody_waits_for_a_login_when_the_image_is_here(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(login=True)

        assert await world.told_by(Prepare(ID)) == [Prepared()]

    within(tmp_path, story)


def test_a_registry_that_lets_nobody_in_is_told_with_the_way_out(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(image="private")
        (without,) = await world.told_by(Prepare(ID))
        world.told.clear()
        world.give_login(Credentials("me", "stale-4711"))
        world.want(image="private", login=True)
        (stale,) = await world.told_by(Prepare(ID))

        command = "swarmctl service update --with-registry-auth web"
        said = "registry r:5000 denies access to private"
        assert without == PrepareFailed(
            reason=f"{said}; service web has no login for it: {command}"
        )
        assert stale == PrepareFailed(reason=f"{said}; its login does not do: {command}")

    within(tmp_path, story)


def test_a_task_that_waits_for_a_secret_can_be_given_up(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(secrets=(FileReference(id="s1", name="db"),))
        await world.told_by(Prepare(ID))

        world.executor.perform(Abandon(ID))
        await world.until(lambda: len(world.told) > 1)

        assert world.told[-1] == (ID, Abandoned())

    within(tmp_path, story)


def test_a_template_that_cannot_be_filled_in_rejects_the_task(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(configs=(FileReference(id="c1", name="conf"),))
        world.held["c1"] = Content(id="c1", version=1, data=b"{{.Nothing}}", templated=True)

        (told,) = await world.told_by(Prepare(ID))

        assert isinstance(told, PrepareFailed)
        assert told.reason.startswith("container.configs[0]: the template on line 1")

    within(tmp_path, story)


def test_a_container_is_connected_before_it_runs_and_its_ports_are_told(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want(hostname="web")
        world.connections.lent = (NET,)

        told = await world.told_by(Prepare(ID), Start(ID))

        assert told[-1] == Started(pid=os.getpid(), started_at=5.0, ports=(PORT,))
        ((task_id, netns, asked),) = world.connections.attached
        assert (task_id, netns, asked.attachments) == (ID, NETNS, (NET,))
        assert asked.asker.hostname == "web"

    within(tmp_path, story)


def test_a_network_that_cannot_be_had_fails_the_start_with_its_reason(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()
        world.connections.lent = (NET,)
        world.connections.refusal = Refused("port 80 is in use")

        told = await world.told_by(Prepare(ID), Start(ID))

        assert told[-1] == StartFailed(reason="port 80 is in use")
        assert world.runtime.started == []

    within(tmp_path, story)


def test_a_container_without_interfaces_is_not_connected(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()

        told = await world.told_by(Prepare(ID), Start(ID))

        assert told[-1] == Started(pid=os.getpid(), started_at=5.0)
        assert world.connections.attached == []

    within(tmp_path, story)


def test_leaving_is_answered_and_the_topology_followed(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        changes = Changes(data_path_port=4789)

        world.executor.perform(Route(changes))
        world.executor.perform(Leave(ID))
        assert world.told == [], "nothing is told before the effects of an event are done"
        await world.until(lambda: bool(world.told))

        assert world.told == [(ID, Left())]
        assert world.connections.followed == [changes]

    within(tmp_path, story)


def test_another_network_waits_for_the_start_that_is_under_way(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()
        await world.told_by(Prepare(ID))
        world.runtime.gate.clear()
        world.executor.perform(Start(ID))
        world.executor.perform(Connect(ID))
        for _ in range(10):
            await asyncio.sleep(0)
        assert world.connections.amended == []

        world.runtime.gate.set()
        await world.until(lambda: bool(world.connections.amended))

        assert world.connections.amended == [(ID, os.getpid())]

    within(tmp_path, story)


def test_a_network_that_a_container_cannot_be_put_into_does_it_no_harm(tmp_path: Path) -> None:
    async def story(world: World) -> None:
        world.want()
        world.connections.refusal = Refused("no WireGuard")

        world.executor.perform(Connect(ID))
        await world.until(lambda: bool(world.connections.amended))

        assert world.told == []

    within(tmp_path, story)
