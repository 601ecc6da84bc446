"""Drive the planners over a world: plan, commit, apply, and let agents do as they are told."""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from manager.applied import Applied
from manager.decisions import Plan, changes_made, commit_for
from manager.networks.addresses import Addresses
from manager.orchestrator.planning import plan_service
from manager.orchestrator.reaping import plan_node
from manager.orchestrator.replicas import PROVEN_S
from manager.scheduler.fleet import Fleet
from manager.store import Commit, Delete, Put, Unchanged
from swarm.codec import unpack
from swarm.ids import NodeId, ServiceId
from swarm.objects import Task
from swarm.states import NodeState, TaskState
from tests.manager.world import Changed, World

WEB = ServiceId("s-web")


class Driven(World):
    """A world whose leader plans what became dirty, and whose agents obey when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = Fleet.of(self.view)
        self.addresses = Addresses.of(self.view)
        self.dirty: set[ServiceId] = set()
        self.wakes: dict[ServiceId, float] = {}
        self.plans: list[Plan] = []
        self.on_commit: Callable[[], None] = lambda: None

    def write(self, *pairs: tuple[str, Struct | str | None], ahead: bool = False) -> Applied:
        applied = super().write(*pairs, ahead=ahead)
        self._follow(applied)
        return applied

    def doubt(self, *nodes: NodeId) -> None:
        """Have the leader give these nodes the benefit of the doubt."""
        self._follow(self.view.doubt(nodes, now=self.now))

    def give_up(self, *nodes: NodeId) -> None:
        """End the doubt."""
        self._follow(self.view.give_up(nodes, now=self.now))

    def plan_once(self, service_id: ServiceId) -> Plan:
        """Plan one service and commit what was decided."""
        plan = self.planned(service_id)
        self._commit(plan)
        self.wakes.pop(service_id, None)
        if plan.wake_at is not None:
            assert plan.wake_at > self.now
            self.wakes[service_id] = plan.wake_at
        return plan

    def plan(self) -> None:
        """Plan until nothing is dirty any more; planning what is settled decides nothing."""
        for _ in range(50):
            dirty, self.dirty = sorted(self.dirty), set()
            if not dirty:
                break
            for service_id in dirty:
                self.plan_once(service_id)
        else:
            raise AssertionError(f"planning does not settle: {self.plans[-1]}")
        for node_id in list(self.view.nodes):
            self._commit(plan_node(self.view, node_id))
        for service_id in {task.service_id for task in self.view.tasks.values()}:
            again = self.planned(service_id)
            assert again.decisions == (), again
        self.dirty.clear()
        self.view.check()
        self.fleet.check(self.view)
        self.addresses.check(self.view)

    def planned(self, service_id: ServiceId) -> Plan:
        """What is to change about a service."""
        return plan_service(
            self.view, service_id, fleet=self.fleet, now=self.now, addresses=self.addresses
        )

    def wait(self, seconds: float) -> None:
        """Let time pass and plan whatever wanted to be woken."""
        until = self.now + seconds
        while due := [at for at in self.wakes.values() if at <= until]:
            self.now = min(due)
            self.dirty |= {service for service, at in self.wakes.items() if at <= self.now}
            self.plan()
        self.now = until

    def obey(self, *, fails: Callable[[Task], bool] = lambda task: False) -> int:
        """Every reachable agent starts and stops what it was told; returns how many moved."""
        moved = 0
        for task in sorted(self.view.tasks.values(), key=lambda each: each.id):
            state = self.view.state(task)
            reachable = self.view.node_state(task.node_id) is NodeState.READY
            if not reachable or state.is_terminal:
                continue
            if task.desired > TaskState.RUNNING:
                self.report(task, TaskState.SHUTDOWN)
            elif fails(task):
                self.report(task, TaskState.FAILED, exit_code=1)
            elif state < TaskState.RUNNING:
                self.report(task, TaskState.RUNNING)
            else:
                continue
            moved += 1
        return moved

    def converge(self) -> None:
        """Plan and obey in turns until nothing moves, nor would when what is new is proven."""
        self.plan()
        for _ in range(200):
            if not self.obey() and not self.dirty and not self._prove():
                return
            self.plan()
        raise AssertionError("it does not converge")

    def _prove(self) -> bool:
        """Let the moment pass in which a new task is not trusted yet."""
        soon = [at for at in self.wakes.values() if at <= self.now + PROVEN_S]
        if soon and any(ledger.rollout for ledger in self.view.ledgers.values()):
            self.wait(min(soon) - self.now)
            return True
        return False

    # -- questions -----------------------------------------------------------------------

    def wanted(self, service_id: ServiceId = WEB) -> list[Task]:
        """Tasks that are meant to run, by slot and node."""
        found = [
            task
            for task in self.view.tasks_of(service_id).values()
            if task.desired <= TaskState.RUNNING
        ]
        return sorted(found, key=lambda task: (task.slot, task.node_id, task.attempt))

    def live(self, service_id: ServiceId = WEB) -> list[Task]:
        """Tasks that are meant to run and have not ended."""
        return [task for task in self.wanted(service_id) if not self.view.state(task).is_terminal]

    def spread(self, service_id: ServiceId = WEB) -> Counter[str]:
        """How many live tasks each node has."""
        return Counter(str(task.node_id) for task in self.live(service_id))

    def states(self, service_id: ServiceId = WEB) -> Counter[str]:
        """All tasks by observed state, past attempts included."""
        tasks = self.view.tasks_of(service_id).values()
        return Counter(self.view.state(task).word for task in tasks)

    # -- the store -----------------------------------------------------------------------

    def _follow(self, applied: Applied) -> None:
        assert not applied.unreadable
        if hasattr(self, "fleet"):
            self.fleet.sync(self.view, applied)
        if hasattr(self, "addresses"):
            self.addresses.sync(self.view, applied)
            self.dirty |= applied.services

    def _commit(self, plan: Plan) -> None:
        self.plans.append(plan)
        if not plan.decisions:
            return
        self.commit_group(commit_for(self.view, plan, now=self.now))
        self.on_commit()

    def perform(self, plan: Plan) -> None:
        """Commit what another planner decided."""
        self._commit(plan)

    def commit_group(self, commit: Commit) -> None:
        """Commit a group as the store does, and see its echo."""
        self._demand(commit)
        self.revision += 1
        for operation in commit.operations:
            if isinstance(operation, Put):
                self.keys[operation.key] = operation.value, self.revision
            elif isinstance(operation, Delete):
                self.keys.pop(operation.key, None)
        changes = changes_made(commit, self.revision)
        self._follow(self.view.apply(changes, self.revision, now=self.now, ahead=True))
        echo = [Changed(each.key, each.value, each.mod_revision) for each in changes]
        applied = self.view.apply(echo, self.revision, now=self.now)
        assert not applied.tasks

    def _demand(self, commit: Commit) -> None:
        for compare in commit.compares:
            _, standing = self.keys.get(compare.key, (b"", 0))
            expected = compare.mod_revision if isinstance(compare, Unchanged) else 0
            assert standing == expected, compare
        written = [each.key for each in commit.operations if isinstance(each, Put | Delete)]
        assert len(written) == len(set(written))

    def stored(self, key: str) -> Task:
        """A task as the store has it."""
        return unpack(Task, self.keys[key][0])
