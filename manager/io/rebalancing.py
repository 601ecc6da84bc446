"""Move tasks from full nodes to empty ones, in waves.

A wave is decided on the leader's own node table and committed under its fence as evictions;
the planners then bring each task's replacement up elsewhere, first where its service allows
that. Budgets make every wave small. When nodes join, and the swarm's operator wished for it,
the leader does the waves by itself.
"""

import asyncio
import contextlib

import structlog

from manager.applied import Applied
from manager.decisions import commit_for
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.newcomers import Newcomers, is_wanted
from manager.rebalancing import Moves, by_and_by, still_allowed
from swarm.errors import Conflict, SwarmError

ATTEMPTS = 8
MOST_AT_ONCE = 500
"""How many tasks one wave of our own moves; those who ask for more wait for the next."""


class Rebalancing:
    """Waves of moves, asked for or due."""

    def __init__(self, mirror: Mirror, leader: Leader, log: structlog.stdlib.BoundLogger) -> None:
        self._mirror = mirror
        self._leader = leader
        self._log = log
        self._newcomers: Newcomers | None = None
        self._stirred = asyncio.Event()
        mirror.listen(self._changed)

    async def wave(self, *, max_moves: int = 0, dry_run: bool = False) -> Moves:
        """Decide the next moves, and unless it is a `dry_run` have them carried out.

        `Unavailable` when this manager does not lead.
        """
        most = min(max_moves or MOST_AT_ONCE, MOST_AT_ONCE)
        for _ in range(ATTEMPTS):
            view = self._mirror.view
            found = still_allowed(view, await self._think(most))
            if dry_run or not found.moves:
                return found
            try:
                await self._leader.commit(commit_for(view, found.plan(), now=self._mirror.clock()))
            except Conflict:
                await self._mirror.settle()
                continue
            for move in found.moves:
                self._log.info(
                    "task.moved",
                    task_id=move.task_id,
                    node_id=move.from_node,
                    to_node_id=move.to_node,
                    reason=move.reason,
                )
            return found
        raise Conflict("others keep changing the same tasks", hint="repeat the command")

    async def _think(self, max_moves: int) -> Moves:
        """Choose the moves, and let others have their turn meanwhile."""
        thinking = by_and_by(self._mirror.view, self._leader.fleet, max_moves=max_moves)
        while True:
            try:
                next(thinking)
            except StopIteration as end:
                found: Moves = end.value
                return found
            await asyncio.sleep(0)

    async def run(self) -> None:
        """While this manager leads, spread tasks over nodes that came, for ever."""
        while True:
            await self._leader.leading()
            now = self._mirror.clock()
            self._newcomers = Newcomers(self._mirror.view, now=now)
            while self._leader.leads:
                await self._next(self._newcomers)
            self._newcomers = None

    async def _next(self, newcomers: Newcomers) -> None:
        stirred = self._stirred
        deadline, now = newcomers.next_deadline(), self._mirror.clock()
        if deadline is None or deadline > now:
            patience_s = None if deadline is None else deadline - now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await stirred.wait()
            return
        if not is_wanted(self._mirror.view):
            newcomers.moved(moves=0, held_back=0, now=now)
            return
        try:
            found = await self.wave()
        except SwarmError as err:
            self._log.warning("rebalance.postponed", reason=err.message)
            newcomers.put_off(now=self._mirror.clock())
            return
        newcomers.moved(moves=len(found.moves), held_back=found.held_back, now=self._mirror.clock())

    def _changed(self, applied: Applied) -> None:
        if applied.nodes and self._newcomers is not None:
            before = self._newcomers.next_deadline()
            self._newcomers.observe(self._mirror.view, applied, now=self._mirror.clock())
            if self._newcomers.next_deadline() == before and self._leader.leads:
                return
        elif self._leader.leads:
            return
        self._stirred.set()
        self._stirred = asyncio.Event()
