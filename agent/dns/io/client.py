"""Have a node's containers answered, whatever happens to the name service.

All that the service has to know is kept here too: the records, and of each container who asks
and copies of its sockets. So when the service dies it is started again, is told everything anew,
and finds the questions that came in between: containers wait for an answer, but get it. A
service that lives on from an earlier agent hands us its sockets and is told only what differs.
Until the agent knows which containers there are (`reconcile`), nothing that is answered is given
up.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

import structlog

from agent.dns.asking import Asker
from agent.dns.io.connection import Connection
from agent.dns.io.listening import Listening, listen
from agent.dns.io.starting import Process
from agent.dns.link import (
    PROTOCOL,
    Count,
    Counted,
    Holding,
    Keep,
    Leave,
    Release,
    Serve,
    Take,
    Welcome,
)
from agent.network.io.namespaces import of_process
from agent.topology import Changes
from runtime.respawn import Respawns, after_death
from swarm import __version__
from swarm.errors import Invalid, KernelRefused, Missing, Unavailable
from swarm.ids import TaskId
from swarm.objects import Network
from swarm.topology import Endpoint, VirtualService, key_of, topology_of

STARTED_WITHIN_S = 10.0
COUNTED_WITHIN_S = 2.0
ENDED_WITHIN_S = 1.0
_RETRY_S = 0.005

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
_Named = Network | Endpoint | VirtualService


class Names:
    """The name service of containers. Make it inside a loop."""

    def __init__(
        self,
        run_root: Path,
        *,
        spawn: Spawn,
        log: structlog.stdlib.BoundLogger,
        resolv_conf: Path = Path("/etc/resolv.conf"),
        is_alone: bool = False,
    ) -> None:
        """On a node that `is_alone` no manager will tell of records: none is all there are."""
        self._run_root = run_root
        self._resolv_conf = resolv_conf
        self._spawn = spawn
        self._log = log
        self._records: dict[str, _Named] = {}
        self._has_heard = is_alone
        self._has_reconciled = False
        self._knows_local = False
        self._opening = asyncio.Lock()
        self._containers: dict[TaskId, _Container] = {}
        self._answered: dict[TaskId, Asker] = {}  # by the service, since an earlier agent
        self._said: set[TaskId] = set()  # over this connection
        self._connection: Connection | None = None
        self._following: asyncio.Task[None] | None = None
        self._counts: list[asyncio.Future[Counted]] = []
        self._respawns = Respawns()
        self._process: Process | None = None
        self._has_died = False

    async def apply(self, changes: Changes, *, is_local: bool = False) -> None:
        """Follow the records. The first that are heard are all there are.

        But for those that are `is_local`, of this node's own networks: of others they say nothing.
        """
        if not changes:
            return  # nobody has been heard yet, which does not mean that there is nothing
        put = {key_of(each): each for each in changes.put if isinstance(each, _Named)}
        gone = tuple(key_of(each) for each in changes.gone if isinstance(each, _Named))
        for key in gone:
            self._records.pop(key, None)
        self._records |= put
        is_first = not self._has_heard and not is_local
        self._has_heard |= not is_local
        if self._connection is not None and (is_first or put or gone):
            differing = Take(topology_of(put.values(), removed=gone))
            self._connection.say(self._known() if is_first else differing)

    async def serve(self, task_id: TaskId, netns: int, asker: Asker) -> None:
        """Answer in a container's namespace, of which `netns` is a descriptor.

        From now on it may ask. Raises `KernelRefused`; the container is not answered then.
        """
        assert task_id == asker.task_id
        self._put(_Container(asker, listening=listen(netns)))

    async def release(self, task_id: TaskId) -> None:
        """The container is gone, and its namespace may go."""
        if (container := self._containers.pop(task_id, None)) is not None:
            container.close()
        self._forget(task_id)
        if self._connection is not None:
            self._connection.say(Release(task_id))

    async def reconcile(
        self, known: Mapping[TaskId, tuple[Asker, int]], *, is_all: bool = True
    ) -> None:
        """These containers, with their pids, are to be answered, and no others if they are all.

        By then all records of this node's own networks are known.
        """
        for task_id in self._containers.keys() - known.keys() if is_all else ():
            await self.release(task_id)
        for task_id, (asker, pid) in sorted(known.items()):
            have = self._containers.get(task_id)
            if have is None or have.asker != asker:
                with contextlib.suppress(Missing):
                    self._put(_Container(asker, netns=of_process(pid)))
        self._has_reconciled |= is_all
        self._knows_local = True
        if self._connection is not None:
            self._connection.say(self._known())
            if is_all:
                self._connection.say(Keep(tuple(self._containers)))
            await self._say_all(self._connection)
        self._follow()

    async def counted(self) -> Counted:
        """What the service has counted since it began; nothing if there is none."""
        if self._connection is None:
            return Counted(networks={}, names={})
        counted: asyncio.Future[Counted] = asyncio.get_running_loop().create_future()
        self._counts.append(counted)
        self._connection.say(Count())
        try:
            async with asyncio.timeout(COUNTED_WITHIN_S):
                return await counted
        except TimeoutError as err:
            raise Unavailable("the name service does not say what it counted") from err

    def has_sockets(self, task_id: TaskId) -> bool:
        """Whether a container's questions would survive the death of the service."""
        container = self._containers.get(task_id)
        return container is not None and container.listening is not None

    async def close(self) -> None:
        """Let go of the service, which goes on."""
        following, self._following = self._following, None
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        for container in self._containers.values():
            container.close()
        self._containers.clear()
        if self._process is not None:
            self._process.close()

    async def end(self) -> None:
        """Have the service end, whoever started it: the node leaves its swarm."""
        try:
            connection = Connection(self._run_root)
        except OSError:
            return
        connection.say(Leave())
        try:
            async with (
                asyncio.timeout(ENDED_WITHIN_S),
                contextlib.aclosing(connection.reports()) as reports,
            ):
                async for _ in reports:
                    pass
        except (TimeoutError, Invalid):
            self._log.warning("names.not_ended")
        finally:
            connection.close()

    def _put(self, container: "_Container") -> None:
        task_id = container.asker.task_id
        if (before := self._containers.pop(task_id, None)) is not None:
            before.close()
            self._said.discard(task_id)
        self._containers[task_id] = container
        if self._connection is not None:
            self._say_serve(self._connection, container)
        self._follow()

    async def _say_all(self, connection: Connection) -> None:
        """Have every container answered that is not.

        Opening sockets where both an agent and the service died takes the kernel a while. Nobody
        else may do so meanwhile: questions are led to those that were opened last.
        """
        async with self._opening:
            for task_id, container in list(self._containers.items()):
                if container.listening is None and self._answered.get(task_id) != container.asker:
                    try:
                        await container.open()
                    except KernelRefused as err:
                        self._log.warning("names.refused", task_id=task_id, error=err.message)
        if self._connection is connection:  # else the next one is told all of it
            for container in self._containers.values():
                self._say_serve(connection, container)

    def _say_serve(self, connection: Connection, container: "_Container") -> None:
        """Have a container answered that has sockets."""
        task_id = container.asker.task_id
        if container.listening is not None and task_id not in self._said:
            descriptors = [each.fileno() for each in container.listening]
            connection.say(Serve(container.asker), descriptors)
            self._said.add(task_id)

    def _forget(self, task_id: TaskId) -> None:
        self._answered.pop(task_id, None)
        self._said.discard(task_id)

    def _follow(self) -> None:
        if self._following is None or self._following.done():
            self._following = self._spawn(self._keep_up())

    async def _keep_up(self) -> None:
        """Be connected as long as there is a service, and have one while it is needed."""
        while True:
            connection = await self._connect()
            if connection is None:
                return
            try:
                await self._converse(connection)
            except Invalid as err:
                self._log.warning("names.not_understood", error=err.message)
            finally:
                self._connection = None
                connection.close()
                for each in self._counts:
                    if not each.done():
                        each.set_exception(Unavailable("the name service is gone"))
                self._counts.clear()

    async def _connect(self) -> Connection | None:
        """A connection; None if nobody listens and nobody needs to."""
        deadline = 0.0
        while True:
            with contextlib.suppress(OSError):
                return Connection(self._run_root)
            if not self._containers:
                return None
            is_gone = self._process is not None and self._process.is_gone and deadline > 0
            if is_gone or time.monotonic() >= deadline:
                self._has_died |= is_gone
                await self._start()
                deadline = time.monotonic() + STARTED_WITHIN_S
            await asyncio.sleep(_RETRY_S)

    async def _start(self) -> None:
        """Start the service: at once, and if it dies again and again less and less often."""
        if self._has_died:
            self._has_died = False
            self._respawns, delay_s = after_death(self._respawns, now=time.monotonic())
            await asyncio.sleep(delay_s)
        if self._process is not None:
            self._process.close()
        try:
            self._process = Process(self._run_root, self._resolv_conf)
        except OSError as err:
            self._has_died = True
            self._log.error("names.not_started", error=err.strerror)
            return
        self._log.info("names.started", pid=self._process.pid)

    async def _converse(self, connection: Connection) -> None:
        reports = connection.reports()
        async with contextlib.aclosing(reports):
            async for report in reports:
                match report:
                    case Welcome():
                        await self._greet(connection, report)
                    case Holding(task_id=task_id):
                        self._inherit(task_id, Listening(*connection.take_pair()))
                    case Counted():
                        if self._counts and not (counted := self._counts.pop(0)).done():
                            counted.set_result(report)
        self._has_died = bool(self._containers)
        self._log.warning("names.lost", containers=len(self._containers))

    async def _greet(self, connection: Connection, welcome: Welcome) -> None:
        """Tell the service what it does not know; one of another version has to go."""
        if (welcome.protocol, welcome.version) != (PROTOCOL, __version__):
            self._log.info("names.replaced", pid=welcome.pid, version=welcome.version)
            connection.say(Leave())
            return
        self._connection = connection
        self._answered = {each.task_id: each for each in welcome.askers}
        self._said.clear()
        connection.say(self._known())
        if self._has_reconciled:
            connection.say(Keep(tuple(self._containers)))
        await self._say_all(connection)

    def _inherit(self, task_id: TaskId, listening: Listening) -> None:
        """The sockets of a container that an earlier agent had answered."""
        container = self._containers.get(task_id)
        is_ours = container is not None and self._answered.get(task_id) == container.asker
        if container is not None and container.listening is None and is_ours:
            container.inherit(listening)
            self._said.add(task_id)
        else:
            listening.close()

    def _known(self) -> Take:
        """Everything that we know, which at some time is all there is of the node's own networks,
        and then of all."""
        is_complete = self._has_heard or self._knows_local
        everything = topology_of(self._records.values(), is_complete=is_complete)
        return Take(everything, is_local=not self._has_heard)


class _Container:
    """Who asks, and the sockets that it asks through.

    Those of a container that an earlier agent started come from the service. They are opened
    anew, in the namespace that is open as `netns`, only if it has not got them.
    """

    def __init__(
        self, asker: Asker, *, listening: Listening | None = None, netns: int = -1
    ) -> None:
        self.asker = asker
        self.listening = listening
        self._netns = netns
        self._is_closed = False

    def inherit(self, listening: Listening) -> None:
        """Have sockets."""
        if self._is_closed or self.listening is not None:
            listening.close()
            return
        self.listening = listening
        self._forget_netns()

    async def open(self) -> None:
        """Open sockets, in a thread. Raises `KernelRefused`."""
        netns = os.dup(self._netns)
        try:
            listening = await asyncio.to_thread(listen, netns)
        finally:
            os.close(netns)
        self.inherit(listening)

    def close(self) -> None:
        """Let go of it."""
        self._is_closed = True
        self._forget_netns()
        if self.listening is not None:
            self.listening.close()

    def _forget_netns(self) -> None:
        if self._netns >= 0:
            os.close(self._netns)
            self._netns = -1
