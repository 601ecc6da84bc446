from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.scheduler.asks import Ask, ask_for
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import admitted_nodes, place
from swarm.constraints import parse
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import Availability, ContainerSpec, Placement, Resources, TaskSpec
from tests.manager.world import MEBI, World
from tests.networks import attached

WEB = ServiceId("s-web")


def test_tasks_go_where_the_service_has_fewest() -> None:
    world = World()
    world.nodes(3)
    world.service()
    world.task(Task(id=TaskId("t1"), service_id=WEB, node_id=NodeId("n0000")))

    placed = place(Fleet.of(world.view), Ask(service_id=WEB), 2)

    assert placed.nodes == ("n0001", "n0002")


def test_every_refusal_names_the_filter_and_how_many_it_refused() -> None:
    world = World()
    world.node("a", labels={"zone": "west"})
    world.node("b", labels={"zone": "east"}, memory_bytes=64 * MEBI)
    world.node("c", labels={"zone": "east"}, cpu_millis=500)
    world.node("d", labels={"zone": "east"}, ready=False)
    world.node("e", labels={"zone": "east"}, availability=Availability.DRAIN)
    world.node("f", labels={"zone": "east"}, cpu_millis=500)
    ask = ask_for(
        WEB,
        TaskSpec(
            placement=Placement(constraints=("node.labels.zone==east",)),
            reservations=Resources(cpu_millis=1000, memory_bytes=128 * MEBI),
        ),
    )

    placed = place(Fleet.of(world.view), ask, 1)

    assert placed.nodes == ()
    assert placed.reason == (
        "no suitable node (1 node not ready; 1 node paused or drained; "
        "constraint node.labels.zone==east not satisfied on 1 node; "
        "insufficient cpu on 2 nodes; insufficient memory on 1 node)"
    )


def test_what_needs_the_hosts_own_ids_goes_where_they_are() -> None:
    world = World()
    world.node("remapped", security_options=("name=seccomp", "name=userns,uids=1:65536"))
    world.node("own")
    privileged = TaskSpec(container=ContainerSpec(privileged=True))
    on_host = TaskSpec(networks=attached("host"))
    opted_out = TaskSpec(container=ContainerSpec(privileged=True, host_user_namespace=True))

    for spec in (privileged, on_host):
        placed = place(Fleet.of(world.view), ask_for(WEB, spec), 2)
        assert placed.nodes == ("own", "own")
    placed = place(Fleet.of(world.view), ask_for(WEB, opted_out), 2)
    assert sorted(placed.nodes) == ["own", "remapped"]

    world.set_node(NodeId("own"), availability=Availability.DRAIN)
    assert place(Fleet.of(world.view), ask_for(WEB, on_host), 1).reason == (
        "no suitable node (1 node paused or drained; "
        "ids are remapped on 1 node, which --userns host avoids)"
    )


def test_what_did_not_fit_is_explained_as_things_are_after_the_rest_was_placed() -> None:
    world = World()
    world.node("a", cpu_millis=2000)
    world.node("b", cpu_millis=1000)

    placed = place(Fleet.of(world.view), Ask(service_id=WEB, cpu_millis=1000), 4)

    assert Counter(placed.nodes) == {"a": 2, "b": 1}
    assert placed.reason == "no suitable node (insufficient cpu on 2 nodes)"


def test_no_node_takes_more_than_the_most_that_one_may_have() -> None:
    world = World()
    world.nodes(2)
    world.service()
    world.task(Task(id=TaskId("t1"), service_id=WEB, node_id=NodeId("n0000")))

    placed = place(Fleet.of(world.view), Ask(service_id=WEB, max_per_node=2), 5)

    assert Counter(placed.nodes) == {"n0000": 1, "n0001": 2}
    assert "max replicas per node (2) reached on 2 nodes" in placed.reason


def test_a_swarm_without_nodes_says_so() -> None:
    placed = place(Fleet.of(World().view), Ask(service_id=WEB), 1)

    assert placed.reason == "no suitable node (the swarm has no nodes)"


def test_nodes_where_the_service_keeps_failing_are_the_last_resort() -> None:
    world = World()
    world.node("a", cpu_millis=1000)
    world.node("b", cpu_millis=1000)
    ask = Ask(service_id=WEB, cpu_millis=500)
    failures = {NodeId("a"): 5, NodeId("b"): 4}

    placed = place(Fleet.of(world.view), ask, 3, failures=failures)

    assert placed.nodes == ("b", "b", "a")


def test_tasks_that_the_same_plan_stops_make_their_node_attractive() -> None:
    world = World()
    world.nodes(2)
    world.service()
    world.task(Task(id=TaskId("t1"), service_id=WEB, node_id=NodeId("n0000")))
    fleet = Fleet.of(world.view)

    assert place(fleet, Ask(service_id=WEB), 1).nodes == ("n0001",)
    leaving = {NodeId("n0000"): 1}
    assert place(fleet, Ask(service_id=WEB), 1, leaving=leaving).nodes == ("n0000",)


def test_constraints_compare_with_every_node_at_once() -> None:
    world = World()
    world.node("a", labels={"disk": "SSD"})
    world.node("b", labels={"disk": "hdd"})
    world.node("c")
    fleet = Fleet.of(world.view)

    def admitted(text: str) -> frozenset[NodeId]:
        return admitted_nodes(fleet, Ask(service_id=WEB, constraints=(parse(text),)))

    assert admitted("node.labels.disk==ssd") == {"a"}
    assert admitted("node.labels.disk!=ssd") == {"b", "c"}
    assert admitted("node.hostname==HOST-B") == {"b"}


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.booleans()), max_size=6),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 3),
    st.integers(0, 20),
)
def test_law_nothing_is_overcommitted_and_nobody_waits_while_there_is_room(
    nodes: list[tuple[int, int, bool]], cpu: int, memory: int, most: int, wanted: int
) -> None:
    world = World()
    room: dict[str, int] = {}
    for number, (cpus, mebis, ready) in enumerate(nodes):
        name = f"n{number}"
        world.node(name, cpu_millis=cpus, memory_bytes=mebis, ready=ready)
        limits = [wanted]
        limits += [cpus // cpu] if cpu else []
        limits += [mebis // memory] if memory else []
        limits += [most] if most else []
        room[name] = min(limits) if ready else 0
    ask = Ask(service_id=WEB, cpu_millis=cpu, memory_bytes=memory, max_per_node=most)

    placed = place(Fleet.of(world.view), ask, wanted)

    assert all(count <= room[node] for node, count in Counter(placed.nodes).items())
    assert len(placed.nodes) == min(wanted, sum(room.values()))
    assert bool(placed.reason) is (len(placed.nodes) < wanted)
