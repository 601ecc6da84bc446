"""Make random swarms with tasks on them, and a service that wants to be placed."""

from random import Random

from msgspec import Struct, structs

from manager import layout
from manager.scheduler.asks import Ask, ask_of
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Node, NodeDescription, Observation, Service, Session, SpecVersion, Task
from swarm.specs import (
    Affinity,
    Availability,
    EndpointSpec,
    GenericResource,
    NodeSpec,
    Placement,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Resources,
    ServiceSpec,
    Strategy,
    Taint,
    TaintEffect,
    TaskSpec,
)
from swarm.states import TaskState
from swarm.wishes import parse_toleration
from tests.manager.world import MEBI, World

NAMES = ("web", "db", "shy")
TOPOLOGIES = ("node.id", "node.labels.zone", "node.labels.rack")


class Scene(Struct, frozen=True, kw_only=True):
    """A swarm, the ask, and the asks of everybody who runs there, by name."""

    view: ClusterView
    ask: Ask
    asks: dict[str, Ask]
    failures: dict[NodeId, int]
    leaving: dict[NodeId, int]
    avoid: frozenset[NodeId]


def make_crowd(random: Random) -> Scene:
    """Small nodes full of tasks, and a service that is more important than some of them."""
    return make_scene(random, tasks=24, wishes=0.1)


def make_scene(random: Random, *, tasks: int = 12, wishes: float = 1.0) -> Scene:
    """Up to eight nodes, three services, and up to so many tasks."""
    world = World()
    nodes = [_node(random, number) for number in range(random.randint(0, 8))]
    services = [_service(random, name, wishes) for name in NAMES]
    pairs: list[tuple[str, Struct]] = []
    for node in nodes:
        pairs.append((layout.node_key(node.id), node))
        if random.random() < 0.85:
            pairs.append((layout.session_key(node.id), Session(node_id=node.id)))
    for service in services:
        pairs.append((layout.service_key(service.id), service))
        pairs.append((layout.version_key(service.id, 1), SpecVersion.of(service)))
    for number in range(random.randint(0, tasks) if nodes else 0):
        pairs += _task(random, number, random.choice(services), random.choice(nodes))
    world.write(*pairs)
    for node in nodes:
        if random.random() < 0.9:
            world.view.give_up([node.id], now=world.now)
    web = services[0]
    meant = [
        t.node_id
        for t in world.view.tasks.values()
        if t.service_id == web.id
        and t.desired is TaskState.RUNNING
        and world.view.state(t) <= TaskState.RUNNING
    ]
    stopped = meant[: random.randint(0, 1)]
    return Scene(
        view=world.view,
        ask=ask_of(web),
        asks={each.spec.name: ask_of(each) for each in services},
        failures={n.id: random.choice((1, 5)) for n in nodes if random.random() < 0.2},
        leaving=dict.fromkeys(stopped, 1),
        avoid=frozenset(n.id for n in nodes if random.random() < 0.05),
    )


def _node(random: Random, number: int) -> Node:
    labels = {
        name: random.choice(values)
        for name, values in (("zone", "ab"), ("rack", "rs"))
        if random.random() < 0.8
    }
    generic = [
        GenericResource(kind="ssd", count=random.randint(0, 3)),
        GenericResource(kind="gpu", names=("g0", "g1", "g2")[: random.randint(1, 3)]),
    ]
    return Node(
        id=NodeId(f"n{number}"),
        spec=NodeSpec(
            availability=random.choice((Availability.ACTIVE,) * 6 + (Availability.PAUSE,)),
            labels=labels,
            taints=(Taint(key="k", effect=random.choice(list(TaintEffect))),)
            if random.random() < 0.2
            else (),
        ),
        description=NodeDescription(
            hostname=f"host{number}",
            os="linux",
            arch=random.choice(("x86_64", "x86_64", "aarch64")),
            resources=Resources(
                cpu_millis=random.randint(0, 8) * 500,
                memory_bytes=random.randint(0, 8) * 100 * MEBI,
                generic=tuple(each for each in generic if random.random() < 0.6),
            ),
        ),
    )


def _service(random: Random, name: str, share: float) -> Service:
    is_wishful = random.random() < share

    def sometimes(chance: float) -> bool:
        return random.random() < chance

    generic = [
        GenericResource(kind=kind, count=random.randint(1, 2))
        for kind in ("ssd", "gpu")
        if sometimes(0.15)
    ]
    wishes = [_affinity(random) for _ in range(random.choice((0, 0, 1, 1, 2)) * is_wishful)]
    preferences = random.choice(
        ((), (), ("node.labels.zone",), ("node.labels.zone", "node.labels.rack"))
    )
    places = {w.topology for w in wishes if w.anti and w.required and w.service == name}
    if places - {"node.id"}:
        # Of each place only the best node is a candidate: preferences that cross places may
        # then have to do with the second best branch, which looking at every node would not.
        preferences = ()
        wishes = [w for w in wishes if w.service != name or (w.anti and w.required)]
    task = TaskSpec(
        reservations=Resources(
            cpu_millis=random.choice((0, 300, 500, 1200)),
            memory_bytes=random.choice((0, 0, 50, 100, 210)) * MEBI,
            generic=tuple(generic),
        ),
        placement=Placement(
            constraints=("node.labels.zone!=b",) if sometimes(0.1) else (),
            max_replicas_per_node=random.choice((0, 0, 1, 3)) if is_wishful else 0,
            preferences=preferences,
            platforms=(Platform(os="linux", arch="amd64"),) if sometimes(0.2) else (),
            affinities=tuple(wishes),
            tolerations=(parse_toleration("k"),) if sometimes(0.3) else (),
            strategy=random.choice((Strategy.SPREAD, Strategy.SPREAD, Strategy.BINPACK)),
        ),
        priority=random.randint(0, 2),
    )
    ports = [
        Port(
            target=80,
            published=80,
            mode=PublishMode.HOST,
            ip=random.choice(("", "10.0.0.1", "10.0.0.2")),
            protocol=random.choice((Protocol.TCP, Protocol.UDP)),
        )
    ]
    spec = ServiceSpec(
        name=name, task=task, endpoint=EndpointSpec(ports=tuple(ports) if sometimes(0.2) else ())
    )
    return Service(id=ServiceId(f"s-{name}"), spec=spec)


def _affinity(random: Random) -> Affinity:
    return Affinity(
        service=random.choice(NAMES),
        anti=random.random() < 0.5,
        required=random.random() < 0.6,
        topology=random.choice(TOPOLOGIES),
    )


def _task(
    random: Random, number: int, service: Service, node: Node
) -> list[tuple[str, Task | Observation]]:
    task = Task(
        id=TaskId(f"t{number}"),
        service_id=service.id,
        service_name=service.spec.name,
        slot=number + 1,
        node_id=node.id,
        desired=random.choice((TaskState.RUNNING,) * 4 + (TaskState.SHUTDOWN,)),
        created_at=float(number),
    )
    gpus = [g for g in node.description.resources.generic if g.kind == "gpu"]
    wants = [g for g in service.spec.task.reservations.generic if g.kind == "gpu"]
    if gpus and wants:
        task = structs.replace(task, claims=())
    found: list[tuple[str, Task | Observation]] = [(layout.task_key(service.id, task.id), task)]
    if random.random() < 0.6:
        state = random.choice((TaskState.RUNNING,) * 4 + (TaskState.FAILED,))
        seen = Observation(task_id=task.id, state=state, at=1.0)
        found.append((layout.observed_key(node.id, task.id), seen))
    return found
