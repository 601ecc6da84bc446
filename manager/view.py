"""Know the cluster: every object, indexed, kept current change by change.

The view is fed by the watch and, ahead of it, by this manager's own commits ("read your own
writes"). So a change counts only when it is newer than what is known of its key, and a
deleted key is remembered until the watch has passed the deletion: otherwise the late echo
of an earlier write would bring the dead back. What a change touches is told in an
`Applied`; nothing here looks at the whole cluster because of one change.

A node is READY while it has a session and DOWN without one. In between is doubt: the leader
gives nodes the benefit of it (`doubt`, `give_up`, see `manager.liveness`) when their silence
may be its own, and so does the view when sessions vanish together with their manager.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from msgspec import structs

from manager import layout
from manager.applied import Applied, Notes
from manager.decoding import Key, Value, read_key, read_value
from manager.events import (
    health_event,
    node_event,
    node_state_event,
    service_event,
    task_event,
    task_state_event,
)
from manager.freshness import Freshness
from manager.roster import Roster
from manager.tally import Counted, Tally
from swarm.errors import Invalid
from swarm.ids import ConfigId, NodeId, SecretId, ServiceId, TaskId
from swarm.objects import (
    Cluster,
    Config,
    Ledger,
    Node,
    Observation,
    Secret,
    Service,
    Session,
    SpecVersion,
    Task,
)
from swarm.specs import Global, GlobalJob, ServiceSpec, TaskSpec
from swarm.states import NodeState, TaskState


class Change(Protocol):
    """One key's new value, or None when it was deleted, at the revision of the change."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def mod_revision(self) -> int: ...


class ClusterView:
    """What this manager knows. Read its dictionaries freely; change them through `apply`."""

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self.nodes: dict[NodeId, Node] = {}
        self.services: dict[ServiceId, Service] = {}
        self.ledgers: dict[ServiceId, Ledger] = {}
        self.secrets: dict[SecretId, Secret] = {}
        self.configs: dict[ConfigId, Config] = {}
        self._roster = Roster()
        self.tasks = self._roster.tasks
        self.sessions: dict[NodeId, Session] = {}
        self.names: dict[tuple[str, str], str] = {}
        self.managers: dict[NodeId, str] = {}
        self.doubted: set[NodeId] = set()
        self._departed: set[NodeId] = set()
        self._versions: dict[ServiceId, dict[int, SpecVersion]] = {}
        self._observed: dict[NodeId, dict[TaskId, Observation]] = {}
        self._globals: set[ServiceId] = set()
        self._followers: dict[str, set[ServiceId]] = {}
        self._standing: dict[NodeId, NodeState] = {}
        self._tally = Tally()
        self._freshness = Freshness()
        self._started = False

    # -- taking changes in ---------------------------------------------------------------

    def apply(
        self, changes: Iterable[Change], revision: int, *, now: float, ahead: bool = False
    ) -> Applied:
        """Take in what changed up to `revision`; `ahead` marks a commit of our own.

        A batch from the watch must be complete: after it, nothing older is expected.
        """
        notes = Notes(now)
        for change in changes:
            if self._freshness.is_new(change.key, change.mod_revision, ahead=ahead):
                self._take(change, notes)
        if not ahead:
            self._freshness.pass_by(revision)
        self._settle(notes)
        return notes.closed()

    def replace(self, items: Iterable[Change], revision: int, *, now: float) -> Applied:
        """Take in a complete listing at `revision` and tell the difference.

        The first listing is where this manager starts from: it makes no events.
        """
        first, self._started = not self._started, True
        listed = {item.key: item for item in items}
        notes = Notes(now)
        for key in self._freshness.older_than(revision):
            if key not in listed:
                self._remove(key, revision, notes)
        for item in sorted(listed.values(), key=_referents_first):
            if self._freshness.is_new(item.key, item.mod_revision, ahead=False):
                self._take(item, notes)
        self._freshness.pass_by(revision)
        if first:
            self.doubted.clear()
        self._settle(notes)
        return notes.closed(silently=first)

    def doubt(self, nodes: Iterable[NodeId], *, now: float) -> Applied:
        """Think of silent nodes as UNKNOWN rather than DOWN, for a while."""
        notes = Notes(now)
        for node_id in nodes:
            if node_id in self.nodes and node_id not in self.sessions:
                self.doubted.add(node_id)
                notes.nodes.add(node_id)
        self._settle(notes)
        return notes.closed()

    def give_up(self, nodes: Iterable[NodeId], *, now: float) -> Applied:
        """End the doubt: these nodes are DOWN unless they have a session by now."""
        notes = Notes(now)
        for node_id in nodes:
            if node_id in self.doubted:
                self.doubted.discard(node_id)
                notes.nodes.add(node_id)
        self._settle(notes)
        return notes.closed()

    def suppose(self, values: Iterable[tuple[str, Value, int]], *, now: float) -> Applied:
        """Take in values that were read before, each with its key and revision.

        For views that only think: nothing is decoded, compared or told as an event.
        """
        notes = Notes(now)
        for name, value, revision in values:
            key = read_key(name)
            assert key is not None, name
            self._freshness.learn(name, revision)
            self._learn(key, value, notes)
        self._settle(notes)
        return notes.closed(silently=True)

    @property
    def revision(self) -> int:
        """Up to where the watch has come."""
        return self._freshness.passed

    # -- questions -----------------------------------------------------------------------

    def tasks_of(self, service_id: ServiceId) -> Mapping[TaskId, Task]:
        """The service's tasks, past attempts included."""
        return self._roster.of(service_id)

    def tasks_on(self, node_id: NodeId) -> Mapping[TaskId, Task]:
        """The tasks given to the node, past attempts included."""
        return self._roster.on(node_id)

    def tasks_in(self, service_id: ServiceId, slot: int) -> tuple[Task, ...]:
        """The tasks of one slot, past attempts included, in no particular order."""
        return self._roster.within(service_id, slot)

    def slots_held(self, service_id: ServiceId) -> int:
        """How many slots of a service have a task that is not asked to be removed."""
        return self._roster.held(service_id)

    def services_with_tasks(self) -> Iterable[ServiceId]:
        """The services that have tasks, those that do not exist any more included."""
        return self._roster.services()

    def troubled(self, service_id: ServiceId) -> Iterable[Task]:
        """The tasks of a service that failed or are lost, and those that wait for a node."""
        waiting = self._roster.waiting().get(service_id, {})
        yield from waiting.values()
        for task_id in sorted(self._tally.troubled(service_id)):
            if task_id not in waiting:
                yield self.tasks[task_id]

    def observations_on(self, node_id: NodeId) -> Mapping[TaskId, Observation]:
        """What the node's agent last reported, of tasks that are no more as well."""
        return self._observed.get(node_id, {})

    def observation(self, task: Task) -> Observation | None:
        """What was last reported of `task`."""
        return self._observed.get(task.node_id, {}).get(task.id)

    def state(self, task: Task) -> TaskState:
        """The task's observed state; what nobody has reported yet is ASSIGNED or PENDING."""
        seen = self._observed.get(task.node_id, {}).get(task.id)
        waiting = TaskState.ASSIGNED if task.node_id else TaskState.PENDING
        return waiting if seen is None else max(seen.state, waiting)

    def node_state(self, node_id: NodeId) -> NodeState:
        """What to believe of a node; a node that does not exist is DOWN."""
        if node_id not in self.nodes:
            return NodeState.DOWN
        if node_id in self.sessions:
            return NodeState.READY
        return NodeState.UNKNOWN if node_id in self.doubted else NodeState.DOWN

    def task_spec(self, service_id: ServiceId, version: int) -> TaskSpec | None:
        """One version of a service's task spec."""
        found = self.version_of(service_id, version)
        return found.task if found is not None else None

    def version_of(self, service_id: ServiceId, version: int) -> SpecVersion | None:
        """One version of a service's task spec, with the labels of that time."""
        found = self._versions.get(service_id, {}).get(version)
        service = self.services.get(service_id)
        if found is not None or service is None or service.spec_version != version:
            return found
        return SpecVersion.of(service)

    def versions_of(self, service_id: ServiceId) -> Mapping[int, SpecVersion]:
        """The stored task specs of a service, by version."""
        return self._versions.get(service_id, {})

    def tally(self, service_id: ServiceId) -> Mapping[Counted, int]:
        """How many tasks the service has of each sort, see `manager.tally`."""
        return self._tally.of(service_id)

    def followers(self, name: str) -> Iterable[ServiceId]:
        """The services that depend on the one of this name, or want to be near it or far."""
        return self._followers.get(name, ())

    def version(self, key: str) -> int:
        """The revision of a key's last change as known here; 0 when there is no such key."""
        return self._freshness.version(key)

    # -- one change ----------------------------------------------------------------------

    def _take(self, change: Change, notes: Notes) -> None:
        if change.value is None:
            self._remove(change.key, change.mod_revision, notes)
        elif (key := read_key(change.key)) is not None:
            self._freshness.learn(change.key, change.mod_revision)
            try:
                self._learn(key, read_value(key, change.value), notes)
            except Invalid as err:
                notes.unreadable(change.key, err.message)

    def _remove(self, name: str, revision: int, notes: Notes) -> None:
        version = self._freshness.version(name)
        was_known = self._freshness.bury(name, revision)
        if was_known and (key := read_key(name)) is not None:
            self._forget(key, version, notes)

    def _learn(self, key: Key, value: Value, notes: Notes) -> None:
        match value:
            case Task():
                self._put_task(value, notes)
            case Observation():
                self._put_observation(key.node_id, value, notes)
            case Service():
                self._put_service(value, notes)
            case Node():
                self._put_node(value, notes)
            case Session():
                self.sessions[key.node_id] = value
                self.doubted.discard(key.node_id)
                notes.nodes.add(key.node_id)
            case Ledger():
                self._put_ledger(value, notes)
            case Secret():
                self.secrets[value.id] = value
                notes.contents.add(value.id)
            case Config():
                self.configs[value.id] = value
                notes.contents.add(value.id)
            case SpecVersion():
                self._versions.setdefault(key.service_id, {})[value.version] = value
                notes.services.add(key.service_id)
            case Cluster():
                self.cluster = value
                notes.cluster = True
            case str() if key.kind == layout.MANAGERS:
                self.managers[key.node_id] = value
                self._departed.discard(key.node_id)
            case str():
                self.names[key.path[0], key.path[1]] = value

    def _forget(self, key: Key, version: int, notes: Notes) -> None:  # one case a kind
        match key.kind:
            case layout.TASKS:
                self._drop_task(key.task_id, notes)
            case layout.OBSERVED:
                self._drop_observation(key.node_id, key.task_id, notes)
            case layout.SERVICES:
                old = self.services.pop(key.service_id, None)
                self._globals.discard(key.service_id)
                notes.services.add(key.service_id)
                if old is not None:
                    self._follow(old, None)
                    notes.services.update(self.followers(old.spec.name))
                notes.event(service_event(old, None, now=notes.now))
            case layout.NODES:
                old_node = self.nodes.pop(key.node_id, None)
                self.doubted.discard(key.node_id)
                notes.nodes.add(key.node_id)
                notes.event(node_event(old_node, None, now=notes.now))
            case layout.SESSIONS:
                if (session := self.sessions.pop(key.node_id, None)) is not None:
                    notes.ended_sessions[key.node_id] = session.manager_id, version
                    notes.nodes.add(key.node_id)
            case layout.VERSIONS:
                versions = self._versions.get(key.service_id, {})
                versions.pop(int(key.path[1]), None)
                if not versions:
                    self._versions.pop(key.service_id, None)
                notes.services.add(key.service_id)
            case layout.LEDGERS:
                self.ledgers.pop(key.service_id, None)
                notes.services.add(key.service_id)
            case layout.SECRETS | layout.CONFIGS:
                self.secrets.pop(key.secret_id, None)
                self.configs.pop(key.config_id, None)
                notes.contents.add(key.path[0])
            case layout.MANAGERS:
                self.managers.pop(key.node_id, None)
                self._departed.add(key.node_id)
            case layout.NAMES:
                self.names.pop((key.path[0], key.path[1]), None)
            case _:
                self.cluster = None
                notes.cluster = True

    def _put_service(self, service: Service, notes: Notes) -> None:
        old = self.services.get(service.id)
        self.services[service.id] = service
        if isinstance(service.spec.mode, Global | GlobalJob):
            self._globals.add(service.id)
        self._follow(old, service)
        notes.services.add(service.id)
        notes.services.update(self.followers(service.spec.name))
        notes.event(service_event(old, service, now=notes.now))

    def _put_ledger(self, ledger: Ledger, notes: Notes) -> None:
        self.ledgers[ledger.service_id] = ledger
        notes.services.add(ledger.service_id)
        if (service := self.services.get(ledger.service_id)) is not None:
            notes.services.update(self.followers(service.spec.name))

    def _put_node(self, node: Node, notes: Notes) -> None:
        old = self.nodes.get(node.id)
        self.nodes[node.id] = node
        if old is None:
            if node.id not in self.sessions:
                self.doubted.add(node.id)
            notes.event(node_event(None, node, now=notes.now))
            notes.nodes.add(node.id)
            return
        notes.event(node_event(old, node, now=notes.now))
        if _placement_facts(old) != _placement_facts(node):
            notes.nodes.add(node.id)

    def _put_task(self, task: Task, notes: Notes) -> None:
        old = self._roster.put(task)
        notes.task(task.id)
        notes.assigned(task.node_id, task.id)
        notes.touched(task)
        self._recount(task)
        if old is None or old.node_id != task.node_id:
            notes.services.update(self.followers(task.service_name))
        if old is None:
            notes.event(task_event(task, "create", now=notes.now))

    def _drop_task(self, task_id: TaskId, notes: Notes) -> None:
        task = self._roster.drop(task_id)
        if task is None:
            return
        self._tally.drop(task)
        notes.task(task_id)
        notes.assigned(task.node_id, task_id)
        notes.touched(task)
        notes.suspects.add((task.node_id, task_id))
        notes.freed = True
        notes.services.update(self.followers(task.service_name))
        notes.event(task_event(task, "remove", now=notes.now))

    def _put_observation(self, node_id: NodeId, seen: Observation, notes: Notes) -> None:
        of_node = self._observed.setdefault(node_id, {})
        old = of_node.get(seen.task_id)
        task = self.tasks.get(seen.task_id)
        if task is None:
            notes.suspects.add((node_id, seen.task_id))
        if old is not None and seen.state < old.state:
            return  # states only move forward: this one is late
        seen = _in_our_time(seen, task, notes.now)
        of_node[seen.task_id] = seen
        if task is None:
            return
        notes.task(task.id)
        notes.progressed.add(task.service_id)
        if seen.health and (old is None or old.health != seen.health):
            notes.event(health_event(task, seen, now=notes.now))
            notes.services.update(self.followers(task.service_name))
        if old is not None and old.state == seen.state:
            return
        notes.services.update(self.followers(task.service_name))
        self._recount(task)
        notes.event(task_state_event(task, seen.state, seen, now=notes.now))
        if seen.state.is_terminal:
            notes.freed = True
        if seen.state.is_terminal or task.attempt > 1 or self._is_rolling(task.service_id):
            notes.touched(task)

    def _drop_observation(self, node_id: NodeId, task_id: TaskId, notes: Notes) -> None:
        of_node = self._observed.get(node_id, {})
        of_node.pop(task_id, None)
        if not of_node:
            self._observed.pop(node_id, None)
        if (task := self.tasks.get(task_id)) is not None and task.node_id == node_id:
            notes.task(task_id)
            notes.touched(task)
            self._recount(task)

    def _is_rolling(self, service_id: ServiceId) -> bool:
        """Whether a rollout waits for tasks to come up: then is a first start news to plan by."""
        service, ledger = self.services.get(service_id), self.ledgers.get(service_id)
        if service is None or service.spec.is_job:
            return False
        rollout = ledger.rollout if ledger is not None else None
        if rollout is None:
            return service.spec_version > 1
        return rollout.spec_version != service.spec_version or not rollout.state.is_over

    def _follow(self, old: Service | None, new: Service | None) -> None:
        """Keep track of who looks at whom; both are the same service."""
        for service, is_new in ((old, False), (new, True)):
            if service is None:
                continue
            for name in _looked_at(service.spec):
                followers = self._followers.setdefault(name, set())
                (followers.add if is_new else followers.discard)(service.id)
                if not followers:
                    del self._followers[name]

    # -- what follows from a batch -------------------------------------------------------

    def _settle(self, notes: Notes) -> None:
        for node_id, (manager_id, version) in notes.ended_sessions.items():
            # A manager that lost its lease may be known to be back before its loss is known.
            # What is older than its key was bound to the lease that ended.
            renewed = self._freshness.version(layout.manager_key(manager_id))
            if node_id in self.nodes and (manager_id in self._departed or version < renewed):
                self.doubted.add(node_id)
        self.doubted.difference_update(self.sessions.keys() & notes.nodes)
        for node_id in sorted(notes.nodes):
            self._reconsider(node_id, notes)
        for node_id, task_id in notes.suspects:
            if task_id not in self.tasks and task_id in self._observed.get(node_id, {}):
                notes.nodes.add(node_id)
        if notes.freed:
            self._have_waiting_planned(notes)

    def _reconsider(self, node_id: NodeId, notes: Notes) -> None:
        before = self._standing.get(node_id)
        after = self.node_state(node_id)
        if node_id in self.nodes:
            self._standing[node_id] = after
        else:
            self._standing.pop(node_id, None)
        tasks = self.tasks_on(node_id)
        for task in tasks.values():
            notes.touched(task)
        notes.services.update(self._globals)
        notes.freed = True
        if before is after:
            return
        for task in tasks.values():
            self._recount(task)
        if (node := self.nodes.get(node_id)) is not None and before is not None:
            notes.event(node_state_event(node, after, now=notes.now))

    def _have_waiting_planned(self, notes: Notes) -> None:
        for tasks in self._roster.waiting().values():
            for task in tasks.values():
                notes.touched(task)

    def _recount(self, task: Task) -> None:
        state = self.state(task)
        if task.node_id and not state.is_terminal and self._is_down(task.node_id):
            state = TaskState.ORPHANED
        self._tally.count(task, state)

    def _is_down(self, node_id: NodeId) -> bool:
        return self._standing.get(node_id, NodeState.DOWN) is NodeState.DOWN

    def check(self) -> None:
        """Assert that every index says what the objects say."""
        self._roster.check()
        assert not self.doubted & self.sessions.keys()
        assert self.doubted <= self.nodes.keys()
        assert all(self._standing.get(n) is self.node_state(n) for n in self.nodes)
        self._freshness.check()
        for task in self.tasks.values():
            counted = self._tally.counted(task.id)
            self._recount(task)
            assert counted == self._tally.counted(task.id)
        counts = [
            self._tally.of(service_id)
            for service_id in {task.service_id for task in self.tasks.values()}
        ]
        assert sum(sum(each.values()) for each in counts) == len(self.tasks)


def _in_our_time(seen: Observation, task: Task | None, now: float) -> Observation:
    """Correct the time of a report by another clock: not in the future, nor before the task."""
    at = min(seen.at, now) if task is None else max(min(seen.at, now), task.created_at)
    if at == seen.at:
        return seen
    running_at = seen.running_at + at - seen.at if seen.running_at else 0.0
    return structs.replace(seen, at=at, running_at=running_at)


def _looked_at(spec: ServiceSpec) -> set[str]:
    near = {each.service for each in spec.task.placement.affinities}
    return near | {each.service for each in spec.task.depends_on}


def _placement_facts(node: Node) -> tuple[object, ...]:
    told = node.description
    resources, labels = told.resources, told.engine_labels
    return node.spec, told.hostname, told.os, told.arch, resources, labels, told.volumes


_ORDER = (
    layout.CLUSTER,
    layout.NODES,
    layout.VERSIONS,
    layout.SERVICES,
    layout.LEDGERS,
    layout.TASKS,
)


def _referents_first(change: Change) -> tuple[int, str]:
    """Order a listing so that what others refer to comes before them."""
    for place, prefix in enumerate(_ORDER):
        if change.key.startswith(prefix):
            return place, change.key
    return len(_ORDER), change.key
