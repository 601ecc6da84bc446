"""Plan only the slots of a replicated service that something happened to.

What a whole plan decides of a slot depends on that slot's own attempts, as long as slots do not
wait for each other: then all others are as the last whole plan left them, and looking at them
again would find nothing. So a death costs what one slot costs, however many there are.

Whatever would have slots wait for each other, be counted or be told apart needs the whole:
`patch` then gives None, and decides nothing. What it decides of its slots is what the whole
plan would decide of them.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from manager.decisions import Plan
from manager.orchestrator.attempts import Attempt, seen_as_attempts
from manager.orchestrator.draft import Draft
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.replicated import by_slot, finish_slots, is_unsettled, settle_slots
from manager.orchestrator.rollout import Course, frame_for, take_up
from manager.orchestrator.scaling import replicas_of
from manager.scheduler.fleet import Fleet
from manager.tally import wants_others
from manager.view import ClusterView
from swarm.ids import ServiceId
from swarm.objects import Service, Task
from swarm.specs import Replicated


def patch(
    view: ClusterView,
    service_id: ServiceId,
    slots: Collection[int],
    *,
    fleet: Fleet,
    draft: Draft,
) -> Plan | None:
    """What has to change about these slots; None when only a whole plan can tell.

    `draft` is a new one, and not to be used for anything else.
    """
    service = view.services.get(service_id)
    if service is None or not _is_simple(view, service):
        return None
    tasks = [task for slot in slots for task in view.tasks_in(service_id, slot)]
    empty = set(slots) - {task.slot for task in tasks}
    missing = replicas_of(view, service) - view.slots_held(service_id)
    if missing not in (0, len(empty)):
        return None
    attempts = seen_as_attempts(view, tasks)
    course = take_up(view, service, attempts, now=draft.now)
    if not isinstance(course, Course):
        return None
    found = by_slot(attempts, draft)
    if missing:
        found.update({slot: [] for slot in empty})
    frame = frame_for(view, course, attempts, Whereabouts(view, service), now=draft.now)
    settled = settle_slots(found, frame, draft)
    if is_unsettled(course, settled, draft):
        return None
    draft.reach()
    for each in settled:
        draft.call_for(each.need)
    finish_slots(
        view, service, found, _with_failures(view, service_id, attempts), draft=draft, fleet=fleet
    )
    _forget_versions(view, service, attempts, draft)
    draft.connect(tasks)
    return draft.finished()


def _is_simple(view: ClusterView, service: Service) -> bool:
    """Whether nothing but its slots' own attempts decides about them, as far as can be told."""
    if not isinstance(service.spec.mode, Replicated) or service.spec.is_job:
        return False
    if service.spec.task.depends_on:
        return False
    ledger, version = view.ledgers.get(service.id), service.spec_version
    rollout = ledger.rollout if ledger is not None else None
    if rollout is not None and rollout.spec_version == version and not rollout.state.is_over:
        return False
    return not wants_others(view.tally(service.id), version)


def _forget_versions(
    view: ClusterView, service: Service, attempts: Iterable[Attempt], draft: Draft
) -> None:
    """Forget the task specs whose last task goes with this plan."""
    stored = view.versions_of(service.id).keys() - {service.spec_version}
    if not stored:
        return
    left: Counter[int] = Counter()
    for (_, version, _), count in view.tally(service.id).items():
        left[version] += count
    left.subtract(each.task.spec_version for each in attempts if draft.is_forgotten(each))
    for version in sorted(stored):
        if not left[version]:
            draft.remove_version(version)


def _with_failures(
    view: ClusterView, service_id: ServiceId, attempts: Iterable[Attempt]
) -> list[Attempt]:
    """The attempts, and those that failed elsewhere: they speak against their nodes."""
    found = {each.task.id: each for each in attempts}
    failed: list[Task] = [task for task in view.troubled(service_id) if task.id not in found]
    return [*found.values(), *seen_as_attempts(view, failed)]
