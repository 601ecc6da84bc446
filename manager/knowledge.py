"""Hold every object of the cluster with its indexes, as one key after the other is told.

What a key's new value or its end means is said here, kind by kind, and what it touches goes
into the notes. Whether a change is news, and what follows from a whole batch of them, is the
view's to say (`manager.view`). States only move forward: a report that comes late is not taken.
"""

from collections.abc import Iterable

from msgspec import structs

from manager import layout
from manager.applied import Notes
from manager.decoding import Key, Value
from manager.events import (
    health_event,
    node_event,
    service_event,
    task_event,
    task_state_event,
)
from manager.networks.register import KINDS, Register
from manager.roster import Roster
from manager.tally import Tally, wants_others
from swarm.ids import ConfigId, NodeId, SecretId, ServiceId, TaskId
from swarm.objects import (
    Cluster,
    Config,
    Ledger,
    Login,
    Node,
    Observation,
    Secret,
    Service,
    Session,
    SpecVersion,
    Task,
)
from swarm.specs import Global, GlobalJob, TaskSpec
from swarm.states import NodeState, TaskState


class Knowledge:
    """The objects. `standing` is what was last made of each node, `globals` run on every node.
    `register` holds what is known of networks.

    Nodes are `doubted` while their silence may be our own; managers have `departed` when
    their key went.
    """

    def __init__(self) -> None:
        self.cluster: Cluster | None = None
        self.nodes: dict[NodeId, Node] = {}
        self.services: dict[ServiceId, Service] = {}
        self.ledgers: dict[ServiceId, Ledger] = {}
        self.secrets: dict[SecretId, Secret] = {}
        self.configs: dict[ConfigId, Config] = {}
        self.logins: dict[ServiceId, Login] = {}
        self.register = Register()
        self.roster = Roster()
        self.tasks = self.roster.tasks
        self.sessions: dict[NodeId, Session] = {}
        self.names: dict[tuple[str, str], str] = {}
        self.managers: dict[NodeId, str] = {}
        self.doubted: set[NodeId] = set()
        self.departed: set[NodeId] = set()
        self.versions: dict[ServiceId, dict[int, SpecVersion]] = {}
        self.observed: dict[NodeId, dict[TaskId, Observation]] = {}
        self.globals: set[ServiceId] = set()
        self.standing: dict[NodeId, NodeState] = {}
        self.tally = Tally()
        self._followers: dict[str, set[ServiceId]] = {}
        self._followed: dict[ServiceId, set[str]] = {}

    def learn(self, key: Key, value: Value, notes: Notes) -> None:
        """`key` has this value now."""
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
            case Login():
                self.logins[value.service_id] = value
                notes.contents.add(value.service_id)
            case SpecVersion():
                self.versions.setdefault(key.service_id, {})[value.version] = value
                self._follow(key.service_id)
                notes.services.add(key.service_id)
            case Cluster():
                self.cluster = value
                notes.cluster = True
            case str() if key.kind == layout.MANAGERS:
                self.managers[key.node_id] = value
                self.departed.discard(key.node_id)
            case str() if key.kind == layout.NAMES:
                self.names[key.path[0], key.path[1]] = value
                self.register.named(key.path[0], key.path[1], value)
            case _:
                self.register.learn(key, value, notes)

    def forget(self, key: Key, version: int, notes: Notes) -> None:
        """There is no `key` any more; `version` was the revision of its last change."""
        match key.kind:
            case layout.TASKS:
                self._drop_task(key.task_id, notes)
            case layout.OBSERVED:
                self._drop_observation(key.node_id, key.task_id, notes)
            case layout.SERVICES:
                self._drop_service(key.service_id, notes)
            case layout.NODES:
                old_node = self.nodes.pop(key.node_id, None)
                self.doubted.discard(key.node_id)
                notes.nodes.add(key.node_id)
                notes.peers.add(key.node_id)
                notes.event(node_event(old_node, None, now=notes.now))
            case layout.SESSIONS:
                if (session := self.sessions.pop(key.node_id, None)) is not None:
                    notes.ended_sessions[key.node_id] = session.manager_id, version
                    notes.nodes.add(key.node_id)
            case layout.VERSIONS:
                versions = self.versions.get(key.service_id, {})
                versions.pop(int(key.path[1]), None)
                if not versions:
                    self.versions.pop(key.service_id, None)
                self._follow(key.service_id)
                notes.services.add(key.service_id)
            case layout.LEDGERS:
                self.ledgers.pop(key.service_id, None)
                notes.services.add(key.service_id)
            case layout.SECRETS | layout.CONFIGS | layout.LOGINS:
                self.secrets.pop(key.secret_id, None)
                self.configs.pop(key.config_id, None)
                self.logins.pop(key.service_id, None)
                notes.contents.add(key.path[0])
            case layout.MANAGERS:
                self.managers.pop(key.node_id, None)
                self.departed.add(key.node_id)
            case layout.NAMES:
                self.names.pop((key.path[0], key.path[1]), None)
                self.register.unnamed(key.path[0], key.path[1], notes)
            case kind if kind in KINDS:
                self.register.forget(key, notes)
            case _:
                self.cluster = None
                notes.cluster = True

    def recount(self, task: Task) -> None:
        """Count the task as what it has become."""
        state = self.state(task)
        if task.node_id and not state.is_terminal and self._is_down(task.node_id):
            state = TaskState.ORPHANED
        self.tally.count(task, state)

    def state(self, task: Task) -> TaskState:
        """The task's observed state; what nobody has reported yet is ASSIGNED or PENDING."""
        seen = self.observed.get(task.node_id, {}).get(task.id)
        waiting = TaskState.ASSIGNED if task.node_id else TaskState.PENDING
        return waiting if seen is None else max(seen.state, waiting)

    def followers(self, name: str) -> Iterable[ServiceId]:
        """The services that depend on the one of this name, or want to be near it or far."""
        return self._followers.get(name, ())

    def versions_of(self, service_id: ServiceId) -> list[SpecVersion]:
        """Every version that tasks of a service may be of."""
        service = self.services.get(service_id)
        stored = self.versions.get(service_id, {}).values()
        return [*stored, SpecVersion.of(service)] if service is not None else [*stored]

    def _put_service(self, service: Service, notes: Notes) -> None:
        old = self.services.get(service.id)
        self.services[service.id] = service
        if isinstance(service.spec.mode, Global | GlobalJob):
            self.globals.add(service.id)
        self._follow(service.id)
        notes.services.add(service.id)
        notes.endpoints.add(service.id)
        notes.services.update(self.followers(service.spec.name))
        notes.event(service_event(old, service, now=notes.now))

    def _drop_service(self, service_id: ServiceId, notes: Notes) -> None:
        old = self.services.pop(service_id, None)
        self.globals.discard(service_id)
        notes.services.add(service_id)
        notes.endpoints.add(service_id)
        self._follow(service_id)
        if old is not None:
            notes.services.update(self.followers(old.spec.name))
        notes.event(service_event(old, None, now=notes.now))

    def _put_ledger(self, ledger: Ledger, notes: Notes) -> None:
        self.ledgers[ledger.service_id] = ledger
        notes.services.add(ledger.service_id)
        if (service := self.services.get(ledger.service_id)) is not None:
            notes.services.update(self.followers(service.spec.name))

    def _put_node(self, node: Node, notes: Notes) -> None:
        old = self.nodes.get(node.id)
        self.nodes[node.id] = node
        if old is None or _peer_facts(old) != _peer_facts(node):
            notes.peers.add(node.id)
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
        old = self.roster.put(task)
        notes.task(task.id)
        notes.assigned(task.node_id, task.id)
        notes.touched(task)
        self.recount(task)
        if old is None or old.node_id != task.node_id:
            notes.services.update(self.followers(task.service_name))
        if old is None:
            notes.event(task_event(task, "create", now=notes.now))

    def _drop_task(self, task_id: TaskId, notes: Notes) -> None:
        task = self.roster.drop(task_id)
        if task is None:
            return
        self.tally.drop(task)
        notes.task(task_id)
        notes.assigned(task.node_id, task_id)
        notes.touched(task)
        notes.suspects.add((task.node_id, task_id))
        notes.freed = True
        notes.services.update(self.followers(task.service_name))
        notes.event(task_event(task, "remove", now=notes.now))

    def _put_observation(self, node_id: NodeId, seen: Observation, notes: Notes) -> None:
        of_node = self.observed.setdefault(node_id, {})
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
        self.recount(task)
        notes.event(task_state_event(task, seen.state, seen, now=notes.now))
        if seen.state.is_terminal:
            notes.freed = True
        if seen.state.is_terminal or task.attempt > 1 or self._is_rolling(task.service_id):
            notes.touched(task)

    def _drop_observation(self, node_id: NodeId, task_id: TaskId, notes: Notes) -> None:
        of_node = self.observed.get(node_id, {})
        of_node.pop(task_id, None)
        if not of_node:
            self.observed.pop(node_id, None)
        if (task := self.tasks.get(task_id)) is not None and task.node_id == node_id:
            notes.task(task_id)
            notes.touched(task)
            self.recount(task)

    def _is_rolling(self, service_id: ServiceId) -> bool:
        """Whether a rollout waits for tasks to come up: then is a first start news to plan by.

        One that is over may have left replicas of an earlier version on nodes that were down.
        """
        service, ledger = self.services.get(service_id), self.ledgers.get(service_id)
        if service is None or service.spec.is_job:
            return False
        rollout, version = ledger.rollout if ledger is not None else None, service.spec_version
        if wants_others(self.tally.of(service_id), version):
            return True
        if rollout is None:
            return version > 1
        return rollout.spec_version != version or not rollout.state.is_over

    def _follow(self, service_id: ServiceId) -> None:
        """Keep track of whom a service looks at, by any version that it may start tasks of."""
        versions = self.versions_of(service_id)
        self.register.join(service_id, versions)
        self.register.ask(service_id, self.services.get(service_id))
        before = self._followed.pop(service_id, set())
        names = {name for version in versions for name in _looked_at(version.task)}
        if names:
            self._followed[service_id] = names
        for name in names - before:
            self._followers.setdefault(name, set()).add(service_id)
        for name in before - names:
            self._followers[name].discard(service_id)
            if not self._followers[name]:
                del self._followers[name]

    def _is_down(self, node_id: NodeId) -> bool:
        return self.standing.get(node_id, NodeState.DOWN) is NodeState.DOWN


def _in_our_time(seen: Observation, task: Task | None, now: float) -> Observation:
    """Correct the time of a report by another clock: not in the future, nor before the task."""
    at = min(seen.at, now) if task is None else max(min(seen.at, now), task.created_at)
    if at == seen.at:
        return seen
    running_at = seen.running_at + at - seen.at if seen.running_at else 0.0
    return structs.replace(seen, at=at, running_at=running_at)


def _looked_at(spec: TaskSpec) -> set[str]:
    near = {each.service for each in spec.placement.affinities}
    return near | {each.service for each in spec.depends_on}


def _placement_facts(node: Node) -> tuple[object, ...]:
    told = node.description
    resources, labels = told.resources, told.engine_labels
    return node.spec, told.hostname, told.os, told.arch, resources, labels, told.volumes


def _peer_facts(node: Node) -> tuple[object, ...]:
    told = node.description
    return node.number, told.hostname, told.addr, told.data_path_addr, told.public_key
