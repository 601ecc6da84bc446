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

from manager import layout
from manager.applied import Applied, Notes
from manager.decoding import GuestKey, Value, read_key, read_value
from manager.events import (
    node_state_event,
)
from manager.freshness import Freshness
from manager.knowledge import Knowledge
from manager.tally import Counted
from swarm import specs
from swarm.errors import Invalid
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import (
    Cluster,
    Guest,
    Network,
    Observation,
    Sealed,
    SpecVersion,
    Task,
)
from swarm.specs import TaskSpec
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
        known = self._known = Knowledge()
        self.nodes = known.nodes
        self.services = known.services
        self.ledgers = known.ledgers
        self.secrets = known.secrets
        self.configs = known.configs
        self.logins = known.logins
        self.tasks = known.tasks
        self.networks = known.register.networks
        self.endpoints = known.register.endpoints
        self.guests = known.register.roll.of
        self.sessions = known.sessions
        self.names = known.names
        self.managers = known.managers
        self.doubted = known.doubted
        self._roster = known.roster
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
            self._known.learn(key, value, notes)
        self._settle(notes)
        return notes.closed(silently=True)

    @property
    def revision(self) -> int:
        """Up to where the watch has come."""
        return self._freshness.passed

    # -- questions -----------------------------------------------------------------------

    @property
    def cluster(self) -> Cluster | None:
        """The cluster object, as soon as it is known."""
        return self._known.cluster

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
        for task_id in sorted(self._known.tally.troubled(service_id)):
            if task_id not in waiting:
                yield self.tasks[task_id]

    def observations_on(self, node_id: NodeId) -> Mapping[TaskId, Observation]:
        """What the node's agent last reported, of tasks that are no more as well."""
        return self._known.observed.get(node_id, {})

    def observation(self, task: Task) -> Observation | None:
        """What was last reported of `task`."""
        return self._known.observed.get(task.node_id, {}).get(task.id)

    def state(self, task: Task) -> TaskState:
        """The task's observed state; what nobody has reported yet is ASSIGNED or PENDING."""
        return self._known.state(task)

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
        found = self._known.versions.get(service_id, {}).get(version)
        service = self.services.get(service_id)
        if found is not None or service is None or service.spec_version != version:
            return found
        return SpecVersion.of(service)

    def versions_of(self, service_id: ServiceId) -> Mapping[int, SpecVersion]:
        """The stored task specs of a service, by version."""
        return self._known.versions.get(service_id, {})

    def tally(self, service_id: ServiceId) -> Mapping[Counted, int]:
        """How many tasks the service has of each sort, see `manager.tally`."""
        return self._known.tally.of(service_id)

    def followers(self, name: str) -> Iterable[ServiceId]:
        """The services that depend on the one of this name, or want to be near it or far."""
        return self._known.followers(name)

    @property
    def ingress(self) -> Network | None:
        """The network that carries what services publish on every node, if there is one."""
        ingress = self._known.register.ingress
        return self.networks[ingress] if ingress is not None else None

    @property
    def pools(self) -> str:
        """Where the search for a network's number and subnet goes on, see `manager.networks`."""
        return self._known.register.pools

    @property
    def network_keys(self) -> Mapping[int, Sealed]:
        """The sealed secrets that encrypted networks derive their keys from, by number."""
        return self._known.register.keys

    def members(self, network_id: NetworkId) -> Iterable[ServiceId]:
        """The services of which a version is in the network, those that are removed included."""
        return self._known.register.members(network_id)

    def guests_on(self, node_id: NodeId) -> Mapping[GuestKey, Guest]:
        """The containers of a node that are no tasks and in the swarm's networks."""
        return self._known.register.roll.on(node_id)

    def guests_in(self, network_id: NetworkId) -> Mapping[GuestKey, Guest]:
        """Those in a network."""
        return self._known.register.roll.within(network_id)

    def stays_of(self, container_id: TaskId) -> tuple[Guest, ...]:
        """Where a container that is no task's is, in order of the networks."""
        return self._known.register.roll.stays(container_id)

    def hosts(self) -> Iterable[NodeId]:
        """The nodes that have guests, or had when they left the swarm."""
        return self._known.register.roll.nodes()

    def port_holders(self, protocol: specs.Protocol, port: int) -> Mapping[str, ServiceId]:
        """Who publishes a port on every node, by address; on all addresses it is the empty one."""
        return self._known.register.ports.get((protocol, port), {})

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
                self._known.learn(key, read_value(key, change.value), notes)
            except Invalid as err:
                notes.unreadable(change.key, err.message)

    def _remove(self, name: str, revision: int, notes: Notes) -> None:
        version = self._freshness.version(name)
        was_known = self._freshness.bury(name, revision)
        if was_known and (key := read_key(name)) is not None:
            self._known.forget(key, version, notes)

    # -- what follows from a batch -------------------------------------------------------

    def _settle(self, notes: Notes) -> None:
        for node_id, (manager_id, version) in notes.ended_sessions.items():
            # A manager that lost its lease may be known to be back before its loss is known.
            # What is older than its key was bound to the lease that ended.
            renewed = self._freshness.version(layout.manager_key(manager_id))
            if node_id in self.nodes and (manager_id in self._known.departed or version < renewed):
                self.doubted.add(node_id)
        self.doubted.difference_update(self.sessions.keys() & notes.nodes)
        for node_id in sorted(notes.nodes):
            self._reconsider(node_id, notes)
        for node_id, task_id in notes.suspects:
            if task_id not in self.tasks and task_id in self._known.observed.get(node_id, {}):
                notes.nodes.add(node_id)
        if notes.freed:
            self._have_waiting_planned(notes)

    def _reconsider(self, node_id: NodeId, notes: Notes) -> None:
        before = self._known.standing.get(node_id)
        after = self.node_state(node_id)
        if node_id in self.nodes:
            self._known.standing[node_id] = after
        else:
            self._known.standing.pop(node_id, None)
        tasks = self.tasks_on(node_id)
        for task in tasks.values():
            notes.touched(task)
        notes.services.update(self._known.globals)
        notes.freed = True
        if before is after:
            return
        for task in tasks.values():
            self._known.recount(task)
        if (node := self.nodes.get(node_id)) is not None and before is not None:
            notes.event(node_state_event(node, after, now=notes.now))

    def _have_waiting_planned(self, notes: Notes) -> None:
        notes.services.update(self._known.register.unreached)
        for tasks in self._roster.waiting().values():
            for task in tasks.values():
                notes.touched(task)

    def check(self) -> None:
        """Assert that every index says what the objects say."""
        self._roster.check()
        assert not self.doubted & self.sessions.keys()
        assert self.doubted <= self.nodes.keys()
        assert all(self._known.standing.get(n) is self.node_state(n) for n in self.nodes)
        self._freshness.check()
        services = self.services.keys() | self._known.versions.keys()
        self._known.register.check((each, self._known.versions_of(each)) for each in services)
        for task in self.tasks.values():
            counted = self._known.tally.counted(task.id)
            self._known.recount(task)
            assert counted == self._known.tally.counted(task.id)
        counts = [
            self._known.tally.of(service_id)
            for service_id in {task.service_id for task in self.tasks.values()}
        ]
        assert sum(sum(each.values()) for each in counts) == len(self.tasks)


_ORDER = (
    layout.CLUSTER,
    layout.NODES,
    layout.NETWORKS,
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
