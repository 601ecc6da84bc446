"""Networks, attachments and address pools are checked whole."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from swarm.checking.networks import check_network, read_range
from swarm.checking.nodes import check_cluster
from swarm.checks import check_service
from swarm.specs import (
    ClusterSpec,
    ContainerSpec,
    NetworkAttachment,
    NetworkDriver,
    NetworkSpec,
    ServiceSpec,
    Subnet,
    TaskSpec,
)
from tests.networks import attached

SUBNET = Subnet(
    subnet="10.0.9.0/24",
    gateway="10.0.9.1",
    ip_range="10.0.9.128/25",
    aux_addresses={"router": "10.0.9.2"},
)
V6 = Subnet(subnet="fd00:9::/64", gateway="fd00:9::1")


def network(**fields: object) -> NetworkSpec:
    return NetworkSpec(**{"name": "back", **fields})


def subnet(**fields: object) -> NetworkSpec:
    return network(subnets=(replace(SUBNET, **fields),))


def service(*networks: NetworkAttachment) -> ServiceSpec:
    task = TaskSpec(container=ContainerSpec(image="busybox"), networks=networks)
    return ServiceSpec(name="web", task=task)


@pytest.mark.parametrize(
    "spec",
    [
        network(),
        network(subnets=(SUBNET, V6), ipv6=True, mtu=1280, encrypted=True, attachable=True),
        network(subnets=(Subnet(subnet="10.0.0.0/8"),), internal=True, mtu=68),
        network(subnets=(Subnet(subnet="10.0.0.0/29"),), labels={"a": "b"}),
        network(driver=NetworkDriver.BRIDGE, ipv6=True),
        network(name="ingress", ingress=True, subnets=(Subnet(subnet="10.255.0.0/16"),)),
        network(subnets=(Subnet(),)),
    ],
)
def test_a_sound_network_has_no_problems(spec: NetworkSpec) -> None:
    assert check_network(spec) == ()


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        (network(name=""), "name", "must not be empty"),
        (network(name="host"), "name", "every node has by itself"),
        (network(name="a.b"), "name", "letters, digits"),
        (network(name="x" * 64), "name", "at most 63"),
        (network(labels={"a b": ""}), "labels[a b]", "neither space"),
        (network(options={"mut": "9"}), "options[mut]", "encrypted and mtu"),
        (network(mtu=67), "mtu", "68..65535"),
        (network(mtu=65536), "mtu", "68..65535"),
        (network(mtu=1279, ipv6=True), "mtu", "the 1280 that IPv6 needs; give at least that"),
        (network(mtu=68, ipv6=True), "mtu", "the 1280 that IPv6 needs"),
        (network(encrypted=True, driver=NetworkDriver.BRIDGE), "encrypted", "use overlay"),
        (network(ingress=True, driver=NetworkDriver.BRIDGE), "driver", "every node"),
        (network(ingress=True, internal=True), "internal", "leave it out"),
        (network(ingress=True, attachable=True), "attachable", "leave it out"),
        (network(subnets=(V6,)), "subnets[0].subnet", "IPv6, which the network does not have"),
        (
            network(subnets=(SUBNET, Subnet(subnet="10.1.0.0/24"))),
            "subnets[1].subnet",
            "second of IPv4",
        ),
        (network(subnets=(Subnet(gateway="10.0.9.1"),)), "subnets[0].gateway", "needs a subnet"),
        (subnet(subnet="10.0.9"), "subnets[0].subnet", "like 10.0.9.0/24"),
        (subnet(subnet="10.0.9.0"), "subnets[0].subnet", "not a range"),
        (subnet(subnet="10.0.9.5/24"), "subnets[0].subnet", "write 10.0.9.0/24"),
        (
            network(subnets=(Subnet(subnet="10.0.9.0/30"),)),
            "subnets[0].subnet",
            "smallest is a /29",
        ),
        (network(subnets=(Subnet(subnet="8.0.0.0/7"),)), "subnets[0].subnet", "largest is a /8"),
        (network(subnets=(Subnet(subnet="127.1.0.0/16"),)), "subnets[0].subnet", "own"),
        (network(subnets=(Subnet(subnet="240.0.1.0/24"),)), "subnets[0].subnet", "inside of"),
        (
            network(subnets=(Subnet(subnet="fe80:1::/64"),), ipv6=True),
            "subnets[0].subnet",
            "single links",
        ),
        (subnet(ip_range="10.0.8.0/25"), "subnets[0].ip_range", "not within the subnet"),
        (subnet(ip_range="10.0.0.0/16"), "subnets[0].ip_range", "not within the subnet"),
        (subnet(ip_range="fd00::/64"), "subnets[0].ip_range", "not within the subnet"),
        (subnet(ip_range="x"), "subnets[0].ip_range", "not a range"),
        (subnet(gateway="10.0.8.1"), "subnets[0].gateway", "not in the subnet"),
        (subnet(gateway="fd00::1"), "subnets[0].gateway", "not in the subnet"),
        (subnet(gateway="x"), "subnets[0].gateway", "not an address"),
        (subnet(gateway="10.0.9.0"), "subnets[0].gateway", "the address of the subnet"),
        (subnet(gateway="10.0.9.255"), "subnets[0].gateway", "broadcast"),
        (
            subnet(aux_addresses={"router": "10.0.9.1"}),
            "subnets[0].aux_addresses[router]",
            "taken by the gateway",
        ),
        (
            subnet(aux_addresses={"a": "10.0.9.3", "b": "10.0.9.3"}),
            "subnets[0].aux_addresses[b]",
            "taken by a",
        ),
        (subnet(aux_addresses={"a": "10.1.0.1"}), "subnets[0].aux_addresses[a]", "not in"),
        (subnet(aux_addresses={"": "10.0.9.3"}), "subnets[0].aux_addresses", "NAME=10.0.9.3"),
    ],
)
def test_a_problem_of_a_network_has_its_path(spec: NetworkSpec, path: str, words: str) -> None:
    problems = check_network(spec)

    assert len(problems) == 1, problems
    found, _, text = problems[0].partition(": ")
    assert found == path
    assert words in text


def test_all_problems_of_a_network_are_told_at_once() -> None:
    spec = network(name="a b", mtu=1, subnets=(replace(SUBNET, gateway="x", ip_range="y"),))

    assert [each.partition(":")[0] for each in check_network(spec)] == [
        "name",
        "subnets[0].ip_range",
        "subnets[0].gateway",
        "mtu",
    ]


@given(st.integers(0, 2**32 - 1), st.integers(0, 32))
def test_law_a_range_is_read_or_the_remedy_can_be_read(address: int, prefix: int) -> None:
    from ipaddress import IPv4Address

    text = f"{IPv4Address(address)}/{prefix}"

    try:
        found = read_range(text)
    except ValueError as err:
        found = read_range(str(err).rpartition("write ")[2])

    assert found == ip_network(text, strict=False)


def test_services_may_be_in_several_networks_under_several_names() -> None:
    back = NetworkAttachment(target="back", aliases=("db", "db.internal", "_x"))

    assert check_service(service(back, *attached("front"))) != ()  # for _x only
    assert check_service(service(replace(back, aliases=("db", "a.b")), *attached("front"))) == ()


@pytest.mark.parametrize(
    ("networks", "path", "words"),
    [
        (attached("host", "back"), "task.networks", "host excludes others"),
        (attached("back", "bridge"), "task.networks", "bridge excludes others"),
        (attached("back", "back"), "task.networks[1]", "given twice"),
        (attached(""), "task.networks[0].target", "must not be empty"),
        (
            (NetworkAttachment(target="none", aliases=("a",)),),
            "task.networks[0].aliases",
            "nobody is found by name",
        ),
        (
            (NetworkAttachment(target="back", aliases=("db", "DB")),),
            "task.networks[0].aliases[1]",
            "given twice",
        ),
        (
            (NetworkAttachment(target="back", aliases=("a b",)),),
            "task.networks[0].aliases[0]",
            "not a name for DNS",
        ),
        (
            (NetworkAttachment(target="back", aliases=("{{.Task.Slot}}",)),),
            "task.networks[0].aliases[0]",
            "not a name for DNS",
        ),
    ],
)
def test_a_problem_of_attachments_has_its_path(
    networks: tuple[NetworkAttachment, ...], path: str, words: str
) -> None:
    problems = check_service(service(*networks))

    assert len(problems) == 1, problems
    found, _, text = problems[0].partition(": ")
    assert found == path
    assert words in text


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (ClusterSpec(address_pools=()), "address_pools"),
        (ClusterSpec(address_pools=("fd00::/48",)), "address_pools"),
        (ClusterSpec(address_pools=("10.0.0.0/8", "10.1.0.0/16")), "address_pools[1]"),
        (ClusterSpec(address_pools=("10.0.0.1/8",)), "address_pools[0]"),
        (ClusterSpec(address_pools=("10.0.0.0/25",)), "address_pools[0]"),
        (ClusterSpec(address_pools=("10.0.0.0/8", "fd00::/65")), "address_pools[1]"),
        (ClusterSpec(address_pools=("127.0.0.0/8",)), "address_pools[0]"),
        (ClusterSpec(subnet_bits=30), "subnet_bits"),
        (ClusterSpec(data_path_port=80), "data_path_port"),
        (ClusterSpec(data_path_port=50000), "data_path_port"),
    ],
)
def test_a_problem_of_the_pools_has_its_path(spec: ClusterSpec, path: str) -> None:
    assert path in [each.partition(":")[0] for each in check_cluster(spec)]


def test_pools_of_both_families_are_sound() -> None:
    spec = ClusterSpec(address_pools=("10.0.0.0/8", "172.20.0.0/16", "fd00:1::/48"), subnet_bits=20)

    assert check_cluster(spec) == ()
