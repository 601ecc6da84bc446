"""Plan one service: a plain function of what is known and the time.

Level-triggered: nothing is remembered between two calls, so a plan that was lost, refused or
made twice does no harm. What only time brings about is in the plan's `wake_at`. Planning a
service that does not exist cleans up after it.
"""

from manager.decisions import Plan
from manager.orchestrator.attempts import attempts_of
from manager.orchestrator.draft import Draft
from manager.orchestrator.jobs import plan_job
from manager.orchestrator.per_node import plan_per_node
from manager.orchestrator.reaping import dismiss, forget_versions
from manager.orchestrator.replicated import plan_replicated
from manager.orchestrator.scaling import replicas_of
from manager.scheduler.fleet import Fleet
from manager.view import ClusterView
from swarm.ids import ServiceId
from swarm.specs import Replicated


def plan_service(view: ClusterView, service_id: ServiceId, *, fleet: Fleet, now: float) -> Plan:
    """What has to change about a service. `fleet` is in step with `view`; neither changes."""
    draft = Draft(view, service_id, now=now)
    attempts = attempts_of(view, service_id)
    service = view.services.get(service_id)
    if service is None:
        dismiss(attempts, draft)
        draft.forget_ledger()
    elif isinstance(service.spec.mode, Replicated):
        replicas = replicas_of(view, service)
        plan_replicated(view, service, attempts, replicas=replicas, draft=draft, fleet=fleet)
    elif service.spec.is_job:
        plan_job(view, service, attempts, draft=draft, fleet=fleet)
    else:
        plan_per_node(view, service, attempts, draft=draft, fleet=fleet)
    forget_versions(view, service_id, attempts, draft)
    return draft.finished()
