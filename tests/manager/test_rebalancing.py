from collections import Counter

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from manager import layout
from manager.rebalancing import Moves, budget_of, by_and_by, rebalance, still_allowed
from swarm.ids import NodeId, ServiceId
from swarm.objects import Ledger, Rollout, Task
from swarm.specs import (
    Affinity,
    Availability,
    Global,
    Mount,
    Placement,
    ReplicatedJob,
    Resources,
    Strategy,
    TaskSpec,
    UpdatePolicy,
)
from swarm.states import TaskState
from tests.manager.orchestrator.driving import WEB, Driven

ALL = UpdatePolicy(parallelism=0)


def joined(
    replicas: int, *, on: int = 2, update: UpdatePolicy = ALL, task: TaskSpec | None = None
) -> Driven:
    """A service that was spread over `on` nodes before another node joined."""
    world = Driven()
    for number in range(on):
        world.node(f"n{number}")
    world.service(replicas=replicas, update=update, task=task)
    world.converge()
    world.node("new")
    world.converge()
    return world


def moves(world: Driven, *, max_moves: int = 0) -> Moves:
    return rebalance(world.view, world.fleet, max_moves=max_moves)


def carry_out(world: Driven, found: Moves) -> None:
    """Have every task run where it was to go."""
    for move in found.moves:
        task = world.view.tasks[move.task_id]
        assert task.node_id == move.from_node != move.to_node
        world.task(structs.replace(task, node_id=move.to_node))
        world.report(world.view.tasks[move.task_id], TaskState.RUNNING)


def unevenness(world: Driven, service_id: ServiceId = WEB) -> int:
    return sum(count**2 for count in world.spread(service_id).values())


def test_a_node_that_joined_gets_its_share_with_as_few_moves_as_possible() -> None:
    world = joined(6)

    found = moves(world)

    assert [(each.from_node, each.to_node) for each in found.moves] == [
        ("n0", "new"),
        ("n1", "new"),
    ]
    assert found.held_back == 0
    assert found.moves[0].reason == "host-n0 runs 3 tasks of web and host-new 0"


def test_what_is_even_is_left_alone() -> None:
    world = Driven()
    world.nodes(3)
    world.service(replicas=7, update=ALL)
    world.converge()

    assert moves(world) == Moves()


def test_moves_are_decided_as_evictions() -> None:
    world = joined(6)
    found = moves(world)

    plan = found.plan()

    assert [each.task_id for each in plan.decisions] == [each.task_id for each in found.moves]


def test_services_of_one_task_are_spread_by_the_nodes_totals() -> None:
    world = Driven()
    world.node("a")
    for number in range(4):
        world.service(f"s{number}", update=ALL)
    world.converge()
    world.node("b")
    world.converge()

    found = moves(world)

    assert [each.to_node for each in found.moves] == ["b", "b"]
    assert found.moves[0].reason == "host-a runs 4 tasks and host-b 0"


def test_a_budget_holds_moves_back_and_they_are_counted() -> None:
    world = joined(9, on=1, update=UpdatePolicy(parallelism=2))

    found = moves(world)

    assert len(found.moves) == 2
    assert found.held_back == 2


def test_replicas_that_are_down_use_the_budget_up() -> None:
    world = joined(6, update=UpdatePolicy(parallelism=2))
    service = world.view.services[WEB]
    assert budget_of(world.view, service) == 2

    world.report(world.live()[0], TaskState.FAILED)
    assert budget_of(world.view, service) == 1
    assert len(moves(world).moves) <= 1

    world.set_service(WEB, max_unavailable=4)
    assert budget_of(world.view, world.view.services[WEB]) == 3


def test_moves_under_way_use_the_budget_up_and_are_not_made_twice() -> None:
    world = joined(6)
    first = moves(world).moves[0]
    evicted = structs.replace(world.view.tasks[first.task_id], eviction=first.reason)
    world.task(evicted)

    again = moves(world)

    assert first.task_id not in {each.task_id for each in again.moves}
    assert len(again.moves) == 1


def test_a_rollout_comes_first() -> None:
    world = joined(6)
    world.write((f"ledgers/{WEB}", Ledger(service_id=WEB, rollout=Rollout())))

    found = moves(world)

    assert found.moves == ()
    assert found.held_back == 2


def test_at_most_so_many_moves_as_are_asked_for() -> None:
    found = moves(joined(9, on=1), max_moves=3)

    assert len(found.moves) == 3
    assert found.held_back == 0


def test_nothing_moves_to_a_node_that_does_not_admit_it() -> None:
    constrained = TaskSpec(placement=Placement(constraints=("node.hostname!=host-new",)))
    large = TaskSpec(reservations=Resources(cpu_millis=5000))
    assert moves(joined(6, task=constrained)) == Moves()
    assert moves(joined(6, task=large)) == Moves()

    paused = joined(6)
    paused.set_node(NodeId("new"), availability=Availability.PAUSE)
    assert moves(paused) == Moves()

    down = joined(6)
    down.disconnect(NodeId("new"))
    assert moves(down) == Moves()


def test_a_node_without_room_for_all_gets_what_fits() -> None:
    world = Driven()
    world.node("n0", cpu_millis=10_000)
    world.service(replicas=8, update=ALL, task=TaskSpec(reservations=Resources(cpu_millis=1000)))
    world.converge()
    world.node("new", cpu_millis=2000)
    world.converge()

    assert [each.to_node for each in moves(world).moves] == ["new", "new"]


def test_preferences_are_evened_out_before_nodes() -> None:
    world = Driven()
    world.node("a", labels={"zone": "east"})
    world.node("b", labels={"zone": "east"})
    task = TaskSpec(placement=Placement(preferences=("node.labels.zone",)))
    world.service(replicas=6, update=ALL, task=task)
    world.converge()
    world.node("c", labels={"zone": "west"})
    world.converge()

    carry_out(world, moves(world))

    assert world.spread() in (Counter(a=2, b=1, c=3), Counter(a=1, b=2, c=3))


def test_tasks_that_have_to_be_where_they_are_stay() -> None:
    data = Mount(source="data", target="/data")
    stateful = TaskSpec(container=structs.replace(TaskSpec().container, mounts=(data,)))
    packed = TaskSpec(placement=Placement(strategy=Strategy.BINPACK))
    assert moves(joined(6, task=stateful)) == Moves()
    assert moves(joined(6, task=packed)) == Moves()

    world = Driven()
    world.node("a")
    world.service("agent", mode=Global())
    world.service("sum", mode=ReplicatedJob(total=4))
    world.converge()
    world.node("b")
    world.converge()
    assert all(each.name.startswith("web") for each in moves(world).moves)


def test_what_others_wish_to_be_near_stays() -> None:
    world = joined(6)
    near = TaskSpec(placement=Placement(affinities=(Affinity(service="web"),)))
    world.service("cache", task=near)

    assert [each for each in moves(world).moves if each.name.startswith("web")] == []


def test_what_happens_while_moves_are_chosen_is_respected() -> None:
    """1. Two moves are chosen of a service that may have two replicas down.
    2. Meanwhile one of the tasks fails, and another replica is down.
    3. Of what was chosen nothing is left: one task is gone, and the budget is used up.
    """
    world = joined(6, update=UpdatePolicy(parallelism=2))
    found = moves(world)
    assert still_allowed(world.view, found) == found

    chosen = {each.task_id for each in found.moves}
    world.report(found.moves[0].task_id, TaskState.FAILED)
    world.report(next(each for each in world.live() if each.id not in chosen), TaskState.FAILED)

    assert still_allowed(world.view, found) == Moves((), 2)


def test_nodes_that_come_and_go_while_moves_are_chosen_do_no_harm() -> None:
    world = joined(6, task=TaskSpec(placement=Placement(preferences=("node.labels.zone",))))
    thinking = by_and_by(world.view, world.fleet)
    world.node("later")
    world.write((layout.node_key(NodeId("n0")), None))
    world.service("other", replicas=4)
    world.converge()

    for _ in thinking:
        pass


def test_thinking_of_moves_changes_nothing() -> None:
    world = joined(9)
    before = {task.id: task for task in world.view.tasks.values()}

    moves(world)

    assert dict(world.view.tasks) == before
    world.view.check()
    world.fleet.check(world.view)


clusters = st.lists(
    st.tuples(st.integers(1, 6), st.sampled_from([0, 300, 900]), st.sampled_from(["", "east"])),
    min_size=1,
    max_size=4,
)


@settings(max_examples=40, deadline=None)
@given(clusters, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3))
def test_law_moves_even_out_and_come_to_an_end(
    services: list[tuple[int, int, str]], old: int, new: int, parallelism: int
) -> None:
    """Wave after wave, each makes the whole more even, within filters and budgets."""
    world = Driven()
    for number in range(old):
        world.node(f"n{number}", cpu_millis=3000, labels={"zone": ("east", "west")[number % 2]})
    for number, (replicas, cpu, zone) in enumerate(services):
        constraints = (f"node.labels.zone=={zone}",) if zone else ()
        task = TaskSpec(
            reservations=Resources(cpu_millis=cpu), placement=Placement(constraints=constraints)
        )
        world.service(
            f"s{number}", replicas=replicas, task=task, update=UpdatePolicy(parallelism=parallelism)
        )
    world.converge()
    for number in range(new):
        world.node(f"m{number}", cpu_millis=3000, labels={"zone": ("west", "east")[number % 2]})
    world.converge()
    # Moves leave room to tasks that wait; here nobody gives it to them.
    assume(all(task.node_id for task in world.view.tasks.values()))

    for _ in range(200):
        found = moves(world)
        if not found.moves:
            break
        of_service = Counter(world.view.tasks[each.task_id].service_id for each in found.moves)
        for service_id, count in of_service.items():
            assert count <= budget_of(world.view, world.view.services[service_id])
        before = potential(world)
        carry_out(world, found)
        assert potential(world) < before
        assert all(is_admitted(world, task) for task in world.view.tasks.values())
    else:
        raise AssertionError("moves do not come to an end")
    assert found.held_back == 0


def potential(world: Driven) -> tuple[int, int]:
    """How uneven the cluster is: each service over nodes, then all tasks over nodes."""
    services = sum(unevenness(world, each) for each in world.view.services)
    totals = Counter(
        task.node_id for each in world.view.services for task in world.live(each) if task.node_id
    )
    return services, sum(count**2 for count in totals.values())


def is_admitted(world: Driven, task: Task) -> bool:
    node = world.view.nodes.get(task.node_id)
    if node is None:
        return True
    spec = world.view.services[task.service_id].spec.task
    row = world.fleet.rows[task.node_id]
    zones = [each.partition("==")[2] for each in spec.placement.constraints]
    return all(node.spec.labels["zone"] == zone for zone in zones) and bool(
        world.fleet.cpu_free()[row] >= 0
    )
