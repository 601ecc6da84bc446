"""Try out on a copy what the planners would do, and let the copy's agents obey.

The cluster's own view is never touched, so nothing of an experiment can leak into what the
leader decides. The copy holds what planning one service looks at: all nodes and services, and
the tasks of this service, of those it looks at or that look at it, and of those that it may
preempt; what all others reserve is in the copied node table, and what they have of its networks in
copied addresses. `Supposition.of` has to be made
between two changes of the view, and only gathers; the rest may be done on any thread.

Agents of nodes that are up do as they are told within the round, and what they start is
healthy: a forecast says what the swarm does, not how well the containers work.
"""

from collections.abc import Iterator, Sequence
from math import ceil

from msgspec import structs

from manager import layout
from manager.applied import Applied
from manager.decisions import SetDesired, changes_made, commit_for
from manager.decoding import Value
from manager.networks.addresses import Addresses
from manager.networks.attaching import networks_of_version
from manager.orchestrator.planning import plan_service
from manager.scheduler.fleet import Fleet
from manager.view import ClusterView
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Observation, Service, SpecVersion, Task
from swarm.specs import FailureAction, ServiceSpec, UpdatePolicy
from swarm.states import HealthState, NodeState, TaskState

STEPS = 20
"""In how many steps at most a rollout is tried: more at a time, should it take more."""
ROUNDS = 200
PATIENCE_S = 60.0
"""How far ahead the planners' own deadlines are followed, but for those of a schedule."""


class Supposition:
    """A copy of what matters to one service; `view` and all else are its own. `begin` first."""

    def __init__(
        self,
        values: Sequence[tuple[str, Value, int]],
        fleet: Fleet,
        addresses: Addresses,
        service_id: ServiceId,
        *,
        doubted: frozenset[NodeId],
        revision: int,
    ) -> None:
        self.view = ClusterView()
        self.fleet = fleet
        self.addresses = addresses
        self.service_id = service_id
        self.displaced: list[Task] = []
        """Tasks of other services that were asked to stop."""
        self._values = values
        self._doubted = doubted
        self._revision = revision
        self._restless: dict[TaskId, None] = {}

    @classmethod
    def of(
        cls, view: ClusterView, fleet: Fleet, addresses: Addresses, service: Service
    ) -> "Supposition":
        """Gather what planning `service` looks at; the service itself stays as `view` has it."""
        looked_at = sorted(_looked_at(view, service))
        tasks = [task_id for each in looked_at for task_id in view.tasks_of(each)]
        return cls(
            list(_values(view, looked_at)),
            fleet.copied(tasks),
            addresses.copied(_networks(view, service), tasks),
            service.id,
            doubted=frozenset(view.doubted),
            revision=view.revision,
        )

    def begin(self, *, now: float) -> None:
        """Make the copy."""
        self.view.suppose(self._values, now=now)
        self.view.give_up(sorted(self.view.doubted - self._doubted), now=now)

    def put(self, service: Service, *, now: float) -> None:
        """Have the service be as it would be."""
        tried = structs.replace(service, spec=hurried(service.spec))
        key = layout.service_key(service.id)
        self._take([(key, tried, self._next())], now=now)

    def settle(self, *, now: float) -> float:
        """Plan and obey until nothing moves any more; the time by then."""
        self._restless.update(dict.fromkeys(self.view.tasks_of(self.service_id)))
        until, latest = now, now + self._patience_s()
        for _ in range(ROUNDS):
            is_planned, wake_at = self._plan(until)
            is_moved = self._obey(until)
            if is_planned or is_moved:
                continue
            if wake_at is None or wake_at > latest:
                break
            until = max(until, wake_at)
        return until

    def _patience_s(self) -> float:
        """A run that its schedule starts soon is no consequence of what is tried."""
        service = self.view.services.get(self.service_id)
        return PATIENCE_S if service is None or service.spec.schedule is None else 0.0

    def _plan(self, now: float) -> tuple[bool, float | None]:
        plan = plan_service(
            self.view, self.service_id, fleet=self.fleet, now=now, addresses=self.addresses
        )
        if not plan.decisions:
            return False, plan.wake_at
        for each in plan.decisions:
            if isinstance(each, SetDesired):
                task = self.view.tasks[each.task_id]
                if task.service_id != self.service_id:
                    self.displaced.append(task)
        revision = self._next()
        changes = changes_made(commit_for(self.view, plan, now=now), revision)
        applied = self.view.apply(changes, revision, now=now, ahead=True)
        self._follow(applied)
        self._restless.update(dict.fromkeys(applied.tasks))
        return True, plan.wake_at

    def _obey(self, now: float) -> bool:
        """Let the agents do what they were told; whether there was anything to do."""
        restless, self._restless = list(self._restless), {}
        reports: list[tuple[str, Value, int]] = []
        for task_id in restless:
            task = self.view.tasks.get(task_id)
            if task is not None and (seen := self._report(task, now)) is not None:
                key = layout.observed_key(task.node_id, task.id)
                reports.append((key, seen, self._next()))
        self._take(reports, now=now)
        return bool(reports)

    def _report(self, task: Task, now: float) -> Observation | None:
        state = self.view.state(task)
        is_reachable = self.view.node_state(task.node_id) is NodeState.READY
        if state.is_terminal or not is_reachable:
            return None
        if task.desired > TaskState.RUNNING:
            return Observation(task_id=task.id, state=TaskState.SHUTDOWN, at=now)
        seen = self.view.observation(task)
        if state is TaskState.RUNNING and seen is not None and _is_well(seen):
            return None
        return Observation(
            task_id=task.id,
            state=TaskState.RUNNING,
            at=now,
            started_at=now,
            health=HealthState.HEALTHY,
        )

    def _take(self, values: list[tuple[str, Value, int]], *, now: float) -> None:
        self._follow(self.view.suppose(values, now=now))

    def _follow(self, applied: Applied) -> None:
        self.fleet.sync(self.view, applied)
        self.addresses.sync(self.view, applied)

    def _next(self) -> int:
        self._revision += 1
        return self._revision


def hurried(spec: ServiceSpec) -> ServiceSpec:
    """The same spec, rolled out without waiting for anybody: a forecast is about the end."""
    return structs.replace(spec, update=_hurried(spec.update, _size(spec)))


def _is_well(seen: Observation) -> bool:
    return seen.health in (HealthState.NONE, HealthState.HEALTHY)


def _size(spec: ServiceSpec) -> int:
    replicas: int = getattr(spec.mode, "replicas", 0)
    return replicas


def _hurried(policy: UpdatePolicy, size: int) -> UpdatePolicy:
    at_a_time = policy.parallelism and max(policy.parallelism, ceil(size / STEPS))
    return structs.replace(
        policy,
        parallelism=at_a_time,
        delay_s=0.0,
        monitor_s=0.0,
        canary=0,
        failure_action=FailureAction.CONTINUE,
    )


def _looked_at(view: ClusterView, service: Service) -> set[ServiceId]:
    """The services whose tasks matter to the planning of this one."""
    spec = service.spec
    names = {each.service for each in spec.task.placement.affinities}
    names |= {each.service for each in spec.task.depends_on}
    found = {service.id, *view.followers(spec.name)}
    for other in view.services.values():
        if other.spec.name in names or other.spec.task.priority < spec.task.priority:
            found.add(other.id)
    return found


def _networks(view: ClusterView, service: Service) -> set[NetworkId]:
    """The networks that tasks of the service are in, or would be."""
    ingress = view.ingress.id if view.ingress is not None else None
    versions = (SpecVersion.of(service), *view.versions_of(service.id).values())
    return {network for each in versions for network in networks_of_version(each, ingress)}


def _values(view: ClusterView, services: Sequence[ServiceId]) -> Iterator[tuple[str, Value, int]]:
    """What to copy, each thing after those that it refers to."""

    def valued(key: str, value: Value) -> tuple[str, Value, int]:
        return key, value, view.version(key)

    if view.cluster is not None:
        yield valued(layout.CLUSTER, view.cluster)
    for node in view.nodes.values():
        yield valued(layout.node_key(node.id), node)
    for node_id, session in view.sessions.items():
        yield valued(layout.session_key(node_id), session)
    for network in view.networks.values():
        yield valued(layout.network_key(network.id), network)
    for endpoint in view.endpoints.values():
        yield valued(layout.endpoint_key(endpoint.service_id), endpoint)
    for service_id in services:
        for version, spec in view.versions_of(service_id).items():
            yield valued(layout.version_key(service_id, version), spec)
    for service in view.services.values():
        yield valued(layout.service_key(service.id), service)
    for ledger in view.ledgers.values():
        yield valued(layout.ledger_key(ledger.service_id), ledger)
    for service_id in services:
        for task in view.tasks_of(service_id).values():
            yield valued(layout.task_key(service_id, task.id), task)
            if (seen := view.observation(task)) is not None:
                yield valued(layout.observed_key(task.node_id, task.id), seen)


def standing_of(view: ClusterView, task: Task) -> bool:
    """Whether a task holds its replica's place: it is wanted, has a node and has not ended."""
    if task.desired > TaskState.RUNNING or not task.node_id or view.state(task).is_terminal:
        return False
    return task.node_id in view.nodes and task.node_id != NodeId("")
