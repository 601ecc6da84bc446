import pytest
from msgspec import structs

from manager import layout
from manager.control import networks
from manager.networks.pools import Taken
from manager.store import Absent, Commit, Delete, Put, Unchanged
from swarm.checking.networks import read_range
from swarm.codec import unpack
from swarm.errors import Invalid, Refused
from swarm.ids import ClusterId, NetworkId, NodeId, TaskId
from swarm.objects import Attachment, Cluster, Ledger, Network, NodeDescription, Rollout, Task
from swarm.specs import (
    ContainerSpec,
    EndpointSpec,
    NetworkAttachment,
    NetworkSpec,
    Port,
    ServiceSpec,
    Subnet,
    TaskSpec,
)
from swarm.states import RolloutState, TaskState
from tests.manager.world import World
from tests.networks import attached

NEW = NetworkId("n-new")
PORT = Port(target=80, published=8080)


def make_world() -> World:
    world = World()
    world.write((layout.CLUSTER, Cluster(id=ClusterId("c"))))
    world.network("ingress", subnet="10.255.0.0/16", ingress=True)
    world.network("back", subnet="10.0.0.0/24")
    return world


def within(*targets: str, ports: tuple[Port, ...] = ()) -> ServiceSpec:
    return ServiceSpec(
        name="web",
        task=TaskSpec(container=ContainerSpec(image="x"), networks=attached(*targets)),
        endpoint=EndpointSpec(ports=ports),
    )


def stored(commit: Commit) -> Network:
    (put,) = (
        each
        for each in commit.operations
        if isinstance(each, Put) and each.key.startswith(layout.NETWORKS)
    )
    return unpack(Network, put.value)


def test_a_network_takes_its_name_its_number_and_its_subnet_in_one_commit() -> None:
    view = make_world().view

    network, commit = networks.create(view, NetworkSpec(name="new"), NEW, now=5.0)

    assert stored(commit) == network
    assert {Absent("names/network/new"), Absent("networks/n-new")} <= set(commit.compares)
    assert layout.POOLS in {each.key for each in commit.compares}
    assert layout.POOLS in {each.key for each in commit.operations}
    assert network.subnets == (Subnet(subnet="10.0.1.0/24", gateway="10.0.1.1"),)
    assert network.vni not in {each.vni for each in view.networks.values()}


def test_two_that_were_decided_on_the_same_view_cannot_both_be() -> None:
    world = make_world()
    _, first = networks.create(world.view, NetworkSpec(name="a"), NEW, now=5.0)
    _, second = networks.create(world.view, NetworkSpec(name="b"), NetworkId("n-b"), now=5.0)

    world.write(*((each.key, each.value.decode("latin1")) for each in first.operations
                  if isinstance(each, Put) and each.key == layout.POOLS))  # fmt: skip

    fence = next(each for each in second.compares if each.key == layout.POOLS)
    now = world.view.version(layout.POOLS)
    assert fence == Absent(layout.POOLS)
    assert now > 0


def test_addresses_that_a_host_reaches_are_not_chosen() -> None:
    hit = Taken(read_range("10.0.1.0/24"), "10.0.0.0/23, which is reached by eth1")

    network, _ = networks.create(
        make_world().view, NetworkSpec(name="new"), NEW, now=5.0, elsewhere=(hit,)
    )

    assert network.subnets[0].subnet == "10.0.2.0/24"


@pytest.mark.parametrize(
    ("spec", "kind", "words"),
    [
        (NetworkSpec(name="back"), Refused, "name back is already taken by network n-back"),
        (NetworkSpec(name="in", ingress=True), Refused, "an ingress network already: ingress"),
        (NetworkSpec(name="a b", mtu=1), Invalid, "2 problems"),
        (NetworkSpec(name="a", mtu=1279, ipv6=True), Invalid, "mtu: 1279 is less than the 1280"),
        (
            NetworkSpec(name="new", subnets=(Subnet(subnet="10.0.0.0/16"),)),
            Refused,
            r"subnets\[0\].subnet: 10.0.0.0/16 overlaps network back \(10.0.0.0/24\)",
        ),
    ],
)
def test_what_cannot_be_is_refused(
    spec: NetworkSpec, kind: type[Invalid | Refused], words: str
) -> None:
    with pytest.raises(kind, match=words):
        networks.create(make_world().view, spec, NEW, now=5.0)


def test_a_network_that_nobody_uses_goes_with_its_name() -> None:
    world = make_world()

    commit = networks.remove(world.view, NetworkId("n-back"))

    assert set(commit.operations) == {Delete("networks/n-back"), Delete("names/network/back")}
    assert all(isinstance(each, Unchanged) for each in commit.compares)


def test_services_that_name_a_network_keep_it() -> None:
    world = make_world()
    world.service("web", task=within("n-back").task)
    world.service("api", task=within("n-back").task)

    with pytest.raises(Refused, match="network back is in use by the following services: api, web"):
        networks.remove(world.view, NetworkId("n-back"))


def test_services_that_publish_keep_the_ingress_network() -> None:
    world = make_world()
    world.service("web", endpoint=EndpointSpec(ports=(PORT,)))

    with pytest.raises(Refused, match="network ingress is in use by the following service: web"):
        networks.remove(world.view, NetworkId("n-ingress"))


def test_a_rollback_that_may_lead_back_keeps_a_network() -> None:
    world = make_world()
    web = world.service("web", task=within("n-back").task)
    world.new_version(web, networks=())
    rollout = Rollout(state=RolloutState.UPDATING, spec_version=2)
    world.write((layout.ledger_key(web), Ledger(service_id=web, rollout=rollout)))

    assert networks.users(world.view, NetworkId("n-back")).services == ("web",)
    with pytest.raises(Refused) as caught:
        networks.remove(world.view, NetworkId("n-back"))
    assert "wait until tasks of earlier versions are replaced" in caught.value.hint
    over = structs.replace(rollout, state=RolloutState.COMPLETED)
    world.write((layout.ledger_key(web), Ledger(service_id=web, rollout=over)))
    assert not networks.users(world.view, NetworkId("n-back"))


def test_the_last_task_of_a_removed_service_keeps_a_network() -> None:
    world = make_world()
    node, web = world.node("n1"), world.service("web", task=within("n-back").task)
    task = Task(
        id=TaskId("t1"),
        service_id=web,
        service_name="web",
        slot=1,
        node_id=node,
        attachments=(Attachment(network_id=NetworkId("n-back"), addresses=("10.0.0.2",)),),
    )
    world.task(task)
    world.remove_service(web)

    with pytest.raises(Refused, match=r"in use by the following task: web\.1\.t1"):
        networks.remove(world.view, NetworkId("n-back"))

    world.report(task, TaskState.SHUTDOWN)
    assert networks.remove(world.view, NetworkId("n-back")).operations


def test_names_become_ids() -> None:
    view = make_world().view
    spec = within("back")

    assert networks.resolved(view, spec).task.networks == attached("n-back")
    assert networks.resolved(view, within("n-back")).task.networks == attached("n-back")
    assert networks.resolved(view, within("host")) == within("host")
    assert networks.named(view, networks.resolved(view, spec)) == spec


def test_what_services_cannot_be_in_is_told_at_once_with_the_nearest_names() -> None:
    world = make_world()
    world.network("front", subnet="10.0.7.0/24")

    with pytest.raises(Invalid) as caught:
        networks.resolved(world.view, within("bakc", "ingress", "back", "n-back", "zzz"))

    assert list(caught.value.problems) == [
        "task.networks[0]: there is no network 'bakc'; did you mean back?",
        "task.networks[1]: ingress is for published ports only; publish a port instead",
        "task.networks[3]: back is given twice, as networks[2]",
        "task.networks[4]: there is no network 'zzz'; there are back, front, and each node's own",
    ]


def test_nothing_is_published_without_an_ingress_network() -> None:
    world = World()

    with pytest.raises(Invalid, match="there is no ingress network"):
        networks.resolved(world.view, within(ports=(PORT,)))


def test_a_service_and_the_removal_of_its_network_cannot_both_be() -> None:
    """Whoever is first changes what the other compares.

    1. A service is stored: it compares the network, and writes its name anew.
    2. The removal was decided before, and compares the name: it fails.
    3. The other way round the network is not there any more: the service fails.
    """
    view = make_world().view
    storing = networks.keeping(view, Commit(), within("n-back", ports=(PORT,)))
    removing = networks.remove(view, NetworkId("n-back"))

    written = {each.key for each in storing.operations}
    assert written == {"names/network/back", "names/network/ingress"}
    assert written & {each.key for each in removing.compares}
    assert {each.key for each in removing.operations} & {each.key for each in storing.compares}


def test_a_network_that_went_meanwhile_is_told_of() -> None:
    with pytest.raises(Invalid, match="network n-gone was removed meanwhile"):
        networks.keeping(make_world().view, Commit(), within("n-gone"))


def test_pruning_spares_what_is_used_and_what_is_selected_out() -> None:
    world = make_world()
    for number, (name, labels) in enumerate([("old", {"a": "b"}), ("kept", {"keep": ""})]):
        network_id = world.network(name, subnet=f"10.0.{number + 20}.0/24")
        network = world.view.networks[network_id]
        spec = structs.replace(network.spec, labels=labels)
        world.write((layout.network_key(network_id), structs.replace(network, spec=spec)))
    world.service("web", task=within("n-back").task)

    def names(**given: object) -> list[str]:
        chosen = {"labels": (), "not_labels": (), "until": 0.0} | given
        return list(networks.unused(world.view, **chosen))

    assert names() == ["n-kept", "n-old"]
    assert names(not_labels=("keep",)) == ["n-old"]
    assert names(labels=("a=b", "x")) == ["n-old"]
    assert names(labels=("a=c",)) == []
    assert names(until=world.now) == []
    assert names(until=world.now + 1) == ["n-kept", "n-old"]


def test_aliases_stay_with_their_network() -> None:
    wanted = (NetworkAttachment(target="back", aliases=("db",)),)
    spec = structs.replace(within(), task=TaskSpec(networks=wanted))

    found = networks.resolved(make_world().view, spec).task.networks

    assert found == (NetworkAttachment(target="n-back", aliases=("db",)),)


def test_all_networks_at_once_say_what_each_says_alone() -> None:
    world = make_world()
    side = world.network("side", subnet="10.0.9.0/24")
    node, web = world.node("n1"), world.service("web", task=within("n-back").task)
    held = (Attachment(network_id=side, addresses=("10.0.9.2",)),)
    world.task(
        Task(id=TaskId("t1"), service_id=web, service_name="web", node_id=node, attachments=held)
    )

    found = networks.users_of_all(world.view)

    assert found == {each: networks.users(world.view, each) for each in world.view.networks}
    assert [each for each, of in found.items() if of] == ["n-back", "n-side"]


def test_a_network_is_encrypted_only_where_every_kernel_can() -> None:
    """Nodes that have not told of themselves yet are no reason; a key is, that one is missing."""
    world = make_world()
    for name in ("a", "b", "c"):
        world.node(name)
    world.write(
        *(
            (layout.node_key(node.id), structs.replace(node, description=described))
            for node, described in (
                (world.view.nodes[NodeId("b")], NodeDescription(hostname="h", public_key=b"k")),
                (world.view.nodes[NodeId("c")], NodeDescription()),
            )
        )
    )
    wish = NetworkSpec(name="new", encrypted=True)

    with pytest.raises(Refused) as refused:
        networks.create(world.view, wish, NEW, now=5.0)
    networks.create(world.view, NetworkSpec(name="new"), NEW, now=5.0)
    told = structs.replace(world.view.nodes[NodeId("a")].description, public_key=b"k")
    able = structs.replace(world.view.nodes[NodeId("a")], description=told)
    world.write((layout.node_key(able.id), able))
    network, _ = networks.create(world.view, wish, NEW, now=5.0)

    assert refused.value.message == "encrypted: there is no WireGuard in the kernel of node host-a"
    assert "load the module wireguard there" in refused.value.hint
    assert network.spec.encrypted


def test_of_many_nodes_without_wireguard_some_are_named() -> None:
    world = make_world()
    world.nodes(8)

    with pytest.raises(Refused, match=r"of nodes host-\S+, .* and 3 more$"):
        networks.create(world.view, NetworkSpec(name="new", encrypted=True), NEW, now=5.0)
