"""Count what tasks take of a node, one by one: an oracle for the scheduler's table.

It shares no line with `manager.scheduler`: what is reserved follows from the tasks and their
specs alone. A task takes its share from its placement until its end.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from manager.view import ClusterView
from swarm.constraints import constraints_of
from swarm.objects import Node, Service, SpecVersion, Task
from swarm.specs import (
    Availability,
    PublishMode,
    Replicated,
    TaintEffect,
    TaskSpec,
    Toleration,
)
from swarm.states import NodeState, TaskState


def holders(view: ClusterView, node: Node) -> list[Task]:
    """The tasks that hold what they reserved of a node."""
    return [task for task in view.tasks_on(node.id).values() if not view.state(task).is_terminal]


def overcommitted(view: ClusterView, node: Node, tasks: Iterable[Task]) -> str:
    """What is given away twice when a node has these tasks; empty if nothing is."""
    there = node.description.resources
    cpu_millis = memory_bytes = 0
    counts, names, ports = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for task in tasks:
        version = version_of(view, task)
        reserved = version.task.reservations
        cpu_millis += reserved.cpu_millis
        memory_bytes += reserved.memory_bytes
        counts.update({each.kind: each.count for each in reserved.generic})
        names.update((each.kind, name) for each in task.claims for name in each.names)
        ports.update(_ports(version))
    if cpu_millis > there.cpu_millis:
        return f"{cpu_millis} of {there.cpu_millis} thousandths of a core are reserved"
    if memory_bytes > there.memory_bytes:
        return f"{memory_bytes} of {there.memory_bytes} bytes are reserved"
    for kind, count in counts.items():
        most = sum(len(each.names) or each.count for each in there.generic if each.kind == kind)
        if count > most:
            return f"{count} of {most} {kind} are reserved"
    twice = [*(f"{n}" for n, c in names.items() if c > 1), *(p for p, c in ports.items() if c > 1)]
    return f"{', '.join(twice)} are taken twice" if twice else ""


def refusal(view: ClusterView, node: Node, version: SpecVersion) -> str:
    """Why a node must not be given a task of this version, however much room it has."""
    if view.node_state(node.id) is not NodeState.READY:
        return "it is not ready"
    if node.spec.availability is not Availability.ACTIVE:
        return f"its availability is {node.spec.availability.word}"
    return unfit(node, version.task, TaintEffect.NO_SCHEDULE)


def unfit(node: Node, spec: TaskSpec, effect: TaintEffect) -> str:
    """What of its placement speaks against a node; NO_EXECUTE taints do in any case."""
    for constraint in constraints_of(spec):
        if not constraint.admits(node):
            return f"constraint {constraint} is not satisfied"
    for taint in node.spec.taints:
        if taint.effect in (effect, TaintEffect.NO_EXECUTE) and not any(
            _bears(each, taint.key, taint.value, taint.effect)
            for each in spec.placement.tolerations
        ):
            return f"taint {taint.key} is not tolerated"
    return ""


def wanted_there(view: ClusterView, node: Node, task: Task) -> int:
    """How many tasks of the same service are meant to run on a node."""
    return sum(
        each.service_id == task.service_id and each.desired <= TaskState.RUNNING
        for each in holders(view, node)
    )


def replicas_of(view: ClusterView, service: Service) -> int:
    """How many replicas there are to be, also while a service scales itself."""
    spec, ledger = service.spec, view.ledgers.get(service.id)
    assert isinstance(spec.mode, Replicated)
    if spec.autoscale is None:
        return spec.mode.replicas
    wish = ledger.replicas if ledger is not None and ledger.replicas else spec.mode.replicas
    return sorted((spec.autoscale.least, wish, spec.autoscale.most))[1]


def version_of(view: ClusterView, task: Task) -> SpecVersion:
    """What a task is made from."""
    found = view.version_of(task.service_id, task.spec_version)
    return found or SpecVersion(
        service_id=task.service_id, version=task.spec_version, task=TaskSpec()
    )


def _ports(version: SpecVersion) -> Iterator[str]:
    for port in version.ports:
        if port.mode is PublishMode.HOST and port.published:
            yield f"{port.ip or '*'}:{port.published}/{port.protocol.word}"


def _bears(toleration: Toleration, key: str, value: str, effect: TaintEffect) -> bool:
    if toleration.key and toleration.key != key:
        return False
    if toleration.effects and effect not in toleration.effects:
        return False
    return toleration.any_value or toleration.value == value
