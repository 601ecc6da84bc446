"""Say what a batch of changes touched, so that no one has to look at everything.

`services` have to be planned again; where `slots` names some of one, nothing but these slots of
it was touched. `progressed` may show other counts to a user, which is
more: a task that starts running as expected calls for no decision. `nodes` have a new
object, session or standing, or hold observations of tasks that no longer exist. `tasks`
were wanted or observed differently, or vanished. `assigned` names, for each node, the tasks
whose wanted side changed, which is what its agent has to hear. `contents` are the ids of secrets
and configs that changed, and of services whose logins did. `networks` and `endpoints` are other
than they were, the latter those of services, and so are `peers`: what other nodes reach a node by.
`network_keys` came or went. `guests` came, went, or were given addresses.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Event, Task


class Applied(Struct, frozen=True, kw_only=True):
    """What one batch did to the view. `unreadable` are values that were left out, and why."""

    services: frozenset[ServiceId] = frozenset()
    slots: Mapping[ServiceId, frozenset[int]] = field(
        default_factory=dict[ServiceId, frozenset[int]]
    )
    progressed: frozenset[ServiceId] = frozenset()
    nodes: frozenset[NodeId] = frozenset()
    tasks: tuple[TaskId, ...] = ()
    assigned: Mapping[NodeId, tuple[TaskId, ...]] = field(
        default_factory=dict[NodeId, tuple[TaskId, ...]]
    )
    contents: frozenset[str] = frozenset()
    networks: frozenset[NetworkId] = frozenset()
    endpoints: frozenset[ServiceId] = frozenset()
    peers: frozenset[NodeId] = frozenset()
    network_keys: bool = False
    guests: frozenset[tuple[TaskId, NetworkId]] = frozenset()
    cluster: bool = False
    events: tuple[Event, ...] = ()
    unreadable: tuple[str, ...] = ()


class Notes:
    """Gather an `Applied` while changes are taken in."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.services: set[ServiceId] = set()
        self.slots: dict[ServiceId, set[int]] = {}
        self.progressed: set[ServiceId] = set()
        self.nodes: set[NodeId] = set()
        self.suspects: set[tuple[NodeId, TaskId]] = set()
        self.ended_sessions: dict[NodeId, tuple[NodeId, int]] = {}
        self.contents: set[str] = set()
        self.networks: set[NetworkId] = set()
        self.endpoints: set[ServiceId] = set()
        self.peers: set[NodeId] = set()
        self.network_keys = False
        self.guests: set[tuple[TaskId, NetworkId]] = set()
        self.cluster = False
        self.freed = False
        self._tasks: dict[TaskId, None] = {}
        self._assigned: dict[NodeId, dict[TaskId, None]] = {}
        self._events: list[Event] = []
        self._unreadable: list[str] = []

    def task(self, task_id: TaskId) -> None:
        """Note that a task is wanted or observed differently."""
        self._tasks[task_id] = None

    def touched(self, task: Task) -> None:
        """Note that the replica of a task has to be planned again."""
        if task.slot and not task.run:
            slots = self.slots.get(task.service_id)
            if slots is None:
                slots = self.slots[task.service_id] = set()
            slots.add(task.slot)
        else:
            self.services.add(task.service_id)

    def assigned(self, node_id: NodeId, task_id: TaskId) -> None:
        """Note that a node has to hear of a task."""
        if node_id:
            self._assigned.setdefault(node_id, {})[task_id] = None

    def event(self, event: Event | None) -> None:
        """Note what happened, if anything did."""
        if event is not None:
            self._events.append(event)

    def unreadable(self, key: str, reason: str) -> None:
        """Note a value that had to be left out."""
        self._unreadable.append(f"{key}: {reason}")

    def closed(self, *, silently: bool = False) -> Applied:
        """The finished account; `silently` leaves out the events."""
        services = self.services | self.slots.keys()
        return Applied(
            services=frozenset(services),
            slots={k: frozenset(v) for k, v in self.slots.items() if k not in self.services},
            progressed=frozenset(self.progressed | services),
            nodes=frozenset(self.nodes),
            tasks=tuple(self._tasks),
            assigned={node: tuple(tasks) for node, tasks in self._assigned.items()},
            contents=frozenset(self.contents),
            networks=frozenset(self.networks),
            endpoints=frozenset(self.endpoints),
            peers=frozenset(self.peers),
            network_keys=self.network_keys,
            guests=frozenset(self.guests),
            cluster=self.cluster,
            events=() if silently else tuple(self._events),
            unreadable=tuple(self._unreadable),
        )
