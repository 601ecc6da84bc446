"""Commit the sessions of those who arrive, many at a time without making anyone wait.

While one commit is under way, who arrives is gathered for the next: a lone agent is let in at
once, and thousands that come back together share a few dozen transactions. Whoever hung up
meanwhile is left out. A commit that fails is told to all who are in it: each of them tries
again alone (see `manager.io.dispatcher`), so that one conflict is one agent's delay.
"""

import asyncio
from collections.abc import Iterable

from msgspec import Struct

from manager.dispatch.arrivals import arrive
from manager.groups import size_bytes
from manager.io.mirror import Mirror
from manager.store import Commit, LeaseId, Limits
from swarm.dispatch import Hello
from swarm.errors import Conflict, SwarmError
from swarm.objects import Session

AT_ONCE = 100


class _Arrival(Struct, frozen=True, eq=False):
    hello: Hello
    session: Session
    lease: LeaseId
    answer: asyncio.Future[int]


class Reception:
    """The one writer of new sessions, as long as nobody is in its way."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._waiting: list[_Arrival] = []
        self._wake = asyncio.Event()

    async def take(self, hello: Hello, session: Session, lease: LeaseId) -> int:
        """Commit a session of a node that has no other one arriving; the commit's revision."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Arrival(hello, session, lease, answer))
        self._wake.set()
        return await answer

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # who came in the same moment goes along
            arrivals, commit = self._some()
            if not arrivals:
                self._wake.clear()
            if not commit.operations:
                continue
            try:
                revision = await self._mirror.commit(commit)
            except SwarmError as err:
                for each in _still_there(arrivals):
                    each.answer.set_exception(err)
            else:
                for each in _still_there(arrivals):
                    each.answer.set_result(revision)

    def _some(self) -> tuple[list[_Arrival], Commit]:
        """Those who waited longest, but no more than one commit carries."""
        waiting = list(_still_there(self._waiting))
        view, now, taken = self._mirror.view, self._mirror.clock(), list[_Arrival]()
        parts, total = list[Commit](), _Size()
        for each in waiting[:AT_ONCE]:
            taken.append(each)
            if each.session.node_id not in view.nodes:
                each.answer.set_exception(Conflict(f"node {each.session.node_id} is gone"))
                continue
            part = arrive(view, each.hello, each.session, lease=each.lease, now=now)
            total = total.plus(part)
            if parts and not total.fits_in(self._mirror.store.limits):
                taken.pop()
                break
            parts.append(part)
        self._waiting = waiting[len(taken) :]
        return taken, Commit(
            tuple(compare for part in parts for compare in part.compares),
            tuple(operation for part in parts for operation in part.operations),
        )


class _Size(Struct, frozen=True):
    count: int = 0
    bytes: int = 0

    def plus(self, part: Commit) -> "_Size":
        count = max(len(part.compares), len(part.operations))
        return _Size(self.count + count, self.bytes + size_bytes(part))

    def fits_in(self, limits: Limits) -> bool:
        return self.count <= limits.operations and self.bytes <= limits.bytes


def _still_there(arrivals: Iterable[_Arrival]) -> Iterable[_Arrival]:
    return (each for each in arrivals if not each.answer.done())
