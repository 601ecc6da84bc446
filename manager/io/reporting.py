"""Commit what agents report, many at a time without making anyone wait.

While one commit is under way, what arrives is gathered for the next: a lone status goes at
once, and a thousand nodes share a transaction. A batch is acknowledged only after the
commit. When the store is away, batches wait here and are judged anew when it is back.
"""

import asyncio

import structlog

from manager import layout
from manager.dispatch.statuses import Reported, record
from manager.groups import split
from manager.io.line import Line
from manager.io.mirror import Mirror
from manager.store import Commit, Put
from swarm.dispatch import StatusAck, StatusBatch
from swarm.errors import Conflict, SwarmError, Unavailable
from swarm.objects import Observation

RETRY_S = 0.1
CONFLICTS = 3
AT_ONCE = 2_000
"""How many statuses one commit carries, and a session's more: others have to have a say."""


class _Waiting:
    """What one session has reported since the last commit."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.sequence = 0
        self.conflicts = 0
        self.statuses: list[Observation] = []

    def reported(self) -> Reported:
        return Reported(
            node_id=self.line.node_id,
            session_revision=self.line.revision,
            statuses=tuple(self.statuses),
        )


class Reporting:
    """The one writer of what this manager's nodes observe."""

    def __init__(self, mirror: Mirror, log: structlog.stdlib.BoundLogger) -> None:
        self._mirror = mirror
        self._log = log
        self._waiting: dict[str, _Waiting] = {}
        self._wake = asyncio.Event()

    def report(self, line: Line, batch: StatusBatch) -> None:
        """Have a batch committed and acknowledged."""
        waiting = self._waiting.setdefault(line.session_id, _Waiting(line))
        waiting.sequence = max(waiting.sequence, batch.sequence)
        waiting.statuses += batch.statuses
        self._wake.set()

    def forget(self, line: Line) -> None:
        """The session is over: its agent will repeat in the next one what was not committed."""
        self._waiting.pop(line.session_id, None)

    async def run(self) -> None:
        """Commit for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(0)  # what came in the same moment goes along
            self._wake.clear()
            batches = self._some()
            try:
                await self._commit(batches)
            except SwarmError as err:
                self._log.warning("statuses.delayed", sessions=len(batches), reason=err.message)
                self._put_back(batches)
                await asyncio.sleep(RETRY_S)

    def _some(self) -> list[_Waiting]:
        """What waits, the oldest first, but no more than one commit should carry."""
        batches: list[_Waiting] = []
        statuses = 0
        for session_id in list(self._waiting):
            batches.append(self._waiting.pop(session_id))
            statuses += len(batches[-1].statuses)
            if statuses >= AT_ONCE:
                break
        if self._waiting:
            self._wake.set()
        return batches

    async def _commit(self, batches: list[_Waiting]) -> None:
        revisions = [each.line.revision for each in batches]
        commit = record(self._mirror.view, [each.reported() for each in batches])
        try:
            for part in split(commit, self._mirror.store.limits) if commit.operations else ():
                await self._mirror.commit(part)
        except Conflict:
            await self._disagree(batches, revisions)
            return
        self._count(commit)
        for each in batches:
            each.line.send(StatusAck(sequence=each.sequence))

    async def _disagree(self, batches: list[_Waiting], revisions: list[int]) -> None:
        """One of these sessions is not the node's any more: find out which."""
        if len(batches) > 1:
            for each in batches:
                await self._commit([each])
            return
        await self._mirror.settle()
        (batch,), (tried,) = batches, revisions
        stands = self._mirror.view.version(layout.session_key(batch.line.node_id))
        if stands == batch.line.revision and batch.conflicts < CONFLICTS:
            batch.conflicts += 1 if stands == tried else 0
            await self._commit(batches)
            return
        batch.line.close(Unavailable("the session is not this node's any more", hint="reconnect"))

    def _put_back(self, batches: list[_Waiting]) -> None:
        for each in batches:
            newer = self._waiting.get(each.line.session_id)
            if newer is not None:
                each.sequence = max(each.sequence, newer.sequence)
                each.statuses += newer.statuses
            self._waiting[each.line.session_id] = each
        self._wake.set()

    def _count(self, commit: Commit) -> None:
        puts = sum(isinstance(operation, Put) for operation in commit.operations)
        if puts:
            self._mirror.metrics.batch_size.observe(puts)
