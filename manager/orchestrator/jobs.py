"""Plan a job: its runs, and in each of them every slot or node until it came to a good end.

What is over is written in the ledger in the same commit in which it is seen to be over, and
that alone decides: a slot that completed never runs again, whoever leads and whatever is
still known of its tasks. First comes what happened to the runs there are, then the firings
that are due, because they depend on which runs are still under way; then everything that has
to start is placed, the runs in order.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

import numpy as np
from msgspec import structs

from manager.orchestrator.attempts import Attempt
from manager.orchestrator.depending import unmet
from manager.orchestrator.draft import IN_TURN, Draft
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.job_nodes import go_around
from manager.orchestrator.job_slots import Round, go_on
from manager.orchestrator.preempting import make_room, make_room_on
from manager.orchestrator.reaping import dismiss, history_limit
from manager.orchestrator.schedules import begun, fired, next_firing, without_history
from manager.orchestrator.trying import Need, Rules, job_policy, wind_up
from manager.scheduler.asks import Ask, ask_of_version
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import homes_for
from manager.scheduler.placement import Claims, admitted_nodes, claims_at, place, without_room
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Ledger, Run, Service, SpecVersion
from swarm.specs import ReplicatedJob, TaskSpec
from swarm.states import RunState, TaskState

FAILURES_WINDOW_S = 300.0
"""How long a failure on a node speaks against placing the same there."""


def plan_job(
    view: ClusterView, service: Service, attempts: list[Attempt], *, draft: Draft, fleet: Fleet
) -> None:
    """Decide about all runs of a job; what they are is the ledger's to say."""
    known = view.ledgers.get(service.id, Ledger(service_id=service.id))
    ledger = begun(service, known, now=draft.now)
    job = _Job(view, service, draft, fleet)
    strangers = job.sort_out(attempts, ledger)
    is_held = any(each.may_run for each in strangers) | job.wind_up(ledger)
    ledger = job.look_at(ledger, is_held=is_held)
    ledger = fired(service, ledger, now=draft.now, abandoned=job.abandoned())
    is_held |= job.wind_up(ledger)
    ledger = job.look_at(ledger, is_held=is_held)
    kept = without_history(service.spec.schedule, ledger)
    for run in ledger.runs:
        if run not in kept.runs:
            dismiss(job.attempts[run.number], draft)
    draft.remember(kept)
    job.start([run for run in kept.runs if run.state is RunState.RUNNING])
    if (at := next_firing(service.spec.schedule, kept)) is not None:
        draft.wake(at)


class _Job:
    """A job while it is planned: the attempts and the rounds of its runs, by number."""

    def __init__(self, view: ClusterView, service: Service, draft: Draft, fleet: Fleet) -> None:
        self.attempts: defaultdict[int, list[Attempt]] = defaultdict(list)
        self._rounds: dict[int, Round] = {}
        self._view = view
        self._service = service
        self._draft = draft
        self._fleet = fleet
        self._may_stay = Whereabouts(view, service).may_stay

    def sort_out(self, attempts: Iterable[Attempt], ledger: Ledger) -> list[Attempt]:
        """File attempts under their runs; those that belong to none are strangers and go."""
        versions = {run.number: run.spec_version for run in ledger.runs}
        has_slots = isinstance(self._service.spec.mode, ReplicatedJob)
        strangers: list[Attempt] = []
        for each in attempts:
            task = each.task
            is_ours = versions.get(task.run) == task.spec_version and has_slots == bool(task.slot)
            if is_ours and task.desired is not TaskState.REMOVE:
                self.attempts[task.run].append(each)
            else:
                strangers.append(each)
        dismiss(strangers, self._draft)
        return strangers

    def look_at(self, ledger: Ledger, *, is_held: bool) -> Ledger:
        """Go on with the runs that were not looked at yet."""
        runs: list[Run] = []
        for run in ledger.runs:
            is_new = run.number not in self._rounds
            if is_new and (run.state is RunState.RUNNING or not run.number):
                self._rounds[run.number] = self._round(run, is_held=is_held)
                runs.append(self._told(self._rounds[run.number]))
            else:
                runs.append(run)
        return structs.replace(ledger, runs=tuple(runs))

    def abandoned(self) -> set[int]:
        """The runs that wait only for nodes that are down."""
        return {number for number, each in self._rounds.items() if each.is_abandoned}

    def wind_up(self, ledger: Ledger) -> bool:
        """Stop what is left of runs that are over; whether a replaced one still runs."""
        is_held = False
        for run in ledger.runs:
            if run.state is not RunState.RUNNING and run.number:
                own = self.attempts[run.number]
                wind_up(own, self._draft)
                is_held |= run.state is RunState.REPLACED and any(each.may_run for each in own)
        return is_held

    def start(self, runs: Iterable[Run]) -> None:
        """Place what runs need, or have it wait and say what for.

        A second placement would not see the first, so versions that differ take turns: what
        was placed has the job planned again. What is left waits, but it is there: the attempts
        before it may be forgotten already.
        """
        by_version: defaultdict[int, list[Run]] = defaultdict(list)
        for run in runs:
            if self._rounds[run.number].needs:
                by_version[run.spec_version].append(run)
        is_placed = False
        for version in sorted(by_version):
            is_placed |= self._start_all(by_version[version], is_early=is_placed)

    def _start_all(self, runs: list[Run], *, is_early: bool) -> bool:
        """Start what runs of one version need; whether any of it got a node."""
        spec = self._spec(runs[0])
        needs = [need for run in runs for need in self._rounds[run.number].needs]
        is_early |= spec.priority < self._draft.least_priority
        if reason := unmet(self._view, self._service, spec) or (IN_TURN if is_early else ""):
            for need in needs:
                self._wait(need, reason)
            return False
        if isinstance(self._service.spec.mode, ReplicatedJob):
            return self._place(needs, runs)
        return self._place_at_home(needs, runs)

    def _round(self, run: Run, *, is_held: bool) -> Round:
        spec, mode = self._spec(run), self._service.spec.mode
        attempts, limit = self.attempts[run.number], history_limit(self._view)
        rules = Rules(
            run=run,
            policy=job_policy(spec.restart),
            may_stay=self._may_stay,
            moves=isinstance(mode, ReplicatedJob),
        )
        if isinstance(mode, ReplicatedJob):
            return go_on(attempts, mode, rules, self._draft, limit=limit, is_held=is_held)
        admitted = admitted_nodes(self._fleet, self._ask(run))
        return go_around(attempts, admitted, rules, self._draft, limit=limit, is_held=is_held)

    def _told(self, found: Round) -> Run:
        """The run, saying why it cannot complete if that is so."""
        if found.spoiled is None or found.run.message:
            return found.run
        task = found.spoiled.task
        seen = self._view.observation(task)
        name = f"{task.service_name}.{task.slot or self._fleet.name(task.node_id)}"
        reason = seen and (seen.error or seen.message or f"exit code {seen.exit_code}")
        tries = f" after {task.attempt} attempts" if task.attempt > 1 else ""
        message = f"{name} failed{tries}: {reason or 'it was stopped and is not to be repeated'}"
        return structs.replace(found.run, message=message)

    def _place(self, needs: list[Need], runs: list[Run]) -> bool:
        room, reason = self._draft.addresses_for(runs[0].spec_version)
        for need in needs[room:]:
            self._wait(need, reason)
        needs = needs[:room]
        ask, slots = self._ask(runs[0]), [need.opening.slot for need in needs]
        leaving = Counter(each.task.node_id for each in self._draft.stopped)
        homes = homes_for(self._fleet, ask, slots, self._last_nodes() if ask.volumes else {})
        placed = place(
            self._fleet,
            ask,
            len(needs),
            failures=self._failures(runs),
            leaving=leaving,
            homes=homes,
        )
        waits = make_room(
            self._view,
            self._fleet,
            ask,
            placed,
            self._draft,
            leaving=leaving,
            avoid=frozenset(),
            homes=homes,
        )
        is_placed = False
        for index, (need, node_id) in enumerate(zip(needs, placed.by_task, strict=True)):
            if node_id:
                is_placed |= self._begin(need, node_id, placed.claims_of(index))
            else:
                self._wait(need, waits.get(index) or placed.reason_of(index))
        return bool(waits) or is_placed

    def _place_at_home(self, needs: list[Need], runs: list[Run]) -> bool:
        homes = [need.opening.node_id for need in needs]
        ask = self._ask(runs[0])
        refused = without_room(self._fleet, ask, homes)
        room, _ = self._draft.addresses_for(runs[0].spec_version)
        if room > 0:
            make_room_on(self._view, self._fleet, ask, refused.keys(), self._draft)
        taken: set[NodeId] = set()
        is_placed = False
        for need, home in zip(needs, homes, strict=True):
            if reason := refused.get(home):
                self._wait(need, reason)
            elif home not in taken:  # what another run has placed there is not counted yet
                taken.add(home)
                (claims,) = claims_at(
                    self._fleet, ask, np.array([self._fleet.rows[home]], np.int64)
                ) or ((),)
                is_placed |= self._begin(need, home, claims)
        return is_placed

    def _begin(self, need: Need, node_id: NodeId, claims: Claims) -> bool:
        """Start it there; False when it waits all the same."""
        if need.waiting is not None:
            return not self._draft.assign(need.waiting, node_id, claims)
        return not self._draft.create(self._service, need.opening, node_id, claims=claims)

    def _wait(self, need: Need, reason: str) -> None:
        if need.waiting is not None:
            self._draft.keep_waiting(need.waiting, reason)
        else:
            self._draft.create(self._service, need.opening, NodeId(""), reason)

    def _spec(self, run: Run) -> TaskSpec:
        found = self._view.task_spec(self._service.id, run.spec_version)
        return found if found is not None else self._service.spec.task

    def _ask(self, run: Run) -> Ask:
        version = self._view.version_of(self._service.id, run.spec_version)
        return ask_of_version(version or SpecVersion.of(self._service), self._service.spec.name)

    def _last_nodes(self) -> dict[int, NodeId]:
        """Where each slot was last, in whichever run: its volume is there."""
        every = [each.task for own in self.attempts.values() for each in own if each.task.node_id]
        every.sort(key=lambda task: (task.created_at, task.id))
        return {task.slot: task.node_id for task in every}

    def _failures(self, runs: Iterable[Run]) -> Counter[NodeId]:
        return Counter(
            each.task.node_id
            for run in runs
            for each in self.attempts[run.number]
            if each.state in (TaskState.FAILED, TaskState.REJECTED)
            and self._draft.now - each.at <= FAILURES_WINDOW_S
        )
