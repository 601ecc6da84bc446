import pytest

from manager import layout
from manager.scheduler.asks import Ask, ask_for, ask_of
from manager.scheduler.filters import NAMES
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import Home, home_of, homes_for
from manager.scheduler.placement import place
from manager.scheduler.verdicts import verdicts
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.specs import (
    Affinity,
    Availability,
    ContainerSpec,
    EndpointSpec,
    GenericResource,
    Mount,
    NetworkAttachment,
    Placement,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Resources,
    Taint,
    TaintEffect,
    TaskSpec,
)
from swarm.states import TaskState
from swarm.wishes import parse_affinity, parse_toleration
from tests.manager.world import MEBI, World

WEB = ServiceId("s-web")
PORT = Port(target=80, published=8080, mode=PublishMode.HOST)


def run(world: World, name: str, node: str, slot: int = 1, **fields: object) -> Task:
    task = Task(
        id=TaskId(f"{name}.{slot}"),
        service_id=ServiceId(f"s-{name}"),
        service_name=name,
        node_id=NodeId(node),
        **fields,
    )
    world.task(task)
    return task


def asking(*, name: str = "web", ports: tuple[Port, ...] = (), **placement: object) -> Ask:
    return ask_for(WEB, TaskSpec(placement=Placement(**placement)), name=name, ports=ports)


def reserving(**amounts: object) -> Ask:
    return ask_for(WEB, TaskSpec(reservations=Resources(**amounts)))


def crowded() -> World:
    """One node `a` that has something to say against everything."""
    world = World()
    world.node(
        "a",
        cpu_millis=4000,
        memory_bytes=8192 * MEBI,
        labels={"zone": "west"},
        taints=(Taint(key="team", value="red"),),
        generic=(GenericResource(kind="gpu", count=4),),
    )
    spec = TaskSpec(
        reservations=Resources(
            cpu_millis=3500,
            memory_bytes=7680 * MEBI,
            generic=(GenericResource(kind="gpu", count=3),),
        )
    )
    db = world.service("db", task=spec)
    world.set_service(db, endpoint=EndpointSpec(ports=(PORT,)))
    world.new_version(db, force_update=1)
    run(world, "db", "a", spec_version=2)
    world.service("shy", task=TaskSpec(placement=Placement(affinities=(_shy(),))))
    run(world, "shy", "a")
    run(world, "web", "a")
    return world


def _shy() -> Affinity:
    return Affinity(service="web", anti=True)


TOLERANT = (parse_toleration("team"),)


@pytest.mark.parametrize(
    ("ask", "name", "phrase", "detail"),
    [
        (
            asking(platforms=(Platform(os="linux", arch="arm64"),)),
            "platform",
            "image is for linux/arm64, unlike 1 node",
            "is linux/x86_64, and the image is for linux/arm64",
        ),
        (
            asking(constraints=("node.labels.zone==east",)),
            "constraint",
            "constraint node.labels.zone==east not satisfied on 1 node",
            "has node.labels.zone 'west', and node.labels.zone==east is asked for",
        ),
        (
            asking(constraints=("node.labels.disk==ssd",)),
            "constraint",
            "constraint node.labels.disk==ssd not satisfied on 1 node",
            "has no node.labels.disk, and node.labels.disk==ssd is asked for",
        ),
        (
            asking(),
            "taint",
            "taints not tolerated on 1 node",
            "has the taint team=red:no-schedule, which is not tolerated",
        ),
        (
            asking(name="x", tolerations=TOLERANT, affinities=(parse_affinity("service==cache"),)),
            "affinity",
            "affinity service==cache not satisfied on 1 node",
            "service==cache is asked for, and service cache does not run there",
        ),
        (
            asking(name="x", tolerations=TOLERANT, affinities=(parse_affinity("service!=db"),)),
            "affinity",
            "affinity service!=db not satisfied on 1 node",
            "service!=db is asked for, and service db runs there",
        ),
        (
            asking(tolerations=TOLERANT),
            "affinity",
            "service shy (service!=web) is on 1 node",
            "runs service shy, which asks for service!=web",
        ),
        (
            asking(name="x", tolerations=TOLERANT, ports=(PORT,)),
            "port",
            "host port 8080/tcp in use on 1 node",
            "wants port 8080/tcp of the host, which service db holds",
        ),
        (
            asking(name="x", tolerations=TOLERANT, max_replicas_per_node=1),
            "max-replicas",
            "max replicas per node (1) reached on 1 node",
            "runs 1 of the service's tasks, of at most 1",
        ),
    ],
)
def test_every_filter_says_what_a_node_lacks(ask: Ask, name: str, phrase: str, detail: str) -> None:
    fleet = Fleet.of(crowded().view)

    (verdict,) = verdicts(fleet, ask)

    assert (verdict.filter, verdict.detail) == (name, detail)
    assert name in NAMES
    assert place(fleet, ask, 1).reason == f"no suitable node ({phrase})"


@pytest.mark.parametrize(
    ("ask", "name", "detail"),
    [
        (reserving(cpu_millis=2000), "cpu", "wants 2 of cpu, 0.5 of 4 are free"),
        (
            reserving(memory_bytes=2048 * MEBI),
            "memory",
            "wants 2GiB of memory, 512MiB of 8GiB are free",
        ),
        (
            reserving(generic=(GenericResource(kind="gpu", count=2),)),
            "generic",
            "wants 2 of gpu, 1 of 4 are free",
        ),
        (
            reserving(generic=(GenericResource(kind="fpga", count=1),)),
            "generic",
            "wants 1 of fpga, 0 of 0 are free",
        ),
    ],
)
def test_what_is_too_little_is_told_in_numbers(ask: Ask, name: str, detail: str) -> None:
    world = crowded()
    world.set_node(NodeId("a"), taints=())

    (verdict,) = verdicts(Fleet.of(world.view), ask)

    assert (verdict.filter, verdict.detail, verdict.room) == (name, detail, 0)


def test_nodes_that_are_away_say_how() -> None:
    world = World()
    world.node("a", ready=False)
    world.view.give_up([NodeId("a")], now=world.now)
    world.node("b", availability=Availability.DRAIN)
    world.node("c", ready=False)
    world.node("d")

    found = verdicts(Fleet.of(world.view), Ask(service_id=WEB))

    assert [(each.filter, each.detail) for each in found] == [
        ("ready", "is down"),
        ("active", "has availability drain"),
        ("ready", "is not heard of yet"),
        ("", ""),
    ]
    assert found[3].room is None


def test_taints_that_only_prefer_are_used_when_there_is_no_choice() -> None:
    world = World()
    world.node("a", taints=(Taint(key="old", effect=TaintEffect.PREFER_NO_SCHEDULE),))
    world.node("b", cpu_millis=1000)

    placed = place(Fleet.of(world.view), Ask(service_id=WEB, cpu_millis=500), 3)

    assert placed.nodes == ("b", "b", "a")


def test_ports_conflict_by_address_and_protocol() -> None:
    world = World()
    world.node("a")
    service = world.service("db")
    held = Port(target=80, published=80, mode=PublishMode.HOST, ip="10.0.0.1")
    world.set_service(service, endpoint=EndpointSpec(ports=(held,)))
    world.new_version(service)
    task = run(world, "db", "a", spec_version=2)
    fleet = Fleet.of(world.view)

    def fits(ip: str, protocol: Protocol = Protocol.TCP) -> bool:
        port = Port(target=80, published=80, mode=PublishMode.HOST, ip=ip, protocol=protocol)
        return bool(place(fleet, asking(ports=(port,)), 1).nodes)

    assert (fits("10.0.0.2"), fits("10.0.0.1"), fits(""), fits("", Protocol.UDP)) == (
        True,
        False,
        False,
        True,
    )
    world.remove_service(service)
    assert not fits("10.0.0.1"), "the task holds it, whatever became of its service"
    fleet.sync(world.view, world.report(task, TaskState.SHUTDOWN))
    assert fits("10.0.0.1")


def test_tasks_of_encrypted_networks_go_where_the_kernel_can() -> None:
    world = World()
    world.node("a")
    world.node("b", public_key=b"key of b")
    open_one, secret = world.network(), world.network("secret", encrypted=True)
    fleet = Fleet.of(world.view)

    def asks(network: NetworkId) -> Ask:
        return ask_for(WEB, TaskSpec(networks=(NetworkAttachment(target=network),)))

    assert place(fleet, asks(open_one), 2).nodes == ("a", "b")
    assert place(fleet, asks(secret), 2).nodes == ("b", "b")
    assert [(each.filter, each.detail) for each in verdicts(fleet, asks(secret))] == [
        ("encryption", "has no WireGuard, which an encrypted network of the service needs"),
        ("", ""),
    ]
    fleet.sync(world.view, world.write((layout.node_key(NodeId("b")), None)))
    assert place(fleet, asks(secret), 1).reason == (
        "no suitable node (no WireGuard for an encrypted network on 1 node)"
    )


def test_names_of_generic_resources_are_given_once() -> None:
    world = World()
    gpus = GenericResource(kind="gpu", names=("g1", "g2", "g3"))
    world.node("a", generic=(gpus, GenericResource(kind="ssd", count=9)))
    wanted = (GenericResource(kind="gpu", count=1), GenericResource(kind="ssd", count=2))
    web = world.service("web", task=TaskSpec(reservations=Resources(generic=wanted)))
    run(world, "web", "a", claims=(GenericResource(kind="gpu", names=("g2",)),))
    fleet = Fleet.of(world.view)

    placed = place(fleet, ask_of(world.view.services[web]), 3)

    assert placed.by_task == ("a", "a", "")
    assert placed.claims == (
        (GenericResource(kind="gpu", names=("g1",)),),
        (GenericResource(kind="gpu", names=("g3",)),),
        (),
    )
    assert placed.reason == "no suitable node (insufficient gpu on 1 node)"


def test_a_slot_goes_where_it_was_or_where_its_volume_is() -> None:
    world = World()
    world.node("a", volumes=("data-1", "data-2", "web-cache"))
    world.node("b", volumes=("data-2",))
    fleet = Fleet.of(world.view)

    def asks(source: str, **mount: object) -> Ask:
        mounts = (Mount(source=source, target="/d", **mount),)
        return ask_for(WEB, TaskSpec(container=ContainerSpec(mounts=mounts)), name="web")

    own = asks("data-{{.Task.Slot}}")
    assert home_of(fleet, own, 1, None) == Home("data-1", (NodeId("a"),))
    assert home_of(fleet, own, 2, None) == Home("data-2", (NodeId("a"), NodeId("b")))
    assert home_of(fleet, own, 3, None) is None
    assert home_of(fleet, own, 1, NodeId("b")) == Home("data-1", (NodeId("b"),))
    assert home_of(fleet, own, 3, NodeId("gone")) is None
    assert home_of(fleet, asks("{{.Service.Name}}-cache"), 1, None) is None
    assert home_of(fleet, asks("data-{{.Task.Slot}}", roams=True), 1, NodeId("b")) is None
    assert home_of(fleet, asks("data-{{.Task.Slot}}", volume_driver="nfs"), 1, None) is None

    homes = homes_for(fleet, own, (1, 3), {})
    placed = place(fleet, own, 2, homes=homes)
    assert placed.by_task == ("a", "b")
    world.set_node(NodeId("a"), availability=Availability.DRAIN)
    fleet = Fleet.of(world.view)
    placed = place(fleet, own, 2, homes=homes)
    assert placed.by_task == ("", "b")
    assert placed.nodes == ("b",)
    assert placed.reason_of(0) == (
        "no suitable node (volume data-1 lives on host-a, which has availability drain)"
    )
    assert verdicts(fleet, own, home=homes[0])[1].detail == (
        "does not have volume data-1, which lives on host-a"
    )


def test_a_service_that_wants_to_be_together_starts_where_most_of_it_fits() -> None:
    world = World()
    for name, zone in (("a", "x"), ("b", "y"), ("c", "y"), ("d", "")):
        world.node(name, cpu_millis=1000, labels={"zone": zone} if zone else {})
    ask = ask_for(
        WEB,
        TaskSpec(
            reservations=Resources(cpu_millis=500),
            placement=Placement(
                affinities=(parse_affinity("service==web,topology=node.labels.zone"),)
            ),
        ),
        name="web",
    )

    placed = place(Fleet.of(world.view), ask, 5)

    assert sorted(placed.nodes) == ["b", "b", "c", "c"]
    assert placed.reason.startswith(
        "no suitable node (affinity service==web,topology=node.labels.zone not satisfied on 2 nodes"
    )
