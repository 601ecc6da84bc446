"""Networks of one node: what may be asked for, and what is chosen."""

from random import Random

import pytest

from agent.standalone import networks
from agent.standalone.networks import Taken
from agent.topology import is_local
from swarm.errors import Invalid, Refused, Unavailable
from swarm.objects import Network
from swarm.specs import NetworkDriver, NetworkSpec, Subnet

HOST = Taken(prefix="192.168.5.7/24", whose="a route of this host by eth0")
BRIDGE = Taken(prefix="172.17.0.0/16", whose="network bridge")
DEFAULT = Taken(prefix="0.0.0.0/0", whose="a route of this host by eth0")


def spec(name: str = "front", **fields: object) -> NetworkSpec:
    return NetworkSpec(name=name, driver=NetworkDriver.BRIDGE, **fields)  # type: ignore[arg-type]


def made(asked: NetworkSpec, *taken: Taken) -> Network:
    assert networks.check(asked, ()) == ()
    network_id = networks.make_id(Random(1))
    return networks.make(asked, network_id, taken=taken, at=7.0, random=Random(1))


def test_a_subnet_is_chosen_where_nobody_is_and_the_host_does_not_go() -> None:
    found = made(spec(), BRIDGE, HOST, DEFAULT)

    assert found.subnets == (Subnet(subnet="172.18.0.0/16", gateway="172.18.0.1"),)
    assert found.created_at == 7.0
    assert is_local(found.id)
    assert not networks.has_chosen_subnet(found)


def test_with_ipv6_it_has_a_unique_local_subnet_too() -> None:
    found = made(spec(ipv6=True), BRIDGE)

    assert [each.subnet.partition("/")[2] for each in found.subnets] == ["16", "64"]
    assert found.subnets[1].subnet.startswith("fd")
    assert found.subnets[1].gateway == found.subnets[1].subnet.removesuffix("/64") + "1"


def test_what_was_chosen_by_hand_stays_and_gets_a_gateway_that_is_free() -> None:
    aside = {"router": "10.9.0.1"}
    found = made(spec(subnets=(Subnet(subnet="10.9.0.0/24", aux_addresses=aside),)), HOST)

    assert found.subnets[0].gateway == "10.9.0.2"
    assert networks.has_chosen_subnet(found)


def test_a_subnet_of_somebody_else_is_refused_and_he_is_named() -> None:
    for subnet, taken in (("192.168.0.0/16", HOST), ("172.17.3.0/24", BRIDGE)):
        with pytest.raises(Refused, match="Pool overlaps") as refused:
            made(spec(subnets=(Subnet(subnet=subnet),)), HOST, BRIDGE, DEFAULT)
        assert taken.whose in refused.value.hint


def test_where_no_subnet_is_left_that_is_said() -> None:
    everything = tuple(Taken(prefix=each, whose="x") for each in ("172.16.0.0/12", "10.0.0.0/8"))

    with pytest.raises(Unavailable, match="non-overlapping IPv4"):
        made(spec(), *everything, Taken(prefix="192.168.0.0/16", whose="x"))


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        (spec("bridge"), Refused, "predefined bridge network"),
        (spec("default"), Refused, "predefined default network"),
        (spec("back"), Refused, "network with name back already exists"),
        (spec(""), Invalid, "printable"),
        (spec("  "), Invalid, "printable"),
        (spec("a\nb"), Invalid, "printable"),
        (spec("x" * 256), Invalid, "printable"),
        (NetworkSpec(name="o"), Invalid, "driver bridge"),
        (spec(ingress=True), Invalid, "ingress"),
        (spec(encrypted=True), Invalid, "encrypted"),
        (spec(mtu=60), Invalid, "mtu"),
        (spec(options={"com.docker.network.driver.mtu": "many"}), Invalid, "'many' is not a size"),
        (spec(options={"com.docker.network.driver.mtu": "70000"}), Invalid, "70000"),
        (spec(options={"com.docker.network.bridge.enable_icc": "false"}), Invalid, "enable_icc"),
        (
            spec(options={"com.docker.network.bridge.gateway_mode_ipv4": "routed"}),
            Invalid,
            "routed",
        ),
        (spec(options={"com.docker.network.bridge.host_binding_ipv4": "x"}), Invalid, "'x'"),
        (spec(subnets=(Subnet(subnet="10.0.0.5/24"),)), Invalid, "bits set behind its prefix"),
        (spec(subnets=(Subnet(subnet="10.0.0.0/24", gateway="10.1.0.1"),)), Invalid, "gateway"),
        (spec(subnets=(Subnet(subnet="fd00::/64"),)), Invalid, "IPv6"),
        (
            spec(subnets=(Subnet(subnet="10.0.0.0/24"), Subnet(subnet="10.1.0.0/24"))),
            Invalid,
            "second of IPv4",
        ),
    ],
)
def test_what_cannot_be_is_refused(asked: NetworkSpec, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        networks.check(asked, ("back",))


def test_options_that_say_what_we_do_anyway_are_taken_and_others_warned_of() -> None:
    asked = spec(
        "any name, as with Docker",
        options={
            "com.docker.network.bridge.enable_icc": "1",
            "com.docker.network.bridge.enable_ip_masquerade": "true",
            "com.docker.network.bridge.name": "br-x",
            "com.docker.network.driver.mtu": "1400",
            "com.docker.network.bridge.host_binding_ipv4": "127.0.0.1",
            "somebody's": "own",
        },
        labels={"tier": "front"},
    )

    (warning,) = networks.check(asked, ())

    assert "com.docker.network.bridge.name has no effect" in warning
    assert networks.mtu(asked) == 1400
    assert networks.host_ip(asked) == "127.0.0.1"
    assert networks.mtu(spec(mtu=1300)) == 1300
    assert networks.host_ip(spec()) == ""
