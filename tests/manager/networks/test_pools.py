"""What new networks get: what nobody has, and what was given up as late as can be."""

from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from manager.networks.pools import (
    FIRST_VNI,
    LAST_VNI,
    choose,
    first_networks,
    taken_by,
    unique_local,
)
from swarm.errors import Invalid, Refused
from swarm.ids import ClusterId, NetworkId, NodeId
from swarm.objects import Cluster, Network, Node, NodeDescription
from swarm.specs import ClusterSpec, NetworkSpec, Subnet
from swarm.subnets import room_in


def cluster(*pools: str, bits: int = 24) -> Cluster:
    spec = ClusterSpec(address_pools=pools or ("10.0.0.0/8",), subnet_bits=bits)
    return Cluster(id=ClusterId("c1"), spec=spec)


def spec(*subnets: Subnet, name: str = "web", ipv6: bool = False) -> NetworkSpec:
    return NetworkSpec(name=name, subnets=subnets, ipv6=ipv6)


class Swarm:
    """Networks as a manager would make them, one commit after the other."""

    def __init__(self, of: Cluster, *nodes: Node) -> None:
        self.cluster, self.nodes = of, nodes
        self.networks: dict[str, Network] = {}
        self.fence = ""

    def make(self, wanted: NetworkSpec) -> Network:
        choice = choose(
            wanted,
            self.cluster,
            taken_by(self.networks.values(), self.nodes),
            used=(each.vni for each in self.networks.values()),
            fence=self.fence,
        )
        self.fence = choice.fence
        made = Network(
            id=NetworkId(wanted.name), spec=wanted, vni=choice.vni, subnets=choice.subnets
        )
        self.networks[wanted.name] = made
        return made


def subnet_of(network: Network) -> str:
    return network.subnets[0].subnet


def test_networks_get_one_subnet_after_the_other_with_a_gateway() -> None:
    swarm = Swarm(cluster())

    made = [swarm.make(spec(name=name)) for name in "abc"]

    assert [subnet_of(each) for each in made] == ["10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"]
    assert [each.subnets[0].gateway for each in made] == ["10.0.0.1", "10.0.1.1", "10.0.2.1"]
    assert [each.vni for each in made] == [FIRST_VNI, FIRST_VNI + 1, FIRST_VNI + 2]


def test_what_was_given_up_comes_again_last() -> None:
    swarm = Swarm(cluster("10.9.0.0/22"))
    for name in "ab":
        swarm.make(spec(name=name))
    del swarm.networks["a"]

    again = [swarm.make(spec(name=name)) for name in "cde"]

    assert [subnet_of(each) for each in again] == ["10.9.2.0/24", "10.9.3.0/24", "10.9.0.0/24"]
    assert [each.vni for each in again] == [FIRST_VNI + 2, FIRST_VNI + 3, FIRST_VNI + 4]


def test_numbers_begin_again_at_the_end() -> None:
    choice = choose(spec(), cluster(), (), used=(FIRST_VNI,), fence=str(LAST_VNI))

    assert choice.vni == FIRST_VNI + 1


def test_an_exhausted_pool_names_those_who_have_it() -> None:
    swarm = Swarm(cluster("10.9.0.0/23"))
    for name in ("blue", "red"):
        swarm.make(spec(name=name))

    with pytest.raises(Refused) as refused:
        swarm.make(spec(name="green"))

    assert refused.value.message == (
        "the address pools (10.9.0.0/23) have no free subnet of 24 bits: "
        "2 networks are there (blue, red)"
    )


def test_a_second_pool_serves_when_the_first_is_full() -> None:
    swarm = Swarm(cluster("10.9.0.0/24", "10.8.0.0/23"))

    made = [subnet_of(swarm.make(spec(name=name))) for name in "abc"]

    assert made == ["10.9.0.0/24", "10.8.0.0/24", "10.8.1.0/24"]


def test_a_pool_smaller_than_a_subnet_is_one() -> None:
    assert subnet_of(Swarm(cluster("10.9.0.0/28")).make(spec())) == "10.9.0.0/28"


def test_a_given_subnet_that_overlaps_is_refused_by_name() -> None:
    swarm = Swarm(cluster())
    swarm.make(spec(Subnet(subnet="192.168.0.0/16"), name="wide"))

    with pytest.raises(Refused) as refused:
        swarm.make(spec(Subnet(subnet="192.168.7.0/24"), name="narrow"))

    assert refused.value.message == (
        "subnets[0].subnet: 192.168.7.0/24 overlaps network wide (192.168.0.0/16)"
    )


def test_subnets_keep_clear_of_what_nodes_are_reached_at() -> None:
    node = Node(id=NodeId("n1"), description=NodeDescription(hostname="ant", addr="10.0.0.4"))
    swarm = Swarm(cluster(), node)

    chosen = subnet_of(swarm.make(spec()))
    with pytest.raises(Refused) as refused:
        swarm.make(spec(Subnet(subnet="10.0.0.0/28"), name="hit"))

    assert chosen == "10.0.1.0/24"
    assert "overlaps the address 10.0.0.4 of node ant" in refused.value.message


def test_a_network_with_ipv6_gets_a_unique_local_subnet_of_its_own() -> None:
    swarm = Swarm(cluster())

    first, second = (swarm.make(spec(name=name, ipv6=True)) for name in "ab")

    assert [each.subnet for each in first.subnets] == [
        "10.0.0.0/24",
        str(unique_local(ClusterId("c1"), FIRST_VNI)),
    ]
    assert ip_network(first.subnets[1].subnet).prefixlen == 64
    assert first.subnets[1] != second.subnets[1]
    assert unique_local(ClusterId("c2"), FIRST_VNI) != unique_local(ClusterId("c1"), FIRST_VNI)


def test_a_pool_of_ipv6_is_preferred_to_unique_local_addresses() -> None:
    made = Swarm(cluster("10.0.0.0/8", "2001:db8::/48")).make(spec(ipv6=True))

    assert [each.subnet for each in made.subnets] == ["10.0.0.0/24", "2001:db8::/64"]


def test_a_given_subnet_keeps_its_gateway_and_does_not_move_the_search() -> None:
    swarm = Swarm(cluster())
    swarm.make(spec(name="a"))

    own = swarm.make(spec(Subnet(subnet="10.7.0.0/24", gateway="10.7.0.9"), name="own"))

    assert own.subnets[0].gateway == "10.7.0.9"
    assert subnet_of(swarm.make(spec(name="b"))) == "10.0.1.0/24"


def test_the_gateway_is_the_first_address_that_is_not_set_aside() -> None:
    aside = Subnet(subnet="10.7.0.0/24", aux_addresses={"router": "10.7.0.1"})

    assert Swarm(cluster()).make(spec(aside)).subnets[0].gateway == "10.7.0.2"


@pytest.mark.parametrize(
    ("pools", "bits", "found"),
    [
        (("10.0.0.0/8",), 24, "10.255.0.0/16"),
        (("10.0.0.0/8", "172.20.0.0/16"), 24, "172.20.240.0/20"),
        (("10.9.0.0/22",), 24, "10.9.3.0/24"),
        (("10.9.0.0/28",), 24, "10.9.0.0/28"),
    ],
)
def test_the_ingress_network_takes_the_end_of_the_pools(
    pools: tuple[str, ...], bits: int, found: str
) -> None:
    network, fence = first_networks(cluster(*pools, bits=bits), (), NetworkId("i"))

    assert (network.spec.name, network.spec.ingress) == ("ingress", True)
    assert (subnet_of(network), network.vni) == (found, FIRST_VNI)
    assert choose(spec(), cluster(), taken_by([network]), used=[4097], fence=fence).vni == 4098


@pytest.mark.parametrize(
    ("subnet", "problem"),
    [
        (
            Subnet(subnet="10.0.0.0/24", ip_range="10.0.0.1/32"),
            "subnets[0].ip_range: 10.0.0.1/32 has no address left for a task",
        ),
        (
            Subnet(
                subnet="10.0.0.0/29",
                aux_addresses={str(each): f"10.0.0.{each}" for each in range(2, 7)},
            ),
            "subnets[0].subnet: 10.0.0.0/29 has no address left for a task",
        ),
    ],
)
def test_a_subnet_without_room_for_a_task_is_refused(subnet: Subnet, problem: str) -> None:
    with pytest.raises(Invalid) as refused:
        choose(spec(subnet), cluster(), ())

    assert refused.value.message == problem


def test_an_entry_without_a_subnet_has_one_chosen() -> None:
    assert subnet_of(Swarm(cluster()).make(spec(Subnet()))) == "10.0.0.0/24"


@settings(deadline=None)
@given(st.data())
def test_law_no_two_networks_share_an_address_and_none_a_node(data: st.DataObject) -> None:
    address = data.draw(st.integers(0, 255).map(lambda last: f"10.9.{last % 8}.{last}"))
    node = Node(id=NodeId("n1"), description=NodeDescription(addr=address))
    bits = data.draw(st.integers(24, 27))
    swarm = Swarm(cluster("10.9.0.0/22", "10.9.4.0/23", bits=bits), node)
    vnis: list[int] = []
    for step in range(data.draw(st.integers(1, 40))):
        if swarm.networks and data.draw(st.booleans()):
            del swarm.networks[data.draw(st.sampled_from(sorted(swarm.networks)))]
        else:
            wanted = structs.replace(spec(name=f"n{step}"), ingress=data.draw(st.booleans()))
            try:
                vnis.append(swarm.make(wanted).vni)
            except Refused:
                continue

    found = [ip_network(subnet_of(each)) for each in swarm.networks.values()]
    assert all(not a.overlaps(b) for a in found for b in found if a is not b)
    assert all(not each.overlaps(ip_network(address)) for each in found)
    assert len(vnis) == len(set(vnis))
    assert all(room_in(each.subnets[0]) > 0 for each in swarm.networks.values())
