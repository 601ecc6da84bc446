"""What a plan says, against what the planners then do."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from manager.forecasting import Forecast, PlannedTask, forecast, question
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId
from swarm.specs import (
    Availability,
    ContainerSpec,
    Dependency,
    Global,
    Placement,
    Replicated,
    ReplicatedJob,
    Resources,
    Schedule,
    ServiceSpec,
    TaskSpec,
    UpdateOrder,
    UpdatePolicy,
)
from tests.manager.orchestrator.driving import WEB, Driven
from tests.manager.world import MEBI
from tests.networks import attached


def driven(*nodes: str, **fields: object) -> Driven:
    world = Driven()
    for node in nodes:
        world.node(node, **fields)
    return world


def foretell(world: Driven, service_id: ServiceId | None, spec: ServiceSpec) -> Forecast:
    asked = question(world.view, world.fleet, world.addresses, service_id, spec, now=world.now)
    return forecast(asked, now=world.now)


def told(found: Forecast) -> list[tuple[str, str, str]]:
    return [(each.action, each.name, each.hostname) for each in found.tasks]


def changed(world: Driven, service_id: ServiceId = WEB, **fields: object) -> ServiceSpec:
    return structs.replace(world.view.services[service_id].spec, **fields)


def retasked(world: Driven, service_id: ServiceId = WEB, **fields: object) -> ServiceSpec:
    spec = world.view.services[service_id].spec
    return structs.replace(spec, task=structs.replace(spec.task, **fields))


def test_a_new_service_starts_where_the_planners_would_start_it() -> None:
    world = driven("a", "b")
    spec = ServiceSpec(name="web", mode=Replicated(replicas=3))

    found = foretell(world, None, spec)

    assert told(found) == [
        ("start", "web.1", "host-a"),
        ("start", "web.2", "host-b"),
        ("start", "web.3", "host-a"),
    ]
    assert found.revision == 0
    assert ("name", "", "web") in [(c.path, c.before, c.after) for c in found.changes]


def test_scaling_starts_or_stops_the_difference() -> None:
    world = driven("a", "b")
    world.service(replicas=3)
    world.converge()

    more = foretell(world, WEB, changed(world, mode=Replicated(replicas=4)))
    less = foretell(world, WEB, changed(world, mode=Replicated(replicas=2)))

    assert [(c.path, c.before, c.after) for c in more.changes] == [
        ("replicated.replicas", "3", "4")
    ]
    assert told(more) == [("start", "web.4", "host-b")]
    assert told(less) == [("stop", "web.3", "host-a")]
    assert not more.is_new_version
    assert more.revision == 1


def test_a_new_version_replaces_every_task_and_says_how() -> None:
    world = driven("a", "b")
    world.service(replicas=4, update=UpdatePolicy(parallelism=2, monitor_s=60, delay_s=60))
    world.converge()

    found = foretell(world, WEB, retasked(world, container=ContainerSpec(image="app:2")))

    assert found.is_new_version
    assert [each.action for each in found.tasks] == ["replace"] * 4
    assert found.warnings == (
        "tasks are replaced 2 at a time, each old one stopped before its new one starts",
    )


def test_nothing_to_change_is_nothing_to_do() -> None:
    world = driven("a", "b")
    world.service(replicas=4)
    world.converge()

    found = foretell(world, WEB, changed(world))

    assert (found.changes, found.tasks, found.warnings) == ((), (), ())


def test_what_would_not_fit_says_why() -> None:
    world = driven("a", "b", cpu_millis=1000)
    small = TaskSpec(reservations=Resources(cpu_millis=600))
    spec = ServiceSpec(name="web", mode=Replicated(replicas=3), task=small)

    found = foretell(world, None, spec)

    assert [each.action for each in found.tasks] == ["start", "start", "wait"]
    waiting = found.tasks[-1]
    assert waiting.name == "web.3"
    assert "cpu" in waiting.reason
    assert found.warnings == ("1 task would stay pending",)


def test_a_constraint_moves_what_runs_elsewhere() -> None:
    world = Driven()
    world.node("a", labels={"zone": "east"})
    world.node("b", labels={"zone": "west"})
    world.service(replicas=2)
    world.converge()

    found = foretell(
        world, WEB, retasked(world, placement=Placement(constraints=("node.labels.zone==east",)))
    )

    assert [(each.name, each.from_hostname, each.hostname) for each in found.tasks] == [
        ("web.1", "host-a", "host-a"),
        ("web.2", "host-b", "host-a"),
    ]


def test_a_replica_that_would_lose_its_place_is_told_to_wait() -> None:
    world = driven("a", cpu_millis=1000)
    world.service(replicas=1)
    world.converge()

    found = foretell(world, WEB, retasked(world, reservations=Resources(cpu_millis=2000)))

    (only,) = found.tasks
    assert (only.action, only.from_hostname) == ("wait", "host-a")


def test_nodes_that_cannot_be_asked_change_nothing_for_their_tasks() -> None:
    world = driven("a", "b")
    world.service(replicas=2)
    world.converge()
    world.doubt(NodeId("b"))
    world.disconnect(NodeId("b"))
    before = list(world.view.tasks)

    foretell(world, WEB, retasked(world, container=ContainerSpec(image="app:2")))

    assert list(world.view.tasks) == before


def test_a_global_service_is_told_by_node() -> None:
    world = driven("a", "b")
    world.node("c", availability=Availability.PAUSE)

    found = foretell(world, None, ServiceSpec(name="agent", mode=Global()))

    assert told(found) == [("start", "agent.host-a", "host-a"), ("start", "agent.host-b", "host-b")]


def test_starting_first_keeps_the_old_ones_until_then() -> None:
    world = driven("a", "b")
    world.service(replicas=2, update=UpdatePolicy(order=UpdateOrder.START_FIRST))
    world.converge()

    found = foretell(world, WEB, retasked(world, container=ContainerSpec(image="app:2")))

    assert [each.action for each in found.tasks] == ["replace"] * 2
    assert "each old one kept until its new one is up" in found.warnings[0]


def test_a_canary_is_announced() -> None:
    world = driven("a")
    world.service(replicas=2, update=UpdatePolicy(canary=1))
    world.converge()

    found = foretell(world, WEB, retasked(world, container=ContainerSpec(image="app:2")))

    assert any("holds after 1 task" in each for each in found.warnings)


specs = st.builds(
    lambda name, replicas, cpu, parallelism, order, image, zone: ServiceSpec(
        name=name,
        mode=Replicated(replicas=replicas),
        update=UpdatePolicy(parallelism=parallelism, order=order, monitor_s=0.0),
        task=TaskSpec(
            container=ContainerSpec(image=image),
            reservations=Resources(cpu_millis=cpu),
            placement=Placement(constraints=(f"node.labels.zone=={zone}",) if zone else ()),
        ),
    ),
    name=st.just("web"),
    replicas=st.integers(0, 9),
    cpu=st.sampled_from([0, 400, 1100]),
    parallelism=st.integers(0, 4),
    order=st.sampled_from(UpdateOrder),
    image=st.sampled_from(["app:1", "app:2"]),
    zone=st.sampled_from(["", "east", "west"]),
)


def picture(view: ClusterView) -> dict[str, object]:
    """All that a view holds, as values that later changes do not reach."""
    found: dict[str, object] = {}
    for name in ("nodes", "services", "ledgers", "tasks", "sessions", "names", "doubted"):
        held = getattr(view, name)
        found[name] = list(held.items()) if isinstance(held, dict) else set(held)
    found["observed"] = [dict(view.observations_on(node)) for node in view.nodes]
    found["tally"] = [dict(view.tally(each)) for each in view.services]
    found["versions"] = [dict(view.versions_of(each)) for each in view.services]
    found["revision"] = view.revision
    return found


def busy_world(spec: ServiceSpec, nodes: int) -> Driven:
    world = Driven()
    for number in range(nodes):
        world.node(f"n{number}", cpu_millis=2000, labels={"zone": ("east", "west")[number % 2]})
    world.service("other", replicas=2, task=TaskSpec(reservations=Resources(cpu_millis=300)))
    world.service(replicas=spec.mode.replicas, task=spec.task, update=spec.update)
    world.converge()
    return world


@settings(max_examples=40, deadline=None)
@given(specs, specs, st.integers(1, 4))
def test_law_asking_changes_nothing(before: ServiceSpec, after: ServiceSpec, nodes: int) -> None:
    world = busy_world(before, nodes)
    seen = picture(world.view)

    foretell(world, WEB, after)

    assert picture(world.view) == seen
    world.view.check()
    world.fleet.check(world.view)


@settings(max_examples=40, deadline=None)
@given(specs, specs, st.integers(1, 4))
def test_law_what_is_applied_ends_as_it_was_planned(
    before: ServiceSpec, after: ServiceSpec, nodes: int
) -> None:
    """How many tasks run and how many wait, whichever nodes a slower rollout chooses."""
    world = busy_world(before, nodes)
    running = len([task for task in world.live() if task.node_id])
    found = foretell(world, WEB, after)

    fields = {
        each: getattr(after.task, each) for each in ("container", "reservations", "placement")
    }
    world.set_service(WEB, mode=after.mode, update=after.update)
    if after.task != before.task:
        world.new_version(WEB, **fields)
    settle(world)

    count = counted(found.tasks)
    lost = [each for each in found.tasks if each.action == "wait" and each.from_hostname]
    placed = [task for task in world.live() if task.node_id]
    assert len(placed) == running + count("start") - count("stop") - len(lost)
    assert len([task for task in world.live() if not task.node_id]) == count("wait")


def settle(world: Driven) -> None:
    """Converge, waiting for whatever is to be waited for."""
    for _ in range(60):
        world.converge()
        if not world.wakes:
            return
        world.wait(1.0)
    world.converge()


def counted(tasks: tuple[PlannedTask, ...]) -> Callable[[str], int]:
    return lambda action: sum(each.action == action for each in tasks)


def test_law_a_copied_table_is_another_table() -> None:
    world = driven("a", "b")
    world.service(
        replicas=3, task=TaskSpec(reservations=Resources(cpu_millis=100, memory_bytes=10 * MEBI))
    )
    world.converge()

    copy = world.fleet.copied(world.view.tasks)
    copy.check(world.view)
    world.scale(WEB, 9)
    world.converge()

    assert int(copy.tasks.sum()) == 3
    assert int(world.fleet.tasks.sum()) == 9


def test_a_dependency_that_is_not_met_is_what_is_waited_for() -> None:
    world = driven("a")
    spec = ServiceSpec(name="web", task=TaskSpec(depends_on=(Dependency(service="db"),)))

    found = foretell(world, None, spec)

    (only,) = found.tasks
    assert only.action == "wait"
    assert "db" in only.reason


def test_a_new_version_that_has_to_wait_for_another_service_says_so() -> None:
    """Nothing that runs is touched, so there is no task to tell it by."""
    world = driven("a")
    world.service()
    world.converge()

    found = foretell(world, WEB, retasked(world, depends_on=(Dependency(service="db"),)))

    assert found.is_new_version
    assert found.tasks == ()
    assert found.warnings == (
        "web waits for db to run: there is no such service; nothing is replaced before that",
    )


def test_a_run_that_is_due_soon_is_no_consequence_of_a_change() -> None:
    """It comes with the change and without it; a plan must not depend on the second it is asked."""
    world = driven("a")
    spec = ServiceSpec(
        name="tick", mode=ReplicatedJob(total=2), schedule=Schedule(expression="@every 30s")
    )

    found = foretell(world, None, spec)

    assert found.tasks == ()
    assert found.warnings == ("tasks start when the schedule says so",)


def test_a_plan_says_which_network_has_no_address_for_how_many() -> None:
    world = driven("a", "b")
    world.network("back", subnet="10.9.0.0/29")
    world.service("other", replicas=2, task=TaskSpec(networks=attached("n-back")))
    world.converge()
    held = world.addresses.shortage(["n-back"])

    spec = ServiceSpec(
        name="web", mode=Replicated(replicas=3), task=TaskSpec(networks=attached("n-back"))
    )
    found = foretell(world, None, spec)

    assert [each.action for each in found.tasks] == ["start", "wait", "wait"]
    assert found.tasks[1].reason.startswith("network back (10.9.0.0/29) has no free address")
    assert world.addresses.shortage(["n-back"]) == held is None
    world.addresses.check(world.view)


def test_an_update_in_a_full_network_is_told_as_it_would_go() -> None:
    world = driven("a", "b")
    world.network("back", subnet="10.9.0.0/29")
    world.service(replicas=4, task=TaskSpec(networks=attached("n-back")))
    world.converge()

    found = foretell(world, WEB, retasked(world, force_update=1))

    assert [each.action for each in found.tasks] == ["replace"] * 4
