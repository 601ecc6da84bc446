"""Run containers, and hear of their ends, from an event loop.

The agent's side of the runtime. Each container costs one descriptor, which is also how the
death of its shim is noticed. The launcher is needed only to start containers; everything
else works without it, and `run` waits a moment for one that is being replaced.
"""

import asyncio
import contextlib
import errno
import socket
import time
from collections.abc import AsyncIterator, Generator, Sequence
from functools import partial
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM

from msgspec.structs import replace

from runtime import wire
from runtime.cgroups.layout import Layout
from runtime.cgroups.stats import NetworkUsage, Stats
from runtime.checks import check
from runtime.io import (
    attachment,
    calling,
    connecting,
    execution,
    freezing,
    leftovers,
    pausing,
    updating,
    usage,
)
from runtime.io.attachment import Attachment
from runtime.io.connecting import Attach
from runtime.io.container import Container, Vanished
from runtime.io.execution import Exec
from runtime.io.hierarchies import host_layout
from runtime.io.launching import Launching
from runtime.io.link import Link
from runtime.joining import ExecSpec
from runtime.layout import ContainerDir
from runtime.outcome import (
    ContainerState,
    Exited,
    HealthChanged,
    HealthRecord,
    Started,
)
from runtime.spec import ContainerSpec, Resources
from runtime.translation import group_path
from runtime.wire import Manner
from swarm.errors import Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable

_LOST = "its shim was killed, so the container was killed too"
_GROUP_GONE = (errno.ENOENT, errno.ENODEV)  # the latter if its file was open already
_ENDING_SIGNALS = (SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGKILL)
_ENDING_S = 10.0
_STARTING_S = 10.0
_SWEEPS, _SWEEP_S = 40, 0.05


class Runtime:
    """All containers below one run root."""

    def __init__(
        self, *, run_root: Path, launcher_socket: Path, launcher_timeout_s: float = 10.0
    ) -> None:
        self._run_root = str(run_root)
        self._launching = Launching(str(launcher_socket))
        self._launcher_timeout_s = launcher_timeout_s
        self._layout: Layout = host_layout()
        self._containers: dict[str, Container] = {}
        self._parents: set[str] = set()
        self._exits: asyncio.Queue[Exited] = asyncio.Queue()
        self._healths: asyncio.Queue[HealthChanged] = asyncio.Queue()
        self._burials: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Reach the launcher, if it is there already; `run` reaches it again when needed."""
        self._launching.try_connect()

    async def close(self) -> None:
        """Let go of everything; containers go on, but those that wait for their network."""
        for burial in list(self._burials):
            await burial
        for container in self._containers.values():
            container.let_go()
            container.fail(Unavailable(f"nobody follows container {container.id} any more"))
        self._containers.clear()
        self._launching.close()

    async def run(
        self,
        spec: ContainerSpec,
        attach: Attach | None = None,
        *,
        viewers: Sequence[Attachment] = (),
    ) -> Started:
        """Start a container and return once its program runs.

        Repeating it with an id that exists already returns that container, whatever became
        of it since: its exit comes through `exits`. Raises `Invalid`, `KernelRefused` with
        nothing left behind, or `Unavailable` if no launcher can be reached.

        With `spec.awaits_network` the program does not run before `attach` has returned. That
        is called at most once, and not for a container that exists, with the container's
        network namespace, where only `lo` is up; the descriptor is closed when it has ended,
        so a thread needs a copy. What it raises is raised here, with nothing left of the
        container; if that fails otherwise or this is cancelled, it is cancelled. What it has
        done elsewhere is the caller's to undo, whatever is raised here.

        `viewers` are attached when this returns, and see all that the program ever writes,
        unless it ran already. They learn what is raised here as well; closing them is left to
        whoever made them.
        """
        try:
            started = await self._run(spec, attach, viewers)
            await self._show(started.container_id, viewers)
        except BaseException as err:
            for viewer in viewers:
                viewer.fail(err if isinstance(err, SwarmError) else calling.not_running(spec.id))
            raise
        return started

    async def _run(
        self, spec: ContainerSpec, attach: Attach | None, viewers: Sequence[Attachment]
    ) -> Started:
        check(spec)
        deadline = time.monotonic() + self._launcher_timeout_s
        while True:
            container = self._containers.get(spec.id) or await self._find_again(spec.id)
            if container is None:
                container = await self._make(spec, attach, viewers, deadline)
            try:
                state = await asyncio.shield(container.started)
            except Vanished:
                self._launching.check(deadline)
                continue
            return Started(container_id=spec.id, pid=state.pid, started_at=state.started_at)

    async def adopt(self) -> list[ContainerState]:
        """Find every container below the run root; call it before the first `run`.

        Those that exited meanwhile are in the list and not in `exits`; what was half made is
        removed, and what lost its shim is killed and in the list as exited.
        """
        directories = leftovers.find(self._run_root)
        found = await asyncio.gather(*(self._adopt(each) for each in directories))
        return [state for state in found if state is not None]

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1. Raises `Missing` if it has ended, `Invalid`.

        A container that is to end must not sleep through it: these signals resume one that is
        paused.
        """
        container = self._containers.get(container_id)
        if container is None:
            raise Missing(f"container {container_id} does not exist")
        await container.kill(signal)
        if signal in _ENDING_SIGNALS and freezing.is_pausing(self._layout, container.group):
            with contextlib.suppress(KernelRefused):  # it is gone already
                freezing.ask(self._layout, container.group, frozen=False)

    async def exec(self, container_id: str, spec: ExecSpec) -> Exec:
        """Run a program in a running container, and return once its exec succeeded.

        Its streams are ours; it is killed when they are given up (`runtime.io.execution`).
        Raises `Invalid`, `Missing` if the container does not run, `Refused` if it is paused,
        `KernelRefused` if the program cannot start (`runtime.joining.refusal_code`).
        """
        container = self._running(container_id)
        if freezing.is_pausing(self._layout, container.group):
            raise Refused(f"container {container_id} is paused", hint="resume it first")
        return await execution.start(container.directory, spec)

    async def attach(self, container_id: str, manner: Manner = Manner.PLAIN) -> Attachment:
        """See what a running container prints from now on. Raises `Missing`."""
        return await attachment.attach(self._running(container_id).directory, manner)

    async def show(self, viewer: Attachment) -> None:
        """Attach a viewer who came when its container was being started, from now on.

        He learns what is raised: `Missing`, `Unavailable`.
        """
        try:
            await viewer.begin(self._running(viewer.container_id).directory)
        except SwarmError as err:
            viewer.fail(err)
            raise

    async def pause(self, container_id: str) -> None:
        """Stop all its processes; doing it twice is fine. Raises `Missing`, `Unavailable`."""
        container = self._running(container_id)
        with _told_if_gone(container):
            await pausing.pause(self._layout, container.group)

    async def resume(self, container_id: str) -> None:
        """Let its processes go on; one that is not paused does not mind. Raises `Missing`."""
        container = self._running(container_id)
        with _told_if_gone(container):
            freezing.ask(self._layout, container.group, frozen=False)

    def is_paused(self, container_id: str) -> bool:
        """Whether a running container is paused. Raises `Missing`."""
        return freezing.is_paused(self._layout, self._running(container_id).group)

    async def update(self, container_id: str, resources: Resources) -> None:
        """Give a running container these limits instead of those it has, all or none.

        Raises `Invalid`, `Missing`, or `KernelRefused` for what this host cannot set, or what is
        in use already.
        """
        container = self._running(container_id)
        spec = leftovers.read_spec(container.directory)
        if spec is None:
            raise calling.not_running(container_id)
        check(replace(spec, resources=resources))
        await asyncio.to_thread(updating.update, self._layout, container.directory, spec, resources)

    async def stats(self, container_id: str) -> Stats:
        """What it uses now and has used; networks that are the host's are not its. Raises
        `Missing`.
        """
        container = self._running(container_id)
        pid = container.started.result().pid
        used, networks = await asyncio.gather(
            asyncio.to_thread(usage.read_stats, self._layout, container.group),
            asyncio.to_thread(_own_networks, pid),
        )
        return replace(used, networks=networks)

    async def processes(self, container_id: str) -> list[int]:
        """The host's numbers of all its processes, execs included. Raises `Missing`."""
        return usage.pids(self._layout, self._running(container_id).group)

    async def health(self, container_id: str) -> HealthRecord | None:
        """What its last checks found, ended or not; None without checks. Raises `Missing`."""
        directory = ContainerDir(self._run_root, container_id)
        spec = leftovers.read_spec(directory)
        if spec is None:
            raise Missing(f"container {container_id} does not exist")
        if spec.health is None:
            return None
        return leftovers.read_health(directory)

    async def healths(self) -> AsyncIterator[HealthChanged]:
        """Every change of a container's health, and after `adopt` how each one stands.

        A container without health checks is never here; one reader at a time.
        """
        while True:
            yield await self._healths.get()

    async def delete(
        self, container_id: str, *, keep_log: bool = False, keep_layer: bool = False
    ) -> None:
        """End the container if it still runs, and remove all that is left of it.

        That is its control groups, its directory below the run root and, unless they are
        kept, its log files and its layer. Another `run` of its id then goes on with both.
        Repeating it is fine, but what was kept once is its owner's to remove.
        """
        container = self._containers.get(container_id)
        directory = ContainerDir(self._run_root, container_id)
        if container is None and not Path(directory.path).exists():
            return
        spec = leftovers.read_spec(directory)
        if container is not None:
            await self._end(container, spec)
        elif spec is not None:
            await leftovers.kill_all(spec, self._layout)
        spec = spec or leftovers.read_spec(directory)  # it may have been about to be claimed
        await asyncio.to_thread(
            leftovers.erase,
            directory,
            spec,
            self._layout,
            keep_log=keep_log,
            keep_layer=keep_layer,
        )
        self._forget(container_id, spec)

    async def exits(self) -> AsyncIterator[Exited]:
        """Every exit from now on, once. One reader at a time."""
        while True:
            yield await self._exits.get()

    # --- what a container reports ------------------------------------------------------------

    def refused(self, container: Container) -> None:
        """It could not be started, and its shim has undone everything."""
        self._forget(container.id, None)

    def ended(self, exited: Exited) -> None:
        """Its program has exited."""
        self._exits.put_nowait(exited)

    def examined(self, health: HealthChanged) -> None:
        """A health check has found out something new."""
        self._healths.put_nowait(health)

    def lost(self, container: Container) -> None:
        """Its shim is gone without a word."""
        if container.is_claimed:
            burial = self._bury(container)
        else:
            self._containers.pop(container.id, None)
            container.fail(Vanished())
            burial = self._sweep()
        task = asyncio.get_running_loop().create_task(burial)
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def _sweep(self) -> None:
        """Remove what it had begun to prepare, once its process 1 is dead too."""
        for _ in range(_SWEEPS):
            if leftovers.sweep(self._run_root):
                return
            await asyncio.sleep(_SWEEP_S)

    async def _bury(self, container: Container) -> None:
        state = await self._settle(container.directory)
        if state is None or state.exited is None:
            self._forget(container.id, None)
            hint = f"{self._run_root}/shim-crashes.log may say why"
            container.fail(Unavailable(f"the shim of {container.id} died starting it", hint=hint))
            return
        is_news = container.started.done() or not container.is_adopted
        container.start(state)
        container.end(state.exited)
        if is_news:
            self._exits.put_nowait(state.exited)

    def _running(self, container_id: str) -> Container:
        container = self._containers.get(container_id)
        if container is None or not container.is_running:
            raise calling.not_running(container_id)
        return container

    # --- starting ------------------------------------------------------------------------------

    async def _make(
        self,
        spec: ContainerSpec,
        attach: Attach | None,
        viewers: Sequence[Attachment],
        deadline: float,
    ) -> Container:
        if not spec.awaits_network:
            return await self._launch(spec, viewers, deadline)
        if attach is None:
            raise Invalid(
                f"container {spec.id!r}: awaits_network: nobody is there to connect it",
                hint="start it with something to attach",
            )
        container = await self._launch(spec, viewers, deadline)
        await connecting.connect(container, attach, partial(leftovers.kill_all, spec, self._layout))
        return container

    async def _show(self, container_id: str, viewers: Sequence[Attachment]) -> None:
        """Attach those who came too late for the spec: the container was there before."""
        directory = ContainerDir(self._run_root, container_id)
        for viewer in viewers:
            with contextlib.suppress(Missing):  # it has ended, and its viewer knows
                if viewer.is_invited:
                    viewer.expect()
                    await viewer.attached()
                else:
                    await viewer.begin(directory)

    async def _launch(
        self, spec: ContainerSpec, viewers: Sequence[Attachment], deadline: float
    ) -> Container:
        """Hand one end of a socket pair to the launcher and the spec to whoever holds it."""
        container = Container(ContainerDir(self._run_root, spec.id), group_path(spec), self)
        self._containers[spec.id] = container
        self._parents.add(spec.cgroup_parent)
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                container.link = Link(ours, container.heard)
                rest = _send(container.link, wire.encode(spec), viewers)
                apart = spec.user_namespace is not None or bool(spec.pid_namespace)
                await self._launching.fork_shim(theirs.fileno(), deadline, apart=apart)
            await container.link.send(rest)
        except BaseException as err:
            # A shim that got half a spec ends by itself.
            container.let_go()
            self._forget(spec.id, None)
            container.fail(err if isinstance(err, SwarmError) else Vanished())
            raise
        return container

    async def _find_again(self, container_id: str) -> Container | None:
        directory = ContainerDir(self._run_root, container_id)
        if not Path(directory.path).exists():
            return None
        state = await self._adopt(directory)
        if state is not None and state.exited is not None:
            self._exits.put_nowait(state.exited)
        return self._containers.get(container_id)

    # --- finding again -------------------------------------------------------------------------

    async def _adopt(self, directory: ContainerDir) -> ContainerState | None:
        """Reach the shim of a directory, or settle what it left."""
        container = self._containers.get(directory.container_id)
        if container is None:
            spec = leftovers.read_spec(directory)
            group = group_path(spec) if spec is not None else ""
            container = Container(directory, group, self)
            container.is_claimed = container.is_adopted = True
            self._parents |= {spec.cgroup_parent} if spec is not None else set()
            try:
                end = await calling.call(directory, wire.WATCH)
            except Missing:
                return await self._adopt_dead(container)
            if container.id in self._containers:  # somebody else was quicker
                end.close()
                return await self._adopt(directory)
            self._containers[container.id] = container
            container.link = Link(end, container.heard)
        with contextlib.suppress(SwarmError, Vanished, TimeoutError):
            return await asyncio.wait_for(asyncio.shield(container.started), _STARTING_S)
        return None

    async def _adopt_dead(self, container: Container) -> ContainerState | None:
        state = await self._settle(container.directory)
        if state is not None and state.exited is not None:
            container.start(state)
            container.end(state.exited)
            self._containers[container.id] = container
        return state

    async def _settle(self, directory: ContainerDir) -> ContainerState | None:
        """Bring what a dead shim left to an end: exited and recorded, or gone."""
        state, spec = leftovers.read_state(directory), leftovers.read_spec(directory)
        if state is not None and state.exited is not None:
            return state
        if spec is not None:
            await leftovers.kill_all(spec, self._layout)
        if state is None or spec is None:
            await asyncio.to_thread(
                leftovers.erase,
                directory,
                spec,
                self._layout,
                keep_log=True,
                keep_layer=spec is not None and spec.rootfs.lasting,
            )
            return None
        leftovers.remove_groups(spec, self._layout)
        return leftovers.record_loss(directory, state, _LOST)

    # --- ending --------------------------------------------------------------------------------

    async def _end(self, container: Container, spec: ContainerSpec | None) -> None:
        """Kill it if it runs or is about to, and wait until it has ended."""
        if not container.started.done():
            container.decline()
            if spec is not None:
                await leftovers.kill_all(spec, self._layout)
        with contextlib.suppress(SwarmError, Vanished):
            await asyncio.shield(container.started)
            with contextlib.suppress(Missing):
                await self.kill(container.id, int(SIGKILL))
            try:
                await asyncio.wait_for(asyncio.shield(container.ended), _ENDING_S)
            except TimeoutError:
                if spec is not None:
                    await leftovers.kill_all(spec, self._layout)

    def _forget(self, container_id: str, spec: ContainerSpec | None) -> None:
        """With the last container, the parents of the groups go too."""
        self._containers.pop(container_id, None)
        if spec is not None:
            self._parents.add(spec.cgroup_parent)
        if not self._containers:
            for parent in self._parents:
                leftovers.remove_parents(parent, self._layout)
            self._parents.clear()


def _send(link: Link, content: bytes, viewers: Sequence[Attachment]) -> bytes:
    """Begin to send a spec, and whoever wants to see what becomes of it; the rest of it."""
    with contextlib.ExitStack() as stack:
        ends = [stack.enter_context(each.invite()) for each in viewers[: wire.MOST_VIEWERS]]
        return link.send_now(content, [end.fileno() for end in ends])


def _own_networks(pid: int) -> tuple[NetworkUsage, ...]:
    """The interfaces of process `pid`, unless its network is the one we are in."""
    with contextlib.suppress(OSError):
        if Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink():
            return usage.read_networks(pid)
    return ()


@contextlib.contextmanager
def _told_if_gone(container: Container) -> Generator[None]:
    """A group that goes under our hands is that of a container that has just ended."""
    try:
        yield
    except KernelRefused as err:
        if err.errno in _GROUP_GONE and not _is_alive(container):
            raise calling.not_running(container.id) from err
        raise


def _is_alive(container: Container) -> bool:
    return container.started.done() and Path(f"/proc/{container.started.result().pid}").exists()
