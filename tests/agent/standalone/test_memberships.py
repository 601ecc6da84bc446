"""Which networks a container is in, by what its operator said."""

import pytest

from agent.standalone import memberships
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NetworkId
from swarm.specs import ContainerSpec, Port, Protocol, PublishMode
from swarm.standalone import ContainerNetwork, PortSpan, StandaloneSpec

FRONT = ContainerNetwork(network="front", aliases=("www",))
BACK = ContainerNetwork(network="back")


def spec(mode: str = "", *networks: ContainerNetwork, **fields: object) -> StandaloneSpec:
    return StandaloneSpec(network_mode=mode, networks=networks, **fields)  # type: ignore[arg-type]


def names(asked: StandaloneSpec) -> list[str]:
    return [each.network for each in memberships.memberships(asked)]


def means(name: str):
    return lambda text: text == name


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (spec(), ["bridge"]),
        (spec("default"), ["bridge"]),
        (spec("front"), ["front"]),
        (spec("front", BACK, FRONT), ["front", "back"]),
        (spec("default", BACK), ["back"]),
        (spec("default", ContainerNetwork(network="default")), ["bridge"]),
        (spec("bridge", ContainerNetwork(network="none")), []),
        (spec("host"), []),
        (spec("none"), []),
        (spec("container:web"), []),
    ],
)
def test_its_mode_says_where_it_is_and_its_networks_say_more(
    asked: StandaloneSpec, expected: list[str]
) -> None:
    assert names(asked) == expected


def test_being_connected_and_disconnected_leaves_the_rest_as_it_was() -> None:
    both = memberships.connected(spec(), FRONT, means=means("front"))
    assert names(both) == ["bridge", "front"]
    assert memberships.memberships(both)[1] == FRONT

    again = memberships.connected(both, ContainerNetwork(network="front"), means=means("front"))
    assert names(again) == ["bridge", "front"]
    assert memberships.memberships(again)[1].aliases == ()

    front = memberships.disconnected(both, means=means("bridge"))
    assert names(front) == ["front"]
    nowhere = memberships.disconnected(front, means=means("front"))
    assert names(nowhere) == []
    assert not memberships.is_apart(nowhere), "it has a network of its own, with nothing in it"
    assert names(memberships.connected(nowhere, BACK, means=means("back"))) == ["back"]


def test_the_mac_address_is_that_of_the_modes_network_and_stays_there() -> None:
    asked = spec("front", BACK, FRONT, mac_address="02:42:AC:11:00:0A")

    (first, second) = memberships.memberships(asked)
    assert (first.mac_address, second.mac_address) == ("02:42:AC:11:00:0A", "")
    assert memberships.mac(first.mac_address) == "02:42:ac:11:00:0a"

    without = memberships.disconnected(asked, means=means("back"))
    assert memberships.memberships(without)[0].mac_address == "02:42:AC:11:00:0A"


def test_the_mac_address_comes_back_with_the_modes_network() -> None:
    """docker-compose takes a container out of its network to put it in with other names."""
    asked = spec("front", mac_address="02:42:AC:11:00:0A")
    out = memberships.disconnected(asked, means=means("front"))

    back = memberships.connected(out, FRONT, means=means("front"))

    (member,) = memberships.memberships(back)
    assert member.mac_address == "02:42:AC:11:00:0A"
    elsewhere = memberships.connected(out, BACK, means=means("back"))
    assert memberships.memberships(elsewhere)[0].mac_address == ""
    own = ContainerNetwork(network="front", mac_address="02:42:AC:11:00:0B")
    again = memberships.connected(out, own, means=means("front"))
    assert memberships.memberships(again)[0].mac_address == "02:42:AC:11:00:0B"


def test_links_are_nicknames_where_there_are_names_and_lines_in_the_bridge() -> None:
    front = ContainerNetwork(network="front", links=("db:database",))
    asked = spec("bridge", ContainerNetwork(network="bridge"), front, links=("/old:/web/alias",))

    assert memberships.bridge_links(asked) == ("/old:/web/alias",)
    assert memberships.link("/old:/web/alias") == ("old", "alias")
    assert memberships.link("db") == ("db", "db")
    found = {
        (each.network_id, each.alias, each.name)
        for each in memberships.nicknames(asked, {"front": NetworkId("n1")})
    }
    assert found == {("n1", "database", "db"), ("n1", "alias", "old")}
    assert memberships.bridge_links(spec("front", links=("db",))) == ()


def test_ports_are_those_of_the_node_and_all_exposed_ones_if_asked_for() -> None:
    one = Port(target=80, published=8080)
    span = PortSpan(port=Port(target=81, published=9000), last=9010)

    assert memberships.ports(spec(ports=(one,)), ("99/tcp",)) == (
        Port(target=80, published=8080, mode=PublishMode.HOST),
    )
    found = memberships.ports(
        spec(ports=(one,), port_spans=(span,), publish_all=True),
        ("99/tcp", "80/tcp", "81/tcp", "53/udp", "99/tcp", "7000-7001/tcp"),
    )
    assert [(each.target, each.protocol) for each in found] == [
        (80, Protocol.TCP), (53, Protocol.UDP), (99, Protocol.TCP), (7000, Protocol.TCP),
        (7001, Protocol.TCP),
    ]  # fmt: skip
    assert all(each.mode is PublishMode.HOST for each in found)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (spec("container:"), "invalid container format"),
        (spec("container:x", ports=(Port(target=80),)), "port publishing and the container type"),
        (spec("container:x", publish_all=True), "port publishing and the container type"),
        (spec("container:x", exposed=("80/tcp",)), "port exposing and the container type"),
        (spec("container:x", links=("a",)), "can't be used with links"),
        (spec("container:x", mac_address="02:00:00:00:00:01"), "mac-address and the network mode"),
        (
            spec("container:x", container=ContainerSpec(hostname="h")),
            "hostname and the network mode",
        ),
        (spec("container:x", container=ContainerSpec(dns_servers=("1.1.1.1",))), "dns and the"),
        (spec("container:x", container=ContainerSpec(hosts=("a:1.1.1.1",))), "host-to-IP mapping"),
        (spec("host", links=("a",)), "host type networking can't be used with links"),
        (spec("host", FRONT), "cannot attach to network front with network mode host"),
        (spec("none", BACK), "cannot attach to network back with network mode none"),
        (spec("host", ContainerNetwork(network="host", aliases=("x",))), "network-scoped alias"),
        (spec("", ContainerNetwork(network="bridge", aliases=("x",))), "network-scoped alias"),
        (spec("front", FRONT, FRONT), "given twice"),
        (
            spec("front", ContainerNetwork(network="front", aliases=("a b",))),
            "invalid alias: 'a b'",
        ),
        (spec("front", ContainerNetwork(network="front", ipv4_address="x")), "IPv4 address: x"),
        (spec("front", ContainerNetwork(network="front", ipv4_address="::1")), "IPv4 address: ::1"),
        (spec("front", ContainerNetwork(network="front", ipv6_address="1.2.3.4")), "IPv6 address"),
        (spec("front", ContainerNetwork(network="front", mac_address="no")), "invalid MAC address"),
        (spec(mac_address="01:00:00:00:00:01"), "invalid MAC address"),
        (spec(mac_address="00:00:00:00:00:00"), "invalid MAC address"),
        (spec(links=("a:b:c",)), "invalid link"),
        (spec(links=("",)), "invalid link"),
        (spec(ports=(Port(target=0),)), "invalid port"),
        (spec(ports=(Port(target=1, published=70000),)), "invalid port"),
        (spec(ports=(Port(target=1, ip="here"),)), "invalid IP address: here"),
        (
            spec(ports=(Port(target=1, published=8), Port(target=2, published=8, ip="0.0.0.0"))),
            "Bind for 0.0.0.0:8 failed: port is already allocated",
        ),
        (
            spec(port_spans=(PortSpan(port=Port(target=1, published=9), last=8),)),
            "invalid ports: 9-8:1",
        ),
    ],
)
def test_what_could_never_be_connected_is_refused(asked: StandaloneSpec, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        memberships.check(asked)


def test_ports_in_the_hosts_network_are_told_to_be_none() -> None:
    published = (Port(target=80, published=80),)

    assert memberships.check(spec("host", ports=published)) == (
        "Published ports are discarded when using host network mode",
    )
    assert memberships.check(spec("bridge", ports=published)) == ()
    assert memberships.check(spec("none", ports=published)) == ()


def test_addresses_are_asked_for_where_they_will_be_there_the_next_time() -> None:
    asked = ContainerNetwork(network="front", ipv4_address="10.0.0.5")

    memberships.check_address(asked, may_choose=True, is_bridge=False)
    with pytest.raises(Invalid, match="user defined networks only"):
        memberships.check_address(asked, may_choose=False, is_bridge=True)
    with pytest.raises(Invalid, match="user configured subnets"):
        memberships.check_address(asked, may_choose=False, is_bridge=False)
    memberships.check_address(FRONT, may_choose=False, is_bridge=False)


def test_what_has_no_network_of_its_own_is_not_connected() -> None:
    for mode, words in (
        ("none", "private \\(none\\) mode"),
        ("host", "sharing network namespace"),
        ("container:x", "sharing network namespace"),
    ):
        with pytest.raises(Refused, match=words):
            memberships.refuse_apart(spec(mode))
    memberships.refuse_apart(spec("front"))


def test_a_link_is_forgotten_by_what_it_was_called_and_no_other() -> None:
    linked = StandaloneSpec(name="web", links=("db", "cache:store", "x:y"))

    assert memberships.unlinked(linked, "store").links == ("db", "x:y")
    assert memberships.unlinked(linked, "db").links == ("cache:store", "x:y")
    with pytest.raises(Missing, match="no link cache"):
        memberships.unlinked(linked, "cache")
