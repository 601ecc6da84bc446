"""Say what is not yet as wanted, after all faults have stopped."""

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TypeGuard

from msgspec import structs

from agent.topology import Table
from manager.decisions import Decision, Plan, UpdateMessage
from manager.dispatch.networks import Networks
from manager.dispatch.topology import Surroundings
from manager.networks.addresses import Addresses
from manager.orchestrator.depending import unmet
from manager.orchestrator.planning import plan_service
from manager.orchestrator.schedules import next_firing
from manager.scheduler.fleet import Fleet
from manager.view import ClusterView
from manager.wanting import wanted_replicas
from swarm.ids import ServiceId, TaskId
from swarm.objects import Node, Service, Task
from swarm.specs import Global, TaintEffect
from swarm.states import NodeState, RunState, TaskState
from tests.sim.addressing import full_network, left_over
from tests.sim.node import Node as Host
from tests.sim.node import image_works
from tests.sim.room import holders, overcommitted, refusal, unfit, version_of, wanted_there

LONGEST_RUN_S = 60.0
LATEST_FIRING_S = 62.0
FULL = "has no free address"


def unfinished(view: ClusterView, fleet: Fleet, hosts: Iterable[Host], *, now: float) -> str:
    """What is not as wanted; empty once everything is."""
    for node_id in sorted(view.nodes):
        if view.node_state(node_id) is not NodeState.READY:
            return f"node {node_id} is not ready"
    for service_id in sorted({*view.services, *(t.service_id for t in view.tasks.values())}):
        plan = plan_service(view, service_id, fleet=fleet, now=now, addresses=Addresses.of(view))
        for problem in _of_service(view, service_id, plan, now=now):
            return problem
    every = list(hosts)
    return next(chain(_of_hosts(view, every), _of_networks(view, every), left_over(view)), "")


def _of_service(
    view: ClusterView, service_id: ServiceId, plan: Plan, *, now: float
) -> Iterator[str]:
    service, ledger = view.services.get(service_id), view.ledgers.get(service_id)
    firing = next_firing(service.spec.schedule, ledger) if service is not None else None
    if ledger is not None and any(
        run.state is RunState.RUNNING and not _works(view, service_id, run.spec_version)
        for run in ledger.runs
    ):
        return  # a run keeps the version of when it fired, and this one never ends
    if not plan.decisions and any(
        not _works(view, service_id, task.spec_version)
        for task in view.tasks_of(service_id).values()
        if task.desired <= TaskState.RUNNING
    ):
        return  # what is broken goes on in its loop while the new version finds no place
    if _gives_way_to_a_loop(view, service_id):
        return
    # Why a task waits is as of when it was last tried: less room since then changes the words.
    news = [each for each in plan.decisions if not isinstance(each, UpdateMessage)]
    if news or (plan.wake_at is not None and firing is None):
        yield f"service {service_id} has yet to be planned: {plan}"
    if service is None:
        yield f"service {service_id} is gone but has tasks"
        return
    # What was on a node that left is remembered until what follows it has one.
    wanted = [
        task
        for task in view.tasks_of(service_id).values()
        if task.desired <= TaskState.RUNNING and (not task.node_id or task.node_id in view.nodes)
    ]
    if service.spec.is_job:
        yield from _of_job(view, service, now=now)
    else:
        rollout = ledger.rollout if ledger is not None else None
        may_wait = unmet(view, service) or any(not task.node_id for task in wanted)
        is_current = rollout is not None and rollout.spec_version == service.spec_version
        if rollout is not None and is_current and not rollout.state.is_over and not may_wait:
            yield f"service {service.spec.name} is still rolled out: {rollout}"
        if rollout is not None and not is_current and not rollout.state.is_over:
            yield f"service {service.spec.name} has a rollout that another overtook: {rollout}"
        kept = _kept_in_spite(view, service, wanted)
        places = {task.slot or task.node_id or task.id for task in wanted if task.id not in kept}
        # What waits for an address of another network than its node's old task has runs beside it.
        beside = sum(_waits_beside(view, task) for task in wanted)
        if not 0 <= len(places) - wanted_replicas(view, service) <= beside:
            yield f"service {service.spec.name} has {len(wanted)} tasks"
        for task in wanted:
            if task.node_id and view.state(task) < TaskState.RUNNING:
                yield f"{_name(task)} does not run yet"
    said = {each.task_id: each.message for each in plan.decisions if _is_word(each)}
    waiting = [_saying(task, said.get(task.id)) for task in wanted if not task.node_id]
    # Of several that fit on a node one is tried there, and only that one finds no address.
    is_said = any(FULL in task.message for task in waiting)
    for task in waiting:
        yield from _of_waiting(view, service, task, is_said=is_said)


def _is_word(decision: Decision) -> TypeGuard[UpdateMessage]:
    return isinstance(decision, UpdateMessage)


def _saying(task: Task, message: str | None) -> Task:
    """The task as it would be with the words of today."""
    return task if message is None else structs.replace(task, message=message)


def _waits_beside(view: ClusterView, task: Task) -> bool:
    return not task.slot and not task.node_id and bool(full_network(view, task))


def _gives_way_to_a_loop(view: ClusterView, service_id: ServiceId) -> bool:
    """Whether a broken earlier version takes its place at each try, and leaves it again."""
    looping = {
        f"preempted by {task.service_name}"
        for task in view.tasks.values()
        if task.desired <= TaskState.RUNNING
        and not _works(view, task.service_id, task.spec_version)
    }
    return any(task.eviction in looping for task in view.tasks_of(service_id).values())


def _kept_in_spite(view: ClusterView, service: Service, wanted: list[Task]) -> set[TaskId]:
    """Tasks of a global service that may not stay, while as many are down as may be."""
    most = service.spec.max_unavailable
    if service.spec.mode != Global() or not 0 < most <= sum(not task.node_id for task in wanted):
        return set()
    return {
        task.id
        for task in wanted
        if (node := view.nodes.get(task.node_id)) is not None
        and unfit(node, service.spec.task, TaintEffect.NO_EXECUTE)
    }


def _of_job(view: ClusterView, service: Service, *, now: float) -> Iterator[str]:
    ledger = view.ledgers.get(service.id)
    if ledger is None:
        yield f"job {service.spec.name} has not begun"
        return
    if unmet(view, service) or any(not task.node_id for task in view.tasks_of(service.id).values()):
        return  # what it waits for is looked at elsewhere
    for run in ledger.runs:
        going_for_s = now - run.started_at
        if (
            run.state is RunState.RUNNING
            and run.total
            and (not run.number or going_for_s > LONGEST_RUN_S)
        ):
            yield f"run {run.number} of {service.spec.name} still goes on"
    if service.spec.schedule is not None and now - ledger.fired_until > LATEST_FIRING_S:
        yield f"job {service.spec.name} has not fired since {ledger.fired_until}"


def starved(view: ClusterView, service: Service, task: Task) -> str:
    """Which node would do for a task that waits; empty when none would, or it has to wait."""
    if any(
        not view.state(each).is_terminal and view.node_state(each.node_id) is not NodeState.DOWN
        for each in view.tasks_in(task.service_id, task.slot)
        if each.node_id and (each.desired > TaskState.RUNNING or each.run == task.run)
    ):
        return ""  # what was before it runs, or is to end first
    # Why it waits is as of when it was last tried; only in the end are words of today asked for.
    return next(_of_waiting(view, service, task, is_said=True), "")


def _of_waiting(view: ClusterView, service: Service, task: Task, *, is_said: bool) -> Iterator[str]:
    """A task without a node says why, and there is none that would do."""
    if not task.message:
        yield f"{_name(task)} waits and does not say why"
    version = version_of(view, task)
    placement = version.task.placement
    if unmet(view, service) or unmet(view, service, version.task) or version.task.container.mounts:
        return
    if placement.affinities or any(
        wish.service == service.spec.name
        for other in view.services.values()
        for spec in (other.spec, *view.versions_of(other.id).values())
        for wish in spec.task.placement.affinities
    ):
        return
    if not task.slot:
        return  # it waits for one node, which only its message tells
    for node in view.nodes.values():
        most = placement.max_replicas_per_node
        if refusal(view, node, version) or overcommitted(view, node, [*holders(view, node), task]):
            continue
        if _is_evicted_from(view, node, task):
            continue
        if most and wanted_there(view, node, task) >= most:
            continue
        if full_network(view, task):
            if not is_said:
                yield f"{_name(task)} does not say that its network is full: {task.message}"
        else:
            yield f"{_name(task)} starves: {node.id} would do, but {task.message}"


def _is_evicted_from(view: ClusterView, node: Node, task: Task) -> bool:
    """Whether its replica is to leave this node, and runs there until it can."""
    return any(
        each.eviction and each.node_id == node.id and each.desired <= TaskState.RUNNING
        for each in view.tasks_in(task.service_id, task.slot)
    )


def _of_hosts(view: ClusterView, hosts: list[Host]) -> Iterator[str]:
    expected = {
        task.id
        for task in view.tasks.values()
        if task.node_id in view.nodes
        and task.desired <= TaskState.RUNNING
        and view.state(task) is TaskState.RUNNING
    }
    running = {
        each.task.id
        for host in hosts
        for each in host.running
        if each.task.id in expected or image_works(each.spec.container.image)
    }
    if running != expected:
        yield f"containers differ: {sorted(running ^ expected)}"
    kept = {task_id for host in hosts for task_id in host.containers}
    if strays := kept - view.tasks.keys():
        yield f"containers of no task are left: {sorted(strays)}"


def _of_networks(view: ClusterView, hosts: list[Host]) -> Iterator[str]:
    """Every agent knows what a new session would tell it, and nothing else."""
    networks = Networks.of(view)
    for host in hosts:
        if host.id in view.sessions and host.is_up:
            known = host.tasks.assignments.topology
            known.check()
            there = Table()
            there.take(Surroundings(host.id, networks).open())
            if differing := {
                key
                for key in known.records.keys() | there.records.keys()
                if known.records.get(key) != there.records.get(key)
            }:
                yield f"{host.id} is wrong about {', '.join(sorted(differing))}"


def _works(view: ClusterView, service_id: ServiceId, version: int) -> bool:
    spec = view.task_spec(service_id, version)
    return spec is None or image_works(spec.container.image)


def _name(task: Task) -> str:
    return f"{task.service_name}.{task.slot or task.node_id} ({task.id[:6]})"
