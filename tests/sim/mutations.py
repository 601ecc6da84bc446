"""Break the cluster on purpose, to see that the simulation notices.

Each function plants one bug, of the kind that one could write; its name says what it is.
`tests/sim/test_mutations.py` sees that each is found.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec import structs

from agent.reports import Reports
from agent.tasks import Tasks
from manager.dispatch import statuses
from manager.dispatch.bulletins import Bulletin
from manager.dispatch.networks import Networks
from manager.freshness import Freshness
from manager.liveness import Liveness
from manager.networks import reaching
from manager.networks.addresses import Addresses
from manager.orchestrator import (
    draft,
    job_slots,
    jobs,
    planning,
    reaping,
    replicas,
    replicated,
    rollout,
    schedules,
    updating,
)
from manager.orchestrator.attempts import Attempt, Phase
from manager.scheduler import preempting, room
from manager.store import Commit
from manager.view import ClusterView
from swarm.ranges import Range
from swarm.states import TaskState
from tests.sim import manager as leading

PLENTY = 1 << 40

Mutation = Callable[[pytest.MonkeyPatch], None]
MUTATIONS: dict[str, Mutation] = {}


def mutation(function: Mutation) -> Mutation:
    """Register a deliberate bug under the words of its name."""
    MUTATIONS[function.__name__.replace("_", " ")] = function
    return function


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Have the bug of this name, or none."""
    with pytest.MonkeyPatch.context() as patch:
        if name:
            MUTATIONS[name](patch)
        yield


# -- leadership and the store ------------------------------------------------------------


@mutation
def commits_are_not_fenced(patch: pytest.MonkeyPatch) -> None:
    """A deposed leader's writes are accepted."""

    def unfenced(commit: Commit, fence: object) -> Commit:
        return commit

    patch.setattr(leading, "fenced", unfenced)


@mutation
def a_new_leader_gives_no_grace(patch: pytest.MonkeyPatch) -> None:
    """Whoever has no session when the leader changes is taken for dead."""

    def elected(self: Liveness, view: ClusterView, *, now: float) -> tuple[str, ...]:
        self._until = {}
        view.doubted.clear()
        return ()

    patch.setattr(Liveness, "elected", elected)


@mutation
def late_echoes_count(patch: pytest.MonkeyPatch) -> None:
    """The view believes whatever the watch says last, as if it could not be old."""
    real = Freshness.is_new

    def is_new(self: Freshness, key: str, revision: int, *, ahead: bool) -> bool:
        real(self, key, revision, ahead=ahead)
        return True

    patch.setattr(Freshness, "is_new", is_new)


@mutation
def tasks_have_random_names(patch: pytest.MonkeyPatch) -> None:
    """A commit that was given up and done late creates tasks beside those of the next plan."""
    real = draft.Draft.name_of

    def name(self: draft.Draft, opening: draft.Opening, *args: Any) -> str:
        return f"{real(self, opening, *args)[:15]}{hash(self.now) % 10**9:09}"

    patch.setattr(draft.Draft, "name_of", name)


# -- statuses ----------------------------------------------------------------------------


@mutation
def statuses_are_lost_on_reconnect(patch: pytest.MonkeyPatch) -> None:
    """What was not acknowledged is forgotten when the session breaks."""

    def forgetful(reports: Reports, *, now: float) -> None:
        reports.__init__()  # type: ignore[misc]

    patch.setattr(Reports, "closed", forgetful)


@mutation
def statuses_rely_on_nothing(patch: pytest.MonkeyPatch) -> None:
    """A status that was given up overwrites a later one."""

    def nothing(*args: object) -> list[object]:
        return []

    patch.setattr(statuses, "unchanged", nothing)


@mutation
def agents_forget_to_stop_strays(patch: pytest.MonkeyPatch) -> None:
    """What was replaced while an agent was away goes on running there."""

    def nothing(self: Tasks, **kwargs: object) -> tuple[()]:
        return ()

    patch.setattr(Tasks, "_stop_strays", nothing)


# -- replicas ----------------------------------------------------------------------------


@mutation
def replacements_do_not_wait_for_the_end(patch: pytest.MonkeyPatch) -> None:
    """The next attempt starts while the one before it is still stopping."""
    real = replicas.Replica.having

    def having(self: replicas.Replica, phase: Phase) -> list[Attempt]:
        return [] if phase is Phase.LEAVING else real(self, phase)

    patch.setattr(replicas.Replica, "having", having)


@mutation
def the_deciding_attempt_is_trimmed(patch: pytest.MonkeyPatch) -> None:
    """History keeps so many attempts, whether or not they are what the next one depends on."""
    real = reaping.trim

    def trim(
        attempts: Sequence[Attempt], limit: int, plan: draft.Draft, *, is_opened: bool
    ) -> None:
        del is_opened
        real(attempts, limit, plan, is_opened=True)

    for module in (reaping, replicated):
        if hasattr(module, "trim"):
            patch.setattr(module, "trim", trim)


# -- rollouts ----------------------------------------------------------------------------


@mutation
def parallelism_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """No place is ever taken."""
    patch.setattr(updating, "_taken", lambda *given: 0)


@mutation
def monitoring_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A rollout is over as soon as all is up."""
    patch.setattr(rollout, "_up_since", lambda *given: 0.0)


@mutation
def nothing_has_to_be_proven(patch: pytest.MonkeyPatch) -> None:
    """What runs is relied upon at once."""
    patch.setattr(rollout.Course, "proven_s", property(lambda self: 0.0))


@mutation
def start_first_stops_the_old_one_first(patch: pytest.MonkeyPatch) -> None:
    """The order of an update is forgotten where it counts."""
    real = updating.anew

    def anew(*given: Any, start_first: bool = False, **more: Any) -> Any:
        del start_first
        return real(*given, **more)

    patch.setattr(updating, "anew", anew)


@mutation
def canaries_do_not_hold(patch: pytest.MonkeyPatch) -> None:
    """The rest is updated without anybody's leave."""
    patch.setattr(rollout.Course, "canaries", property(lambda self: 0))


@mutation
def a_failed_rollout_goes_on(patch: pytest.MonkeyPatch) -> None:
    """The rollback that its failures call for is forgotten."""
    real = rollout._reversal

    def reversal(view: ClusterView, course: rollout.Course, *given: Any, **more: Any) -> Any:
        found = real(view, course, *given, **more)
        return course if isinstance(found, rollout.Reversal) else found

    patch.setattr(rollout, "_reversal", reversal)


# -- jobs --------------------------------------------------------------------------------


@mutation
def completed_slots_are_not_written_down(patch: pytest.MonkeyPatch) -> None:
    """What a job has done is only known from tasks."""

    def forgetful(known: object, slots: object) -> object:
        return known

    patch.setattr(job_slots, "with_slots", forgetful)


@mutation
def max_concurrent_is_ignored(patch: pytest.MonkeyPatch) -> None:
    """A job begins with all of its slots."""
    real = job_slots._next_slots

    def next_slots(over: Any, begun: Any, mode: Any, run: Any) -> Any:
        return real(over, begun, structs.replace(mode, max_concurrent=0), run)

    patch.setattr(job_slots, "_next_slots", next_slots)


@mutation
def firings_are_not_written_down(patch: pytest.MonkeyPatch) -> None:
    """The time up to which firings are decided does not go on."""
    real = schedules.fired

    def fired(service: Any, ledger: Any, **more: Any) -> Any:
        found = real(service, ledger, **more)
        return structs.replace(found, fired_until=ledger.fired_until)

    patch.setattr(jobs, "fired", fired)


@mutation
def dependencies_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Everything starts at once."""
    for module in (planning, jobs):
        patch.setattr(module, "unmet", lambda *given: "")


# -- placement ---------------------------------------------------------------------------


@mutation
def reservations_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Every node has room for everything."""
    real = room.Room.capacity
    patch.setattr(room.Room, "capacity", lambda *a, **k: real(*a, **k) + PLENTY)


@mutation
def reservations_count_twice(patch: pytest.MonkeyPatch) -> None:
    """Nodes seem to be full when they are half full."""
    real = room.Room.capacity
    patch.setattr(room.Room, "capacity", lambda *a, **k: real(*a, **k) // 2)


@mutation
def ports_are_ignored(patch: pytest.MonkeyPatch) -> None:
    """Two tasks of one node may publish the same port."""
    patch.setattr(room, "clash", lambda *given: False)


@mutation
def equals_give_way(patch: pytest.MonkeyPatch) -> None:
    """Tasks of the same priority are preempted as well."""

    def ranks_below(load: Any, ask: Any) -> bool:
        return load.ask.service_id != ask.service_id and load.ask.priority <= ask.priority

    patch.setattr(preempting, "_ranks_below", ranks_below)


# -- networks ----------------------------------------------------------------------------


@mutation
def addresses_are_free_once_their_task_is_to_stop(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the end of who has it."""
    real = Addresses._put_task

    def put_task(self: Addresses, view: ClusterView, task: Any) -> None:
        if task.desired > TaskState.RUNNING:
            task = structs.replace(task, attachments=())
        real(self, view, task)

    patch.setattr(Addresses, "_put_task", put_task)


@mutation
def services_give_their_addresses_up_at_every_update(patch: pytest.MonkeyPatch) -> None:
    """Whoever remembers where a service was finds nobody there."""
    real = reaching._virtual

    def virtual(view: Any, service: Any, networks: Any, kept: Any, addresses: Any) -> Any:
        if service.spec_version > 1 and not view.ledgers.get(service.id):
            kept = {}
        return real(view, service, networks, kept, addresses)

    patch.setattr(reaching, "_virtual", virtual)


@mutation
def endpoints_outlive_their_services(patch: pytest.MonkeyPatch) -> None:
    """What was chosen for a service that is removed stays taken."""
    patch.setattr(reaching, "_without_service", lambda *given: reaching.Reach())


@mutation
def those_who_wait_do_not_hear_of_freed_addresses(patch: pytest.MonkeyPatch) -> None:
    """A pool seems to be as full as it ever was."""
    patch.setattr(Range, "release", lambda self, address: None)


@mutation
def nobody_is_told_what_left_a_network(patch: pytest.MonkeyPatch) -> None:
    """Only what is new or different is told."""
    real = Bulletin.since

    def since(self: Bulletin, number: int) -> Any:
        found = real(self, number)
        return found and structs.replace(found, gone=())

    patch.setattr(Bulletin, "since", since)


@mutation
def tasks_of_silent_nodes_seem_to_answer(patch: pytest.MonkeyPatch) -> None:
    """That a node is down changes nothing of what others are told."""
    real = Networks.take

    def take(self: Networks, view: ClusterView, applied: Any) -> Any:
        return real(self, view, structs.replace(applied, nodes=frozenset()))

    patch.setattr(Networks, "take", take)
