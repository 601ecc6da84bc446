"""Lead: plan what changed, commit it under the term's fence, and see what comes of it.

A term begins once the view has everything that was written before it. From then on whatever
changes is on the agenda, and services are planned one after the other: each plan sees the
placements of those before it, because a commit is in the view when it returns. A conflict
means that someone was faster, so we look again; a lost term makes every later commit fail by
its fence, and stops the planning as soon as we hear of it.

A commit that got no answer may have happened, or happen later, and what it placed takes room
that the next plan would give away again. So plans are fenced by the last revision of the
leader's key, and after such a commit the key is written anew: what has not happened by then
never will, and nothing is planned until the view has what did.
"""

import asyncio
import time
from functools import partial

import structlog
from msgspec import Struct

from manager import layout
from manager.agenda import Agenda, Due, priorities
from manager.applied import Applied
from manager.decisions import Plan, commits_for
from manager.decoding import GuestKey, read_key
from manager.dispatch.sessions import SILENT_PERIODS, heartbeat_period
from manager.election import Deposed, Elected, Followed, Holder, News
from manager.groups import split
from manager.io.mirror import Mirror
from manager.liveness import Liveness
from manager.networks.addresses import Addresses
from manager.networks.guests import plan_guest
from manager.orchestrator.planning import plan_service
from manager.orchestrator.reaping import plan_node
from manager.scheduler.fleet import Fleet
from manager.store import Commit, Fence, Put, Unchanged, fenced, holds
from manager.telling import placements, summed
from swarm.errors import Conflict, SwarmError, Unavailable
from swarm.ids import NodeId
from swarm.specs import ClusterSpec

RETRY_S = 0.1
LONGEST_RETRY_S = 1.0
BROKEN_RETRY_S = 10.0
PATIENCE_S = 5.0
MOST_STARTS = 20_000  # by one plan: nobody else has a say while it is made
LONGEST_WAIT_S = 10.0


class Leader:
    """This manager as the leader, whenever it is one. `heard` is for the election to call."""

    def __init__(self, mirror: Mirror, log: structlog.stdlib.BoundLogger) -> None:
        self.holder: Holder | None = None
        self._mirror = mirror
        self._log = log
        self._fence: Fence | None = None
        self._term: _Term | None = None
        self._stirred = asyncio.Event()
        mirror.listen(self._changed)

    @property
    def leads(self) -> bool:
        """Whether this manager leads, and has seen all that was written before its term."""
        return self._term is not None

    @property
    def fleet(self) -> Fleet:
        """The node table; `Unavailable` when this manager does not lead. Not to be changed."""
        return self._present().fleet

    @property
    def addresses(self) -> Addresses:
        """Who has which address; `Unavailable` and not to be changed likewise."""
        return self._present().addresses

    async def leading(self) -> int:
        """Wait until this manager leads; the number of its term."""
        while self._term is None:
            await self._stirred.wait()
        return self._term.fence.create_revision

    def heard(self, news: News) -> None:
        """Take note of how the election stands."""
        match news:
            case Elected(fence=fence):
                self._fence, self.holder = fence, None
                self._log.info("leader.elected", term=fence.create_revision)
            case Deposed(reason=reason):
                self._fence = self._term = None
                self._mirror.metrics.leader.set(0)
                self._log.warning("leader.deposed", reason=reason)
            case Followed(holder=holder):
                self.holder = holder
                self._log.info("leader.followed", leader_id=holder.node_id)
        self._stir()

    async def settled(self, *, within_s: float = PATIENCE_S) -> None:
        """Wait until this manager leads or knows who does; `Unavailable` if nobody does."""
        try:
            async with asyncio.timeout(within_s):
                while not self.leads and self.holder is None:
                    await self._stirred.wait()
        except TimeoutError as err:
            raise Unavailable(
                f"no manager has led the swarm for {within_s:g} s",
                hint="check that etcd runs and that a majority of the managers is up",
            ) from err

    async def commit(self, commit: Commit) -> int:
        """Commit as the leader; `Unavailable` when this manager does not lead."""
        await self.settled()
        if self._fence is None:
            raise Unavailable("this manager does not lead the swarm", hint="try again")
        return await self._mirror.commit(fenced(commit, self._fence))

    async def run(self) -> None:
        """Lead whenever elected, for ever."""
        while True:
            while self._fence is None:
                await self._stirred.wait()
            try:
                await self._begin(self._fence)
            except Unavailable as err:
                self._log.warning("term.delayed", reason=err.message)
                await asyncio.sleep(RETRY_S)
            while (term := self._term) is not None:
                await self._go_on(term)

    async def _begin(self, fence: Fence) -> None:
        """See all that earlier leaders wrote, and put everything on the agenda."""
        await self._mirror.caught_up(fence.create_revision)
        # A service that was removed, and its tasks with it, may have left specs behind.
        versions = await self._mirror.store.read(layout.VERSIONS)
        if fence != self._fence:
            return
        view, now = self._mirror.view, self._mirror.clock()
        liveness = Liveness(grace_s=self._grace_s())
        self._mirror.tell(view.doubt(liveness.elected(view, now=now), now=now))
        term = _Term(
            fence=fence,
            stretch=Unchanged(fence.key, fence.create_revision),
            fleet=Fleet.of(view),
            addresses=Addresses.of(view),
            liveness=liveness,
            agenda=Agenda(priorities=partial(priorities, view)),
        )
        term.agenda.add(sorted(view.services))
        term.agenda.add(sorted(view.services_with_tasks()))
        term.agenda.add(sorted(view.endpoints))
        for item in versions.items:
            if (key := read_key(item.key)) is not None:
                term.agenda.add((key.service_id,))
        term.nodes.update(dict.fromkeys(sorted({*view.nodes, *view.hosts()})))
        term.guests.update(dict.fromkeys(sorted(view.guests)))
        self._term = term
        self._mirror.metrics.leader.set(1)
        self._stir()

    async def _go_on(self, term: "_Term") -> None:
        """Do the next thing, or wait until there is one."""
        if term.stretch is None:
            await self._begin_stretch(term)
            return
        now = self._mirror.clock()
        if over := term.liveness.expired(now=now):
            self._mirror.tell(self._mirror.view.give_up(over, now=now))
        due = term.agenda.next(now=now) if not term.guests else None
        try:
            if term.guests:  # somebody waits for each, and is quickly answered
                await self._place(term, next(iter(term.guests)))
            elif due is not None:
                await self._plan(term, due)
            elif term.nodes:
                node_id = next(iter(term.nodes))
                del term.nodes[node_id]
                await self._tidy(term, node_id)
            else:
                await self._wait(term)
        except Conflict as err:
            await self._look_again(term, err)
        except SwarmError as err:
            self._log.warning("commit.failed", reason=err.message)
            term.stretch = None
            await self._look_again(term, err)
        else:
            term.conflicts = 0

    async def _begin_stretch(self, term: "_Term") -> None:
        """Have nothing happen any more that was decided before, and see all of it that did."""
        store, key = self._mirror.store, term.fence.key
        try:
            item = (await store.read(key)).find(key)
            if item is not None and holds(term.fence, item):
                anew = Put(key, item.value, item.lease)
                revision = await store.commit(Commit((Unchanged(key, item.mod_revision),), (anew,)))
                await self._mirror.caught_up(revision)
                term.stretch = Unchanged(key, revision)
                return
        except SwarmError as err:
            self._log.debug("stretch.delayed", reason=err.message)
        await asyncio.sleep(RETRY_S)

    async def _plan(self, term: "_Term", due: Due) -> None:
        started, service_id = time.perf_counter(), due.service_id
        try:
            plan = plan_service(
                self._mirror.view,
                service_id,
                fleet=term.fleet,
                now=self._mirror.clock(),
                slots=due.slots,
                most=MOST_STARTS,
                least_priority=due.priority,
                addresses=term.addresses,
            )
        except Exception:
            # One service that we cannot plan must not keep all others from being planned.
            self._log.exception("plan.failed", service_id=service_id)
            term.agenda.wake(service_id, self._mirror.clock() + BROKEN_RETRY_S)
            return
        self._mirror.metrics.plan_seconds.observe(time.perf_counter() - started)
        term.agenda.follow(plan)
        try:
            await self._commit(term, plan)
        except SwarmError:
            term.agenda.add((service_id,))
            raise

    async def _place(self, term: "_Term", key: GuestKey) -> None:
        """Give a guest its addresses, or say why not."""
        del term.guests[key]
        term.addresses.begin()
        decision = plan_guest(self._mirror.view, key, term.addresses)
        try:
            await self._commit(term, Plan(decisions=(decision,) if decision is not None else ()))
        except SwarmError:
            term.guests[key] = None
            raise

    async def _tidy(self, term: "_Term", node_id: NodeId) -> None:
        try:
            await self._commit(term, plan_node(self._mirror.view, node_id))
        except SwarmError:
            term.nodes[node_id] = None
            raise

    async def _commit(self, term: "_Term", plan: Plan) -> None:
        if not plan.decisions:
            await asyncio.sleep(0)
            return
        assert term.stretch is not None, "nothing is planned before a stretch begins"
        for commit in commits_for(self._mirror.view, plan, now=self._mirror.clock()):
            for part in split(fenced(commit, term.stretch), self._mirror.store.limits):
                await self._mirror.commit(part)
        self._record(plan)

    def _record(self, plan: Plan) -> None:
        self._mirror.metrics.placements.inc(placements(plan))
        for name, fields in summed(plan):
            self._log.info(name, **fields)

    async def _look_again(self, term: "_Term", err: SwarmError) -> None:
        """Wait for the view to see why we failed; longer each time, should it not help."""
        term.conflicts += 1
        self._log.debug("plan.repeated", reason=err.message, conflicts=term.conflicts)
        try:
            await self._mirror.settle()
        except SwarmError:
            await asyncio.sleep(RETRY_S)
        if term.conflicts > 1 and self._term is term:
            pause_s = min(RETRY_S * 2.0 ** (term.conflicts - 2) / 10, LONGEST_RETRY_S)
            await asyncio.sleep(pause_s)

    async def _wait(self, term: "_Term") -> None:
        deadlines = (term.agenda.next_deadline(), term.liveness.next_deadline())
        known = [each for each in deadlines if each is not None]
        # No longer than this, because the clock may be set while we wait by another one.
        known.append(self._mirror.clock() + LONGEST_WAIT_S)
        patience = max(0.0, min(known) - self._mirror.clock())
        stirred = self._stirred
        try:
            async with asyncio.timeout(patience):
                await stirred.wait()
        except TimeoutError:
            return

    def _changed(self, applied: Applied) -> None:
        term = self._term
        if term is None:
            return
        view = self._mirror.view
        term.fleet.sync(view, applied)
        term.addresses.sync(view, applied)
        term.liveness.observe(view, applied, now=self._mirror.clock())
        term.agenda.note(applied)
        term.nodes.update(dict.fromkeys(sorted(applied.nodes)))
        term.guests.update(dict.fromkeys(sorted(applied.guests)))
        if applied.services or applied.nodes or applied.guests:
            self._stir()

    def _present(self) -> "_Term":
        if self._term is None:
            raise Unavailable("this manager does not lead the swarm", hint="try again")
        return self._term

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = asyncio.Event()

    def _grace_s(self) -> float:
        view = self._mirror.view
        spec = view.cluster.spec if view.cluster is not None else ClusterSpec()
        return SILENT_PERIODS * heartbeat_period(spec.heartbeat_s, len(view.nodes))


class _Term(Struct, kw_only=True, eq=False):
    """What belongs to one term. `nodes` may hold reports of tasks that are no more.

    `guests` came or changed. `stretch` fences plans; None while nobody knows what became of one.
    """

    fence: Fence
    stretch: Unchanged | None
    fleet: Fleet
    addresses: Addresses
    liveness: Liveness
    agenda: Agenda
    nodes: dict[NodeId, None] = {}
    guests: dict[GuestKey, None] = {}
    conflicts: int = 0
