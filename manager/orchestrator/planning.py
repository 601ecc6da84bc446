"""Plan one service: a plain function of what is known and the time.

Level-triggered: nothing is remembered between two calls, so a plan that was lost, refused or
made twice does no harm. What only time brings about is in the plan's `wake_at`. Planning a
service that does not exist cleans up after it.

Where no more than some slots were touched, `manager.orchestrator.patching` plans these alone,
if it can tell that the others do not matter. No plan starts more than `most` replicas: what is
left is in the plan's `rest`. Nor does it start tasks below `least_priority`: other services are
to be planned before these (`manager.agenda`).
"""

from collections.abc import Collection

from msgspec import structs

from manager.decisions import Plan
from manager.networks.addresses import Addresses
from manager.orchestrator.attempts import Attempt, attempts_of
from manager.orchestrator.depending import unmet
from manager.orchestrator.draft import LOWEST, PLENTY, Draft
from manager.orchestrator.jobs import plan_job
from manager.orchestrator.patching import patch
from manager.orchestrator.per_node import plan_per_node
from manager.orchestrator.reaping import dismiss, forget_versions
from manager.orchestrator.replicated import plan_replicated
from manager.orchestrator.rollout import Reversal, conclude, take_up
from manager.scheduler.fleet import Fleet
from manager.view import ClusterView
from swarm.ids import ServiceId
from swarm.objects import Ledger, Service
from swarm.specs import Replicated


def plan_service(
    view: ClusterView,
    service_id: ServiceId,
    *,
    fleet: Fleet,
    now: float,
    slots: Collection[int] | None = None,
    most: int = PLENTY,
    least_priority: int = LOWEST,
    addresses: Addresses | None = None,
) -> Plan:
    """What has to change about a service. `fleet` is in step with `view`; neither changes.

    `addresses` are in step with it, too; what the plan gets of them nobody else does until the
    next plan begins. Without them no task gets any.

    `slots` are all that was touched since it was last planned; None stands for all there is.
    """

    def new_draft() -> Draft:
        return Draft(
            view,
            service_id,
            now=now,
            most=most,
            least_priority=least_priority,
            addresses=addresses,
        )

    if slots is not None:
        patched = patch(view, service_id, slots, fleet=fleet, draft=new_draft())
        if patched is not None:
            return patched
    draft = new_draft()
    draft.reach()
    attempts = attempts_of(view, service_id)
    service = view.services.get(service_id)
    if service is None:
        dismiss(attempts, draft)
        draft.forget_ledger()
    elif service.spec.is_job:
        plan_job(view, service, attempts, draft=draft, fleet=fleet)
    else:
        _plan_lasting(view, service, attempts, draft, fleet)
    forget_versions(view, service_id, attempts, draft)
    draft.connect(view.tasks_of(service_id).values())
    return draft.finished()


def _plan_lasting(
    view: ClusterView, service: Service, attempts: list[Attempt], draft: Draft, fleet: Fleet
) -> None:
    """Plan what runs for ever. A rollback changes the service, and so it is all there is to do."""
    ledger = view.ledgers.get(service.id) or Ledger(service_id=service.id)
    course = take_up(view, service, attempts, now=draft.now)
    if isinstance(course, Reversal):
        draft.rewrite(course.service, course.revision)
        draft.remember(structs.replace(ledger, rollout=course.rollout))
        return
    draft.hold = unmet(view, service)
    if isinstance(service.spec.mode, Replicated):
        settled = plan_replicated(view, course, attempts, draft=draft, fleet=fleet)
    else:
        settled = plan_per_node(view, course, attempts, draft=draft, fleet=fleet)
    rollout = conclude(course, settled, draft)
    if rollout != ledger.rollout and rollout is not None:
        draft.remember(structs.replace(ledger, rollout=rollout))
