"""Have a lease, and bind to it that this manager is there and which sessions it holds.

A manager that dies takes its sessions along, all at one revision with `managers/<node>`: that
tells the leader that it is not the agents who are silent. A process that follows an earlier
one of the same manager writes the earlier sessions anew with its own lease: their agents are
on their way here. When a lease is lost while agents are connected (the store was away for
too long), their keys are written again as soon as there is another lease.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice

import structlog

from manager import layout
from manager.dispatch.statuses import expected
from manager.io.line import Line
from manager.io.mirror import Mirror
from manager.store import Commit, LeaseId, Put
from swarm.codec import pack
from swarm.errors import Conflict, Missing, SwarmError, Unavailable
from swarm.ids import NodeId
from swarm.objects import Session

RETRY_S = 0.2
RENEWED_AT_ONCE = 100  # within what any etcd takes in one transaction

Lines = Callable[[], Iterable[Line]]


class Presence:
    """This manager's lease. `node_id` is the manager's own."""

    def __init__(
        self,
        mirror: Mirror,
        log: structlog.stdlib.BoundLogger,
        *,
        node_id: NodeId,
        address: str,
        ttl_s: int,
    ) -> None:
        self.node_id = node_id
        self._mirror = mirror
        self._log = log
        self._address = address
        self._ttl_s = ttl_s
        self._lease: LeaseId | None = None
        self._granted = asyncio.Event()

    async def lease(self) -> LeaseId:
        """The lease, as soon as there is one."""
        while self._lease is None:
            await self._granted.wait()
        return self._lease

    def inherited(self) -> list[Session]:
        """The sessions that the store says are this manager's."""
        view = self._mirror.view
        return [each for each in view.sessions.values() if each.manager_id == self.node_id]

    async def run(self, lines: Lines) -> None:
        """Have a lease for ever; `lines` are the sessions that are connected."""
        while True:
            try:
                granted = await self._mirror.store.grant(self._ttl_s)
                await self._announce(granted.id, lines)
                self._lease = granted.id
                self._granted.set()
                await self._keep(granted.id)
            except SwarmError as err:
                self._log.warning("presence.failed", reason=err.message)
                await asyncio.sleep(RETRY_S)
            finally:
                self._lease = None
                self._granted.clear()

    async def leave(self) -> None:
        """Let go of everything at once; if that fails, it ends by itself soon."""
        if self._lease is not None:
            try:
                await self._mirror.store.revoke(self._lease)
            except SwarmError as err:
                self._log.warning("presence.failed", reason=err.message)

    async def _keep(self, lease: LeaseId) -> None:
        while True:
            await asyncio.sleep(self._ttl_s / 3)
            try:
                await self._mirror.store.keep_alive(lease)
            except Unavailable as err:
                self._log.warning("presence.doubtful", reason=err.message)
            except Missing:
                self._log.warning("presence.lost", lease=f"{lease:x}")
                return

    async def _announce(self, lease: LeaseId, lines: Lines) -> None:
        view, key = self._mirror.view, layout.manager_key(self.node_id)
        put = Put(key, self._address.encode(), lease)
        revision = await self._mirror.commit(Commit((expected(view, key),), (put,)))
        # The end of an earlier lease took our sessions along. Until the view has seen that, it
        # would have us rely on keys that are gone, and nobody would write them again.
        await self._mirror.caught_up(revision)
        connected = {line.node_id: line for line in lines()}
        sessions = {session.node_id: session for session in self.inherited()}
        for line in connected.values():
            if line.node_id not in view.sessions:
                sessions[line.node_id] = self._session_of(line)
        for some in batched(sessions.values(), RENEWED_AT_ONCE):
            await self._renew(some, lease, connected)

    def _session_of(self, line: Line) -> Session:
        return Session(
            node_id=line.node_id,
            manager_id=self.node_id,
            session_id=line.session_id,
            since=self._mirror.clock(),
        )

    async def _renew(
        self, sessions: Sequence[Session], lease: LeaseId, connected: Mapping[NodeId, Line]
    ) -> None:
        """Write sessions' keys with the new lease, but those that someone else wrote meanwhile."""
        view = self._mirror.view
        keys = [layout.session_key(each.node_id) for each in sessions]
        puts = [Put(key, pack(session), lease) for key, session in zip(keys, sessions, strict=True)]
        try:
            revision = await self._mirror.commit(
                Commit(tuple(expected(view, key) for key in keys), tuple(puts))
            )
        except Conflict:
            for each in sessions if len(sessions) > 1 else ():
                await self._renew((each,), lease, connected)
            return
        for session in sessions:
            line = connected.get(session.node_id)
            if line is not None and line.session_id == session.session_id:
                line.revision = revision


def batched(items: Iterable[Session], size: int) -> Iterator[tuple[Session, ...]]:
    """The items in groups of at most `size`."""
    rest = iter(items)
    while some := tuple(islice(rest, size)):
        yield some
