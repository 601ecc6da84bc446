"""Choose tasks to move so that they are spread as they would be if they were placed today.

Each move makes the spread of its service strictly more even: over the first of its spread
preferences on which the two nodes differ, then over nodes, then the nodes' numbers of tasks
at all. So moves come to an end. Where a task would go is asked of the scheduler itself, once
with the task where it is and once without it: nothing moves to a node that does not admit it,
or from a node to which it would be sent back.

What is not moved: tasks of global services and jobs (they have their nodes, or end), tasks
that follow a volume, those whose service is packed rather than spread, and those whom others
wish to be near. A service never has more replicas down or on their way than `max_unavailable`
says, or else its update's parallelism; moves that would help and have to wait are counted.
"""

from collections import defaultdict
from collections.abc import Generator, Sequence

import numpy as np
from msgspec import Struct, structs

from manager.decisions import Evict, Plan
from manager.events import task_name
from manager.orchestrator.scaling import replicas_of
from manager.scheduler.asks import Ask, ask_of, ask_of_version
from manager.scheduler.columns import Int
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import place
from manager.supposing import standing_of
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Service, Task
from swarm.specs import Availability, MountKind, Replicated, Strategy
from swarm.states import HealthState, NodeState, TaskState

MOST_STEPS = 250
"""How many moves are thought of in one call; what is left is for the next one."""
MOST_HELD_BACK = 10
"""How far the moves of one service are counted that have to wait."""


class Move(Struct, frozen=True, kw_only=True):
    """A task to run elsewhere; `to_node` is where the scheduler would put it now."""

    task_id: TaskId
    name: str
    from_node: NodeId
    to_node: NodeId
    reason: str


class Moves(Struct, frozen=True):
    """What to move now, and how many moves would help but have to wait for others."""

    moves: tuple[Move, ...] = ()
    held_back: int = 0

    def plan(self) -> Plan:
        """The decisions that carry them out."""
        return Plan(decisions=tuple(Evict(each.task_id, each.reason) for each in self.moves))


def rebalance(view: ClusterView, fleet: Fleet, *, max_moves: int = 0) -> Moves:
    """The moves that help most, at most `max_moves` (0: as many as help). Changes nothing."""
    thinking = by_and_by(view, fleet, max_moves=max_moves)
    while True:
        try:
            next(thinking)
        except StopIteration as end:
            found: Moves = end.value
            return found


def by_and_by(
    view: ClusterView, fleet: Fleet, *, max_moves: int = 0
) -> Generator[None, None, Moves]:
    """The same in pieces, between which view and fleet may change; then ask `still_allowed`."""
    tried = fleet.copied()
    moves: list[Move] = []
    held_back, steps = 0, MOST_STEPS
    for service in sorted(view.services.values(), key=lambda each: each.spec.name):
        yield
        if steps <= 0 or len(moves) == max_moves > 0:
            break
        if not _is_movable(view, service) or not _is_uneven(service, tried):
            continue
        budget, most = budget_of(view, service), steps
        if 0 < max_moves <= len(moves) + budget:
            budget = most = max_moves - len(moves)  # what is left out is not held back
        found, waiting = _moves(view, service, tried, budget=budget, most=most)
        moves += found
        held_back += waiting
        steps -= len(found) + waiting
    return Moves(tuple(moves), held_back)


def still_allowed(view: ClusterView, found: Moves) -> Moves:
    """Those moves that the budgets of by now allow, of tasks that still run where they did."""
    left: dict[ServiceId, int] = {}
    moves: list[Move] = []
    for move in found.moves:
        task = view.tasks.get(move.task_id)
        service = view.services.get(task.service_id) if task is not None else None
        if task is None or service is None or not _is_settled(view, task):
            continue
        if service.id not in left:
            left[service.id] = budget_of(view, service)
        if left[service.id] > 0:
            left[service.id] -= 1
            moves.append(move)
    return Moves(tuple(moves), found.held_back + len(found.moves) - len(moves))


def budget_of(view: ClusterView, service: Service) -> int:
    """How many more of a service's replicas may be down or on their way."""
    wanted = replicas_of(view, service)
    limit = service.spec.max_unavailable or service.spec.update.parallelism or wanted
    up = sum(_is_settled(view, task) for task in view.tasks_of(service.id).values())
    return max(0, max(limit, 1) - max(0, wanted - up)) if not _rolls(view, service) else 0


def _is_movable(view: ClusterView, service: Service) -> bool:
    spec = service.spec
    if not isinstance(spec.mode, Replicated) or spec.task.placement.strategy is Strategy.BINPACK:
        return False
    mounts = spec.task.container.mounts
    if any(each.kind is MountKind.VOLUME and each.source and not each.roams for each in mounts):
        return False
    followers = (view.services.get(each) for each in view.followers(spec.name))
    return not any(
        wish.service == spec.name
        for follower in followers
        if follower is not None
        for wish in follower.spec.task.placement.affinities
    )


def _rolls(view: ClusterView, service: Service) -> bool:
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    return rollout is not None and not rollout.state.is_over


def _is_settled(view: ClusterView, task: Task) -> bool:
    """Whether a task runs and means to stay."""
    if task.desired > TaskState.RUNNING or task.eviction:
        return False
    if view.node_state(task.node_id) is not NodeState.READY:
        return False
    seen = view.observation(task)
    is_well = seen is not None and seen.health in (HealthState.NONE, HealthState.HEALTHY)
    return view.state(task) is TaskState.RUNNING and is_well


def _moves(
    view: ClusterView, service: Service, fleet: Fleet, *, budget: int, most: int
) -> tuple[list[Move], int]:
    """Moves of one service's tasks, carried out in `fleet`, and how many more would help."""
    ask = ask_of(service)
    _foresee(view, service, fleet, ask)
    movable = _movable_tasks(view, service, fleet)
    levels = _levels(fleet, ask)
    moves: list[Move] = []
    held_back: list[tuple[int, int]] = []
    while movable and len(held_back) < MOST_HELD_BACK and len(moves) + len(held_back) < most:
        target = _destination(fleet, ask)
        origin = _origin(fleet, ask, levels, movable, target) if target is not None else None
        if target is None or origin is None:
            break
        reason = _reason(view, fleet, ask, origin, target)
        _book(fleet, ask, origin, -1)
        destination = _destination(fleet, ask)
        if destination is None or not _is_better(fleet, ask, levels, origin, destination):
            _book(fleet, ask, origin, 1)
            del movable[origin]
            continue
        _book(fleet, ask, destination, 1)
        task = movable[origin].pop()
        if not movable[origin]:
            del movable[origin]
        if len(moves) < budget:
            _keep_room(fleet, ask, origin)
            moves.append(_move(fleet, task, destination, reason))
        else:
            held_back.append((origin, destination))
    for origin, destination in reversed(held_back):
        _book(fleet, ask, destination, -1)
        _book(fleet, ask, origin, 1)
    return moves, len(held_back)


def _move(fleet: Fleet, task: Task, destination: int, reason: str) -> Move:
    return Move(
        task_id=task.id,
        name=task_name(task),
        from_node=task.node_id,
        to_node=fleet.ids[destination],
        reason=reason,
    )


def _keep_room(fleet: Fleet, ask: Ask, row: int) -> None:
    """What a task reserves is free for others once it has ended, and not while it is moved."""
    leaving = structs.replace(ask, service_id=ServiceId(f"leaving {ask.service_id}"), name="")
    _book(fleet, leaving, row, 1)
    fleet.tasks[row] -= 1


def _is_uneven(service: Service, fleet: Fleet) -> bool:
    """Whether a move may help at all, found out without looking at a single task."""
    ask = ask_of(service)
    rows = np.flatnonzero(fleet.tasks_of(service.id))
    target = _destination(fleet, ask) if len(rows) else None
    if target is None:
        return False
    gains = _gains(fleet, ask, _levels(fleet, ask), rows, target)
    best = np.lexsort(tuple(reversed(gains)))[0]
    return tuple(int(gain[best]) for gain in gains) < (0,) * len(gains)


def _foresee(view: ClusterView, service: Service, fleet: Fleet, ask: Ask) -> None:
    """Have `fleet` be as it will be once the service's earlier moves are over."""
    placed = 0
    for task in view.tasks_of(service.id).values():
        if not standing_of(view, task) or task.node_id not in fleet.rows:
            continue
        if task.eviction:
            version = view.version_of(service.id, task.spec_version)
            own = ask_of_version(version, ask.name) if version is not None else ask
            _book(fleet, own, fleet.rows[task.node_id], -1)
            _keep_room(fleet, own, fleet.rows[task.node_id])
        else:
            placed += 1
    missing = max(0, replicas_of(view, service) - placed)
    for node_id in place(fleet, ask, missing).nodes if missing else ():
        _book(fleet, ask, fleet.rows[node_id], 1)


def _book(fleet: Fleet, ask: Ask, row: int, sign: int) -> None:
    fleet.book(ask, np.array([row], np.int64), sign)


def _movable_tasks(view: ClusterView, service: Service, fleet: Fleet) -> dict[int, list[Task]]:
    """The service's tasks that may be moved by row; the last of each row goes first."""
    found: defaultdict[int, list[Task]] = defaultdict(list)
    for task in view.tasks_of(service.id).values():
        if task.spec_version == service.spec_version and _is_settled(view, task):
            node = view.nodes[task.node_id]
            if node.spec.availability is Availability.ACTIVE and node.id in fleet.rows:
                found[fleet.rows[task.node_id]].append(task)
    for tasks in found.values():
        tasks.sort(key=lambda each: (each.created_at, each.slot, each.id))
    return dict(found)


def _levels(fleet: Fleet, ask: Ask) -> tuple[Int, ...]:
    """For each spread preference the group of every row: rows alike in it and all before it."""
    levels: list[Int] = []
    group = np.zeros(len(fleet.ids), np.int64)
    for attribute in ask.preferences:
        codes = fleet.attribute(attribute).codes
        _, group = np.unique(group * (int(codes.max()) + 1) + codes, return_inverse=True)
        levels.append(group)
    return tuple(levels)


def _destination(fleet: Fleet, ask: Ask) -> int | None:
    """Where one more task would go."""
    nodes = place(fleet, ask, 1).nodes
    return fleet.rows[nodes[0]] if nodes else None


def _origin(
    fleet: Fleet, ask: Ask, levels: Sequence[Int], movable: dict[int, list[Task]], target: int
) -> int | None:
    """The row from which a move to `target` helps most, if any helps."""
    rows = np.array(sorted(movable), np.int64)
    gains = _gains(fleet, ask, levels, rows, target)
    order = np.lexsort((fleet.order[rows], *reversed(gains)))
    best = int(order[0])
    gained = tuple(int(gain[best]) for gain in gains)
    return int(rows[best]) if gained < (0,) * len(gained) else None


def _is_better(fleet: Fleet, ask: Ask, levels: Sequence[Int], origin: int, target: int) -> bool:
    """Whether a task that was just lifted from `origin` does better on `target`."""
    if origin == target:
        return False
    gains = _gains(fleet, ask, levels, np.array([origin], np.int64), target, lifted=1)
    gained = tuple(int(gain[0]) for gain in gains)
    return gained < (0,) * len(gained)


def _gains(
    fleet: Fleet, ask: Ask, levels: Sequence[Int], rows: Int, target: int, *, lifted: int = 0
) -> list[Int]:
    """How much each level's sum of squares changes by a move from each of `rows` to `target`.

    With `lifted` the task is not counted any more where it was. A level on which both are
    alike does not change.
    """
    counts, totals = fleet.tasks_of(ask.service_id), fleet.tasks
    gains: list[Int] = []
    for level in levels:
        grouped = np.bincount(level, weights=counts).astype(np.int64)
        gain = grouped[level[target]] - (grouped[level[rows]] + lifted) + 1
        gains.append(np.where(level[rows] == level[target], 0, gain))
    for each in (counts, totals):
        gains.append(np.where(rows == target, 0, each[target] - (each[rows] + lifted) + 1))
    return gains


def _reason(view: ClusterView, fleet: Fleet, ask: Ask, origin: int, target: int) -> str:
    counts = fleet.tasks_of(ask.service_id)
    names = [_hostname(view, fleet.ids[row]) for row in (origin, target)]
    had, has = int(counts[origin]), int(counts[target])
    if had > has + 1:
        return f"{names[0]} runs {had} tasks of {ask.name} and {names[1]} {has}"
    if had == has + 1 and fleet.tasks[origin] > fleet.tasks[target] + 1:
        totals = int(fleet.tasks[origin]), int(fleet.tasks[target])
        return f"{names[0]} runs {totals[0]} tasks and {names[1]} {totals[1]}"
    return f"spreads {ask.name} more evenly"


def _hostname(view: ClusterView, node_id: NodeId) -> str:
    node = view.nodes.get(node_id)
    return (node.description.hostname or node_id) if node is not None else node_id
