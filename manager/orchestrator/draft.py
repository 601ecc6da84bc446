"""Gather decisions while a service is looked at, each task getting one at most.

Later words win where they go further: a task that is to be removed need not be asked to
stop first. What needs a node (`Opening`, waiting tasks) is only gathered here; it is placed
together at the end, because equal tasks are placed in one pass.

A task gets its addresses together with its node: what waits holds none that others could use.
Where there are none left, it waits for them as for a node.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from msgspec import Struct

from manager import layout
from manager.decisions import (
    AssignTask,
    AttachTask,
    CreateTask,
    Decision,
    Plan,
    RemoveLedger,
    RemoveTask,
    RemoveVersion,
    SetDesired,
    UpdateMessage,
    WriteLedger,
    WriteService,
)
from manager.networks.addresses import Addresses, Shortage
from manager.networks.attaching import networks_of_version
from manager.networks.reaching import plan_reach
from manager.orchestrator.attempts import Attempt, Phase
from manager.view import ClusterView
from swarm.ids import LENGTH, NetworkId, NodeId, ServiceId, TaskId, base36
from swarm.objects import Attachment, Ledger, Revision, Service, SpecVersion, Task
from swarm.specs import GenericResource
from swarm.states import TaskState


class Opening(Struct, frozen=True, kw_only=True):
    """A replica that needs a new attempt. `node_id` is set when only that node will do.

    `replaced` are the attempts that must be stopped for good as soon as the new one has a
    node, because they may still run where nobody can ask. `run` is the firing of a schedule
    that it belongs to, and `version` that of its task spec, 0 for the current one. `closes` has
    ended and must not be run again by an agent; `avoid` is the node that the replica leaves.
    """

    slot: int = 0
    node_id: NodeId = NodeId("")
    attempt: int = 1
    restarts: tuple[float, ...] = ()
    replaced: tuple[Attempt, ...] = ()
    run: int = 0
    version: int = 0
    closes: Attempt | None = None
    avoid: NodeId = NodeId("")


class Wait(Struct, frozen=True, kw_only=True):
    """A task that has no node yet; `replaced` and `avoid` as in `Opening`."""

    task: Task
    replaced: tuple[Attempt, ...] = ()
    avoid: NodeId = NodeId("")


PLENTY = 1 << 30
LOWEST = -PLENTY
IN_TURN = "waits for its turn to be planned"
CONNECTED_AGAIN_S = 5.0
"""How long until addresses are looked for again that there were not: few tasks ever wait so."""
"""Why a task is not given a node by this plan, but by one to follow; no news to one that waits."""


class Draft:
    """A plan in the making for one service. Nothing of it starts while `hold` is a reason.

    `slot` is the one that is looked at just now, if it is only one. Without `addresses` nobody
    gets any. No more than `most` replicas
    are given a node, and none whose tasks are below `least_priority`; `is_unsettled` is as in
    `Plan`.
    """

    def __init__(
        self,
        view: ClusterView,
        service_id: ServiceId,
        *,
        now: float,
        most: int = PLENTY,
        least_priority: int = LOWEST,
        addresses: Addresses | None = None,
    ) -> None:
        self.now = now
        self.most = most
        self.least_priority = least_priority
        self.openings: list[Opening] = []
        self.waits: list[Wait] = []
        self.stopped: list[Attempt] = []
        self._service_id = service_id
        self._view = view
        self._decided: dict[TaskId, Decision] = {}
        self._created: list[Task] = []
        self._versions: list[Decision] = []
        self._wakes: dict[int, float] = {}
        self._rest: set[int] = set()
        self.slot = 0
        self.is_unsettled = False
        self._ledger: Ledger | None = None
        self._rewritten: WriteService | None = None
        self._opened: set[tuple[int, str]] = set()
        self._begun: set[int] = set()
        self.hold = ""
        self._addresses = addresses
        self._reached: list[Decision] = []
        self._lack: Shortage | None = None
        self._networks: dict[int, Mapping[NetworkId, tuple[str, ...]]] = {}
        if addresses is not None:
            addresses.begin()

    def reach(self) -> None:
        """Have the service be reached as it is to be, before anything of it starts."""
        if self._addresses is not None:
            found = plan_reach(self._view, self._service_id, self._addresses)
            self._reached = [found.decision] if found.decision is not None else []
            self._lack = found.shortage

    def stop(
        self, attempt: Attempt, desired: TaskState = TaskState.SHUTDOWN, *, eviction: str = ""
    ) -> None:
        """Want an attempt to stop; nothing to do when it was asked that already.

        `eviction` says why it may not stay where it is, if that is the reason.
        """
        if attempt.task.desired >= desired or attempt.task.id in self._decided:
            return
        self._decided[attempt.task.id] = SetDesired(attempt.task.id, desired, eviction)
        if attempt.phase is Phase.LIVE:
            self.stopped.append(attempt)

    def remove(self, attempt: Attempt) -> None:
        """Forget an attempt."""
        self._decided[attempt.task.id] = RemoveTask(attempt.task.id)

    def remove_version(self, version: int) -> None:
        """Forget a version of the task spec."""
        self._versions.append(RemoveVersion(self._service_id, version))

    def call_for(self, need: "Opening | Wait | None") -> None:
        """Have a replica's need met with all others, if it has one."""
        if isinstance(need, Opening):
            self.openings.append(need)
        elif need is not None:
            self.waits.append(need)

    def has_created(self, slot: int, node_id: str = "") -> bool:
        """Whether the plan starts an attempt of this replica."""
        return (slot, "" if slot else node_id) in self._opened

    def has_begun(self, slot: int) -> bool:
        """Whether the plan starts an attempt of this slot that does not wait for a node."""
        return slot in self._begun

    def nodes_begun(self) -> set[NodeId]:
        """The nodes that the plan gives a new attempt, rather than have it wait."""
        return {task.node_id for task in self._created if task.node_id}

    def versions_begun(self) -> set[int]:
        """The versions of which the plan makes tasks."""
        return {task.spec_version for task in self._created}

    def rewrite(self, service: Service, revision: Revision) -> None:
        """Change the service as an operator would."""
        self._rewritten = WriteService(service, revision)

    def remember(self, ledger: Ledger) -> None:
        """Write the service's ledger, unless it says so already."""
        self._ledger = ledger

    def forget_ledger(self) -> None:
        """Remember nothing of a service that is gone."""
        if self._service_id in self._view.ledgers:
            self._versions.append(RemoveLedger(self._service_id))

    def wake(self, at: float) -> None:
        """Plan again at this time, or earlier: the slot that is looked at, or all there is."""
        self._wakes[self.slot] = min(at, self._wakes.get(self.slot, at))

    def leave(self, slots: Iterable[int]) -> None:
        """Leave slots for the next plan."""
        self._rest.update(slots)

    def create(
        self,
        service: Service,
        opening: Opening,
        node_id: NodeId,
        message: str = "",
        claims: tuple[GenericResource, ...] = (),
    ) -> str:
        """Start an attempt on a node, or have it wait for the reason in `message`.

        Gives the reason for which it waits in the end, or none.
        """
        version = opening.version or service.spec_version
        attachments = self._attach(version) if node_id else ()
        if isinstance(attachments, Shortage):
            node_id, message, claims, attachments = NodeId(""), attachments.reason, (), ()
        if opening.closes is not None:
            self.stop(opening.closes)
        if node_id:
            self._stop_replaced(opening.replaced)
        self._opened.add((opening.slot, "" if opening.slot else opening.node_id))
        if node_id:
            self._begun.add(opening.slot)
        self._created.append(
            Task(
                id=self.name_of(opening),
                service_id=service.id,
                service_name=service.spec.name,
                slot=opening.slot,
                node_id=node_id,
                spec_version=version,
                created_at=self.now,
                updated_at=self.now,
                message=message,
                restarts=opening.restarts,
                attempt=opening.attempt,
                run=opening.run,
                claims=claims,
                attachments=attachments,
            )
        )
        return "" if node_id else message

    def assign(self, wait: Wait, node_id: NodeId, claims: tuple[GenericResource, ...] = ()) -> str:
        """Give a waiting task its node; the reason if it has to wait on."""
        attachments = self._attach(wait.task.spec_version)
        if isinstance(attachments, Shortage):
            self.keep_waiting(wait, attachments.reason)
            return attachments.reason
        self._stop_replaced(wait.replaced)
        self._decided[wait.task.id] = AssignTask(wait.task.id, node_id, claims, attachments)
        return ""

    def addresses_for(self, version: int) -> tuple[int, str]:
        """For how many more tasks of a version there are addresses, and what others wait for."""
        if self._addresses is None:
            return PLENTY, ""
        networks = self._networks_of(version)
        if networks and self._lack is not None:
            return 0, self._lack.reason
        room, shortage = self._addresses.room(networks)
        return min(room, PLENTY), shortage.reason if shortage is not None else ""

    def is_short_beside(self, version: int, holder: Attempt) -> bool:
        """Whether a task of a version has to wait for the address that this attempt has."""
        if self._addresses is None or not holder.task.attachments:
            return False
        networks = self._networks_of(version)
        shared = [
            each.network_id for each in holder.task.attachments if each.network_id in networks
        ]
        return self._addresses.shortage(shared) is not None

    def connect(self, tasks: Iterable[Task]) -> None:
        """Give addresses to those of `tasks` that lack some, unless something else befalls them.

        Somebody connected these to a network while they ran (`manager.control.connecting`).
        """
        if self._addresses is None:
            return
        for task in tasks:
            for each in task.attachments:
                if not each.addresses:
                    self._connect(task, self._addresses)
                    break

    def preempt(self, task_id: TaskId, reason: str) -> None:
        """Stop another service's task, because this one needs its place more."""
        self._decided[task_id] = SetDesired(task_id, TaskState.SHUTDOWN, reason)

    def keep_waiting(self, wait: Wait, message: str) -> None:
        """Say why a task waits, if that is not what it says already."""
        if message != wait.task.message and (message != IN_TURN or not wait.task.message):
            self._decided[wait.task.id] = UpdateMessage(wait.task.id, message)

    def is_forgotten(self, attempt: Attempt) -> bool:
        """Whether the plan removes this attempt."""
        return isinstance(self._decided.get(attempt.task.id), RemoveTask)

    def finished(self) -> Plan:
        """The plan."""
        return Plan(
            service_id=self._service_id,
            decisions=tuple(self._all()),
            wake_at=min(self._wakes.values(), default=None),
            wakes=self._wakes,
            rest=frozenset(self._rest),
            is_unsettled=self.is_unsettled,
        )

    def name_of(self, opening: Opening) -> TaskId:
        """The id of the attempt that this opening calls for, the same in every plan for it.

        A commit that was given up may still be done later. Had the plan that followed chosen
        other names, both commits would hold, and a replica would run twice.
        """
        node = self._view.nodes.get(opening.node_id)
        basis = (
            self._service_id,
            self._view.version(layout.service_key(self._service_id)),
            opening.slot,
            opening.node_id,
            node.created_at if node is not None else 0.0,
            opening.attempt,
            *((f"v{opening.version}",) if opening.version else ()),
            *((opening.run,) if opening.run else ()),
            *self._scaled(),
        )
        digest = sha256("/".join(map(str, basis)).encode()).digest()
        return TaskId(base36(int.from_bytes(digest[:16], "big"), LENGTH))

    def _scaled(self) -> Iterator[str]:
        """When the service last scaled itself: slots it gave up then come back with new names."""
        service = self._view.services.get(self._service_id)
        ledger = self._view.ledgers.get(self._service_id)
        is_scaled = service is not None and service.spec.autoscale is not None
        if is_scaled and ledger is not None and ledger.scaled_at:
            yield f"scaled {ledger.scaled_at}"

    def _all(self) -> Iterator[Decision]:
        known = self._view.ledgers.get(self._service_id)
        if self._ledger is not None and self._ledger != known:
            yield WriteLedger(self._ledger)
        if self._rewritten is not None:
            yield self._rewritten
        yield from self._reached
        yield from self._decided.values()
        yield from map(CreateTask, self._created)
        yield from self._versions

    def _connect(self, task: Task, addresses: Addresses) -> None:
        if task.id in self._decided or task.desired > TaskState.RUNNING:
            return
        if self._view.state(task).is_terminal:
            return
        found: list[Attachment] = []
        for each in task.attachments:
            given: tuple[Attachment, ...] | Shortage = (each,)
            if not each.addresses:
                given = addresses.attach({each.network_id: each.aliases}, task.service_name)
            if isinstance(given, Shortage):
                due = self.now + CONNECTED_AGAIN_S
                self._wakes[task.slot] = min(due, self._wakes.get(task.slot, due))
                given = (each,)
            found += given
        if tuple(found) != task.attachments:
            self._decided[task.id] = AttachTask(task.id, tuple(found))

    def _attach(self, version: int) -> tuple[Attachment, ...] | Shortage:
        """Addresses for one more task of a version."""
        networks = self._networks_of(version)
        if not networks or self._addresses is None:
            return ()
        if self._lack is not None:
            return self._lack
        return self._addresses.attach(networks, self._view.services[self._service_id].spec.name)

    def _networks_of(self, number: int) -> Mapping[NetworkId, tuple[str, ...]]:
        found = self._networks.get(number)
        if found is None:
            service, ingress = self._view.services[self._service_id], self._view.ingress
            version = self._view.version_of(service.id, number) or SpecVersion.of(service)
            found = networks_of_version(version, ingress.id if ingress is not None else None)
            self._networks[number] = found
        return found

    def _stop_replaced(self, replaced: tuple[Attempt, ...]) -> None:
        for attempt in replaced:
            self.stop(attempt)
