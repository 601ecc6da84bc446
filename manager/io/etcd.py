"""Keep the swarm's state in etcd.

A lost connection is not news: calls wait for the next one within their deadline, watches go
on where they stopped, and reads are repeated. Only what writes is sent again in one case
alone, when it is certain that nobody took it: after a lost answer nobody knows whether it
happened (see `manager.store`).
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeVar

import grpc
from aetcd.rpc import rpc_pb2
from msgspec import Struct, structs

from manager.groups import OWN_ETCD, check
from manager.io.etcd_channel import Connection, Manners, address_of
from manager.io.etcd_messages import NotBegun, Scope, translated
from manager.store import Batch, Commit, Compacted, Item, Lease, LeaseId, Limits, Snapshot
from swarm.certificates import MANAGER_NAME, Identity
from swarm.errors import Invalid, Missing, Unavailable

_T = TypeVar("_T")
_FULL_READS = 5
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5


class Target(Struct, frozen=True, kw_only=True):
    """Where an etcd is and what it takes; as it stands, the one that swarmd starts.

    For an external one give `limits=EXTERNAL_ETCD, server_name="", ping_s=10.0`.
    """

    endpoints: tuple[str, ...]
    identity: Identity
    root: str = "swarm/"
    limits: Limits = OWN_ETCD
    server_name: str = MANAGER_NAME
    ping_s: float = 2.0
    timeout_s: float = 5.0
    page_keys: int = 5_000


class EtcdStore:
    """A `manager.store.Store` on etcd; leaves an endpoint that fails for the next one.

    To be made and used within one event loop.
    """

    def __init__(self, target: Target) -> None:
        if not target.endpoints:
            raise Invalid("etcd-endpoints: at least one is needed", hint="give https://HOST:PORT")
        self._target = target
        self._scope = Scope(target.root)
        self._addresses = tuple(map(address_of, target.endpoints))
        self._at = 0
        self._connections: dict[str, Connection] = {}
        self._is_closed = False

    @property
    def limits(self) -> Limits:
        """What this etcd takes in one transaction."""
        return self._target.limits

    async def read(self, prefix: str) -> Snapshot:
        """List the keys under `prefix`, in pages of one and the same revision."""
        for _ in range(_FULL_READS):
            try:
                return await self._read_pages(prefix)
            except Compacted:
                continue
        raise Unavailable(
            f"{prefix or 'the state'} cannot be listed: etcd compacts faster than we read",
            hint="raise --auto-compaction-retention of etcd",
        )

    async def commit(self, commit: Commit) -> int:
        """Do it all or nothing; see `manager.store` for what `Unavailable` leaves open."""
        check(commit, self.limits)
        request = self._scope.commit(commit)
        response = await self._ask(lambda etcd: etcd.commit(request))
        if not response.succeeded:
            raise self._scope.conflict(commit, response)
        return response.header.revision

    async def watch(self, prefix: str, *, after: int) -> AsyncGenerator[Batch, None]:
        """Yield each later commit once, across reconnects; raise `Compacted` after a gap."""
        assert after > 0, "a watch goes on from a snapshot's revision"
        pause_s = _FIRST_PAUSE_S
        while True:
            connection = self._connection()
            try:
                async with aclosing(self._changes(connection, prefix, after)) as batches:
                    async for batch in batches:
                        pause_s, after = _FIRST_PAUSE_S, batch.revision
                        if batch.changes:
                            yield batch
            except Unavailable:
                self._leave(connection)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def grant(self, ttl_s: int) -> Lease:
        """Open a lease. One whose answer was lost ends by itself."""
        request = rpc_pb2.LeaseGrantRequest(TTL=ttl_s)
        granted = await self._ask(lambda etcd: etcd.grant(request))
        return Lease(LeaseId(granted.ID), granted.TTL)

    async def keep_alive(self, lease: LeaseId) -> int:
        """Start the lease's time anew and return it (s)."""
        request = rpc_pb2.LeaseKeepAliveRequest(ID=lease)
        renewed = await self._ask(lambda etcd: etcd.keep_alive(request))
        if renewed.TTL <= 0:
            raise Missing(f"lease {lease:x} has ended", hint="grant another one")
        return renewed.TTL

    async def revoke(self, lease: LeaseId) -> None:
        """End the lease and remove its keys."""
        request = rpc_pb2.LeaseRevokeRequest(ID=lease)
        try:
            await self._ask(lambda etcd: etcd.revoke(request))
        except Missing:
            return

    async def compact(self, revision: int) -> None:
        """Forget how the state was before `revision`; etcd does so by itself every hour."""
        await self._ask(lambda etcd: etcd.compact(revision))

    async def renew(self, identity: Identity) -> None:
        """Go on with another certificate: watches reconnect, calls under way are finished."""
        self._target = structs.replace(self._target, identity=identity)
        old = list(self._connections.values())
        self._connections.clear()
        for connection in old:
            await connection.close(grace_s=self._target.timeout_s)

    async def close(self) -> None:
        """Drop the connections; calls and watches under way end with `Unavailable`."""
        self._is_closed = True
        for connection in self._connections.values():
            await connection.close(grace_s=None)

    async def _read_pages(self, prefix: str) -> Snapshot:
        items: list[Item] = []
        revision, more = 0, True
        while more:
            page = await self._read_page(prefix, start=items[-1].key if items else "", at=revision)
            items += map(self._scope.item, page.kvs)
            revision, more = revision or page.header.revision, page.more
        return Snapshot(revision, tuple(items))

    async def _read_page(self, prefix: str, *, start: str, at: int) -> rpc_pb2.RangeResponse:
        request = self._scope.read(prefix, start=start, revision=at, limit=self._target.page_keys)
        return await self._ask(lambda etcd: etcd.read(request), repeat_after=Unavailable)

    async def _changes(
        self, connection: Connection, prefix: str, after: int
    ) -> AsyncGenerator[Batch, None]:
        """Yield commits, and empty batches that only say how far nothing changed.

        Of the revision it was compacted at, etcd keeps what was written but not what was
        deleted. So if there is anything to catch up with, we ask from `after` itself, see one
        commit again and skip it. If there is nothing, we ask for what comes next, since etcd
        looks after those who lag behind only ten times a second.
        """
        start = after + 1
        while True:
            request = self._scope.watch(prefix, start=start)
            async with aclosing(connection.watch(request)) as responses:
                async for response in responses:
                    _raise_if_ended(response, after)
                    if response.created and start > after and response.header.revision > after:
                        start = after
                        break
                    if not response.events:
                        reached = after if response.created else response.header.revision
                        yield Batch(max(after, reached), ())
                    for batch in self._scope.batches(response.events, after=after):
                        after = batch.revision
                        yield batch

    async def _ask(
        self,
        question: Callable[[Connection], Awaitable[_T]],
        *,
        repeat_after: type[Unavailable] = NotBegun,
    ) -> _T:
        clock = asyncio.get_running_loop().time
        give_up_at, pause_s = clock() + self._target.timeout_s, _FIRST_PAUSE_S
        while True:
            connection = self._connection()
            try:
                return await question(connection)
            except Unavailable as err:
                self._leave(connection)
                if not isinstance(err, repeat_after) or clock() + pause_s >= give_up_at:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _connection(self) -> Connection:
        if self._is_closed:
            raise Unavailable("the connection to etcd is closed")
        address = self._addresses[self._at]
        if address not in self._connections:
            target = self._target
            manners = Manners(
                server_name=target.server_name,
                ping_s=target.ping_s,
                timeout_s=target.timeout_s,
                waits=len(self._addresses) == 1,
            )
            self._connections[address] = Connection(address, target.identity, manners)
        return self._connections[address]

    def _leave(self, connection: Connection) -> None:
        if self._connections.get(self._addresses[self._at]) is connection:
            self._at = (self._at + 1) % len(self._addresses)


def _raise_if_ended(response: rpc_pb2.WatchResponse, after: int) -> None:
    if response.canceled and response.compact_revision:
        raise Compacted(f"changes after {after} are compacted", hint="list again")
    if response.canceled:
        raise translated(grpc.StatusCode.UNAVAILABLE, response.cancel_reason)
