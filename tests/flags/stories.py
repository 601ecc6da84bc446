"""Short stories of what a leader does with a service, told in numbers."""

from collections import Counter
from datetime import UTC, datetime

from msgspec.structs import replace

from manager.autoscaling import Load, Measured, desired
from manager.control import services
from manager.decisions import WriteEndpoint
from manager.networks.addresses import Addresses
from manager.networks.reaching import plan_reach
from swarm.errors import Invalid
from swarm.ids import NodeId, ServiceId
from swarm.objects import Task
from swarm.specs import (
    Availability,
    GenericResource,
    NetworkAttachment,
    Placement,
    ServiceSpec,
    Taint,
    TaskSpec,
)
from swarm.specs import Resources as Amounts
from swarm.states import TaskState
from tests.flags.lab import Planned, kernel

WEB = ServiceId("s-web")
NEW = "new"


def world_of(*names: str) -> Planned:
    """Equal nodes."""
    world = Planned()
    for name in names:
        world.add_node(name)
    return world


def planned(spec: ServiceSpec, world: Planned) -> Planned:
    """The world once the service has been planned."""
    world.add(spec)
    world.plan()
    return world


def places(world: Planned, service: ServiceId = WEB) -> dict[str, int]:
    """How many tasks each node has; those that wait are nowhere and not counted."""
    return dict(Counter(str(t.node_id) for t in world.live(service) if t.node_id))


def has_own_address(spec: ServiceSpec) -> bool:
    """Whether the service has an address that is not one of its tasks'."""
    world = Planned()
    back = world.network("back")
    attached = replace(spec.task, networks=(NetworkAttachment(target=back),))
    world.add(replace(spec, task=attached))
    found = plan_reach(world.view, WEB, Addresses.of(world.view)).decision
    return isinstance(found, WriteEndpoint) and bool(found.endpoint.virtual_addresses)


# -- where ---------------------------------------------------------------------------------


def count(spec: ServiceSpec) -> int:
    """Tasks that have a node, of one large node."""
    return sum(places(planned(spec, world_of("a"))).values())


def among_zones(spec: ServiceSpec) -> dict[str, int]:
    """Tasks by zone, of two nodes in the east and one in the west."""
    world = Planned()
    for name, zone in (("e1", "east"), ("e2", "east"), ("w1", "west")):
        world.add_node(name, zone=zone)
    found = places(planned(spec, world))
    return dict(Counter({z: sum(n for k, n in found.items() if k[0] == z) for z in "ew"}))


def beside_db(spec: ServiceSpec) -> dict[str, int]:
    """Where tasks go when `db` is on b, and a is empty."""
    world = world_of("a", "b")
    world.add(ServiceSpec(name="db", task=_on("b")))
    world.plan()
    return places(planned(spec, world))


def past_taint(spec: ServiceSpec) -> dict[str, int]:
    """Where tasks go when a has a taint."""
    world = world_of("b")
    world.add_node("a", taints=(Taint(key="gpu"),))
    return places(planned(spec, world))


def among_machines(spec: ServiceSpec) -> dict[str, int]:
    """Where tasks go of an arm and another machine."""
    world = world_of("b")
    world.add_node("arm", arch="aarch64")
    return places(planned(spec, world))


def among_two(spec: ServiceSpec) -> list[int]:
    """How many tasks two equal nodes get."""
    return sorted(places(planned(spec, world_of("a", "b"))).values())


def each_node(spec: ServiceSpec) -> dict[str, int]:
    """Where tasks go of three equal nodes."""
    return places(planned(spec, world_of("a", "b", "c")))


def of_counted(spec: ServiceSpec) -> int:
    """Tasks that have a node, where there is one GPU."""
    world = Planned()
    world.add_node("a", generic=(GenericResource(kind="gpu", count=1),))
    return sum(places(planned(spec, world)).values())


def in_a_full_swarm(spec: ServiceSpec) -> int:
    """How many tasks of a service of priority 0 are asked to make room."""
    world = Planned()
    world.add_node("a", cpu=1000)
    low = TaskSpec(reservations=Amounts(cpu_millis=1000))
    world.add(ServiceSpec(name="low", task=low))
    world.converge()
    world.add(spec)
    world.plan()
    tasks = world.view.tasks_of(ServiceId("s-low")).values()
    return sum(task.desired > TaskState.RUNNING for task in tasks)


def in_the_way(spec: ServiceSpec) -> int:
    """How many tasks are stopped at once when their node is drained and another is there."""
    world = world_of("a")
    planned(spec, world)
    world.converge()
    world.add_node("b")
    world.set_node(NodeId("a"), availability=Availability.DRAIN)
    world.plan()
    return sum(task.desired > TaskState.RUNNING for task in world.view.tasks_of(WEB).values())


# -- when ----------------------------------------------------------------------------------


def after_a_failure(spec: ServiceSpec, *, within_s: float) -> int:
    """Tasks that are to run a while after one failed."""
    world = world_of("a")
    planned(spec, world)
    world.converge()
    fail(world)
    world.plan()
    world.wait(within_s)
    return len(world.live())


def attempts(spec: ServiceSpec) -> int:
    """How often a task is tried that fails a hundred seconds after each start."""
    world = world_of("a")
    planned(spec, world)
    for _ in range(6):
        world.converge()
        world.wait(100.0)
        fail(world)
        world.plan()
        world.wait(20.0)
    return max(task.attempt for task in world.view.tasks_of(WEB).values())


def third_delay(spec: ServiceSpec) -> float:
    """How long a task waits for its fourth attempt when each fails at once."""
    world = world_of("a")
    planned(spec, world)
    delay = 0.0
    for _ in range(3):
        world.converge()
        fail(world)
        world.plan()
        ended = world.now
        while not world.live():
            world.wait(1.0)
        delay = world.live()[0].created_at - ended
    return delay


def fail(world: Planned, state: TaskState = TaskState.FAILED, service: ServiceId = WEB) -> None:
    """All tasks that run come to an end."""
    for task in world.live(service):
        if task.node_id:
            world.report(task, state, exit_code=0 if state is TaskState.COMPLETE else 1)


# -- rollouts ------------------------------------------------------------------------------


def updating(spec: ServiceSpec) -> Planned:
    """The world in which a running service just got another image."""
    world = world_of("a", "b")
    planned(spec, world)
    world.converge()
    world.change(WEB, with_image(spec, NEW))
    world.plan()
    return world


def rolling_back(spec: ServiceSpec) -> Planned:
    """The world in which an update was completed, and is taken back."""
    world = updating(spec)
    go_on(world, 60)
    world.commit_now(services.rollback(world.view, WEB, 0, None, now=world.now))
    world.plan()
    return world


def go_on(world: Planned, seconds: int, *, fails: str = "") -> Planned:
    """Let agents do as they are told, each second; tasks of the image `fails` do not start."""

    def is_bad(task: Task) -> bool:
        spec = world.view.task_spec(task.service_id, task.spec_version)
        return spec is not None and spec.container.image == fails

    for _ in range(seconds):
        world.obey(fails=is_bad)
        world.plan()
        world.wait(1.0)
    return world


def stopped(world: Planned) -> int:
    """Tasks that are asked to stop and run yet."""
    return sum(
        task.desired > TaskState.RUNNING and not world.view.state(task).is_terminal
        for task in world.view.tasks_of(WEB).values()
    )


def moved_on(world: Planned) -> int:
    """Wanted tasks of the newest version."""
    version = world.view.services[WEB].spec_version
    return sum(task.spec_version == version for task in world.live())


def state(world: Planned) -> str:
    """How the rollout stands."""
    rollout = world.view.ledgers[WEB].rollout
    return rollout.state.word if rollout is not None else ""


def image(world: Planned) -> str:
    """What the service is to run."""
    return world.view.services[WEB].spec.task.container.image


def with_image(spec: ServiceSpec, name: str) -> ServiceSpec:
    """The same with another image."""
    task = spec.task
    return replace(spec, task=replace(task, container=replace(task.container, image=name)))


# -- jobs and schedules --------------------------------------------------------------------


def now_and_later(spec: ServiceSpec) -> tuple[int, int]:
    """Tasks that run at once, and five minutes later."""
    world = planned(spec, world_of("a"))
    first = len(world.live())
    world.wait(300.0)
    return first, len(world.live())


def firing_hour(spec: ServiceSpec) -> int:
    """The hour in UTC at which the leader wants to be woken for the next run."""
    world = planned(spec, world_of("a"))
    return datetime.fromtimestamp(world.wakes[WEB], UTC).hour


def made_up(spec: ServiceSpec) -> int:
    """How many runs follow an hour in which nobody led."""
    world = planned(spec, world_of("a"))
    world.now += 3600.0
    world.dirty.add(WEB)
    world.plan()
    return len(world.view.ledgers[WEB].runs)


def overlapping(spec: ServiceSpec) -> list[str]:
    """What becomes of two runs, of which the first does not end."""
    world = planned(spec, world_of("a"))
    for _ in range(2):
        world.wait(300.0)
        world.plan()
    return [run.state.word for run in world.view.ledgers[WEB].runs]


def remembered(spec: ServiceSpec, how: TaskState) -> int:
    """How many of six runs are remembered that ended."""
    world = planned(spec, world_of("a"))
    for _ in range(6):
        world.wait(300.0)
        world.plan()
        fail(world, how)
        world.plan()
    return sum(bool(run.ended_at) for run in world.view.ledgers[WEB].runs)


def scaled_by_use(spec: ServiceSpec) -> int | None:
    """How many replicas two tasks call for that use a whole core each."""
    if spec.autoscale is None:
        return None
    measured = Measured(loads=(Load(cpu_percent=100.0), Load(cpu_percent=100.0)))
    policy = replace(spec.autoscale, up_window_s=0.0)
    scaling = desired(policy, spec.task, measured, replicas=2, now=1e6, history=())
    return scaling.replicas


def label_in_template(spec: ServiceSpec) -> str | None:
    """What a container sees of the service's label."""
    container = replace(spec.task.container, env=("SEEN={{.Service.Labels.a}}",))
    try:
        made = kernel(replace(spec, task=replace(spec.task, container=container)))
    except Invalid:
        return None
    return made.env["SEEN"]


def task_name(spec: ServiceSpec) -> set[str]:
    """What the tasks are called after."""
    world = world_of("a")
    service_id = world.add(spec)
    world.plan()
    return {task.service_name for task in world.view.tasks_of(service_id).values()}


def _on(node: str) -> TaskSpec:
    return TaskSpec(placement=Placement(constraints=(f"node.id=={node}",)))
