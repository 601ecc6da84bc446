"""What we tell the kernel, as ip, bridge and nft then show it, and as we read it ourselves."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.io.netlink import Socket
from agent.network.kernel import (
    ELSEWHERE,
    Address,
    Forward,
    Link,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    RouteKind,
    Rule,
    Tunnel,
    Value,
    Veth,
    Vxlan,
    identity,
    is_met,
)
from swarm.errors import KernelRefused, Refused
from tests.kernel.netlink_lab import Place, places

pytestmark = pytest.mark.kernel

PEER = "02:53:57:00:00:02"
TUNNEL = Vxlan(
    name="vx0", vni=4097, port=4789, local="192.168.77.1", underlay="host",
    mac="02:53:57:00:00:01", mtu=1450,
)  # fmt: skip
PAIR = Veth(
    name="ep0", peer="eth0", peer_netns="task",
    mac="02:00:00:00:00:01", peer_mac="02:00:00:00:00:02", mtu=1450,
)  # fmt: skip
LINKS: list[Value] = [Link(name="lo"), TUNNEL, PAIR, Veth(name="near", peer="far")]
HANGING: list[Value] = [
    Address(link="vx0", address="240.0.0.1/8", has_prefix_route=True),
    Address(link="ep0", address="10.0.1.1/32"),
    Address(link="ep0", address="fd00::1/128"),
    Route(destination="10.0.1.5/32", link="ep0", source="10.0.1.1"),
    Route(destination="10.0.1.6/32", link="vx0", via="240.0.0.2"),
    Route(destination="10.0.1.7/32", link="vx0", via="fe80::2"),
    Route(destination="fd00::5/128", link="ep0"),
    Route(destination="fd00::6/128", link="vx0", via="fe80::2", metric=7),
    Route(destination="0.0.0.0/0", link="vx0", via="169.254.0.99", is_onlink=True, table=1000),
    Route(destination="::/0", link="vx0", via="fe80::2", table=1000),
    Route(destination="10.0.1.0/24", kind=RouteKind.UNREACHABLE),
    Route(destination="fd00::/64", kind=RouteKind.BLACKHOLE),
    Neighbour(link="vx0", address="240.0.0.2", mac=PEER),
    Neighbour(link="vx0", address="fe80::2", mac=PEER),
    Forward(link="vx0", mac=PEER, vtep="192.168.77.2"),
    Rule(mark=2, table=1000, priority=100, mask=0xFF),
    Rule(mark=2, table=1000, priority=100, is_ipv6=True),
]


class Lab:
    """A host, a network's router and a task, each in a namespace."""

    def __init__(self, host: Place, router: Place, task: Place) -> None:
        self.host, self.router, self.task = host, router, task
        self.labels = {"host": host.netns, "task": task.netns}

    def put(self, *values: Value) -> None:
        self.router.socket.apply(map(Put, values), namespaces=self.labels)

    def remove(self, *values: Value) -> None:
        self.router.socket.apply(map(Remove, values))

    def found(self) -> dict[tuple[object, ...], Value]:
        socket = self.router.socket
        values: list[Value] = [
            *socket.links(self.labels), *socket.addresses(), *socket.routes(),
            *socket.neighbours(), *socket.forwards(), *socket.rules(),
        ]  # fmt: skip
        made = {identity(value): value for value in values}
        assert len(made) == len(values)
        return made


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with places(tmp_path / "netns", "host", "router", "task") as made:
        yield Lab(*made)


def test_what_was_put_is_found_however_often_it_is_put(lab: Lab) -> None:
    for _ in range(2):
        lab.put(*LINKS, *HANGING)

        found = lab.found()

        unmet = [value for value in (*LINKS, *HANGING) if not is_met(value, found[identity(value)])]
        assert not unmet
        assert len(found) == len(LINKS) + 1 + len(HANGING)  # the far end


def test_what_was_removed_is_gone_however_often_it_is_removed(lab: Lab) -> None:
    lab.put(*LINKS, *HANGING)

    for values in (HANGING, HANGING, LINKS[1:], LINKS[1:], HANGING):
        lab.remove(*values)

    assert lab.found().keys() == {("link", "lo")}


def test_ip_shows_the_links(lab: Lab) -> None:
    lab.put(*LINKS)

    shown = {link["ifname"]: link for link in lab.router.json("ip", "-d", "-j", "link")}
    peer = next(each for each in lab.task.json("ip", "-j", "link") if each["ifname"] == "eth0")

    tunnel = shown["vx0"]["linkinfo"]["info_data"]
    assert (tunnel["id"], tunnel["port"], tunnel["local"]) == (4097, 4789, "192.168.77.1")
    assert tunnel["learning"] is False
    assert "link_netnsid" in shown["vx0"]
    for name, mac in (("vx0", TUNNEL.mac), ("ep0", PAIR.mac)):
        assert (shown[name]["address"], shown[name]["mtu"]) == (mac, 1450)
        assert "UP" in shown[name]["flags"]
    assert (peer["address"], peer["mtu"]) == (PAIR.peer_mac, 1450)
    assert {"UP", "LOWER_UP"} <= set(peer["flags"])
    assert (shown["near"]["link"], shown["far"]["link"]) == ("far", "near")
    assert "vx0" not in {link["ifname"] for link in lab.host.json("ip", "-j", "link")}


def test_the_tunnels_socket_stays_in_the_underlay(lab: Lab) -> None:
    lab.put(TUNNEL)

    assert ":4789" in lab.host.run("cat", "/proc/net/udp").replace(":12B5", ":4789")
    assert ":12B5" not in lab.router.run("cat", "/proc/net/udp")


def test_ip_shows_the_routes_and_rules(lab: Lab) -> None:
    lab.put(*LINKS, *HANGING)
    ip = lab.router.json

    main = {route["dst"]: route for route in ip("ip", "-j", "route")}
    assert main["10.0.1.5"]["dev"] == "ep0"
    assert (main["10.0.1.5"]["scope"], main["10.0.1.5"]["prefsrc"]) == ("link", "10.0.1.1")
    assert (main["10.0.1.5"]["protocol"], main["240.0.0.0/8"]["protocol"]) == ("83", "kernel")
    assert main["10.0.1.6"]["gateway"] == "240.0.0.2"
    assert main["10.0.1.7"]["via"] == {"family": "inet6", "host": "fe80::2"}
    assert main["10.0.1.0/24"]["type"] == "unreachable"
    (default,) = ip("ip", "-j", "route", "show", "table", "1000")
    assert (default["dst"], default["gateway"]) == ("default", "169.254.0.99")
    assert default["flags"] == ["onlink"]
    six = {route["dst"]: route for route in ip("ip", "-6", "-j", "route")}
    assert (six["fd00::6"]["gateway"], six["fd00::6"]["metric"]) == ("fe80::2", 7)
    assert six["fd00::/64"]["type"] == "blackhole"
    rule = next(each for each in ip("ip", "-j", "rule") if each["priority"] == 100)
    assert (rule["fwmark"], rule["fwmask"], rule["table"]) == ("0x2", "0xff", "1000")
    assert rule["protocol"] == "83"


def test_ip_and_bridge_show_addresses_neighbours_and_forwards(lab: Lab) -> None:
    lab.put(*LINKS, *HANGING)

    (link,) = lab.router.json("ip", "-j", "address", "show", "dev", "ep0")
    shown = {each["local"]: each for each in link["addr_info"] if each["scope"] == "global"}
    assert shown["10.0.1.1"]["prefixlen"] == 32
    assert shown["10.0.1.1"]["noprefixroute"] is True
    assert shown["fd00::1"]["nodad"] is True
    assert "tentative" not in shown["fd00::1"]
    neighbours = lab.router.json("ip", "-j", "neigh", "show", "nud", "permanent")
    assert {(each["dst"], each["lladdr"]) for each in neighbours} == {
        ("240.0.0.2", PEER),
        ("fe80::2", PEER),
    }
    (forward,) = lab.router.json("bridge", "-j", "fdb", "show", "dev", "vx0")
    assert (forward["mac"], forward["dst"]) == (PEER, "192.168.77.2")
    assert forward["state"] == "permanent"


def test_what_others_made_is_read_by_the_same_words(lab: Lab) -> None:
    run = lab.router.run
    run("ip", "link", "add", "br0", "type", "bridge")
    run("ip", "link", "set", "br0", "address", "02:00:00:00:00:09", "mtu", "1400", "up")
    run("ip", "address", "add", "10.9.0.1/24", "dev", "br0")
    run("ip", "route", "add", "10.8.0.0/16", "via", "10.9.0.2", "proto", "static")
    run("ip", "route", "add", "10.7.0.0/16", "nexthop", "via", "10.9.0.2", "nexthop", "via",
        "10.9.0.3")  # fmt: skip
    run("ip", "neigh", "add", "10.9.0.2", "lladdr", PEER, "dev", "br0", "nud", "reachable")
    run("ip", "rule", "add", "from", "10.0.0.0/8", "fwmark", "3", "lookup", "7")
    socket = lab.router.socket

    assert Link(name="br0", kind="bridge", mac="02:00:00:00:00:09", mtu=1400) in socket.links()
    assert Address(link="br0", address="10.9.0.1/24", has_prefix_route=True) in socket.addresses()
    assert socket.routes() == []
    routes = {route.destination: route for route in socket.routes(protocol=None)}
    assert (routes["10.8.0.0/16"].via, routes["10.8.0.0/16"].protocol) == ("10.9.0.2", 4)
    assert routes["10.7.0.0/16"].link == ""
    assert "10.9.0.255/32" not in routes
    assert (socket.neighbours(), socket.rules(protocol=None)) == ([], [])
    lab.remove(*routes.values())
    assert "10.7.0.0" not in run("ip", "route")


def test_a_route_moves_from_a_local_endpoint_to_a_remote_one(lab: Lab) -> None:
    lab.put(*LINKS, *HANGING)
    moved = [
        Route(destination="10.0.1.5/32", link="vx0", via="240.0.0.2"),
        Route(destination="fd00::5/128", link="vx0", via="fe80::2"),
    ]

    lab.put(*moved)

    found = lab.found()
    assert all(is_met(route, found[identity(route)]) for route in moved)


def test_a_link_is_changed_where_it_can_be_and_made_anew_where_not(lab: Lab) -> None:
    lab.put(*LINKS)
    before = {link["ifname"]: link["ifindex"] for link in lab.router.json("ip", "-j", "link")}
    larger = Veth(name="ep0", peer="eth0", peer_netns="task", mac=PAIR.mac, mtu=1460)
    other = Vxlan(name="vx0", vni=4098, port=4789, local="192.168.77.1", underlay="host")

    lab.put(larger, other)

    after = {link["ifname"]: link["ifindex"] for link in lab.router.json("ip", "-j", "link")}
    found = lab.found()
    assert is_met(larger, found["link", "ep0"])
    assert is_met(other, found["link", "vx0"])
    assert after["ep0"] == before["ep0"]
    assert after["vx0"] != before["vx0"]


def test_a_pair_that_leads_elsewhere_is_made_anew(lab: Lab) -> None:
    """A task's number is used again; the pair of the one before has not gone yet."""
    lab.put(Veth(name="ep0", peer="eth0", peer_netns="host"))

    lab.put(PAIR)

    assert is_met(PAIR, lab.found()["link", "ep0"])
    assert "eth0" in {link["ifname"] for link in lab.task.json("ip", "-j", "link")}


def test_a_half_made_pair_is_brought_up(lab: Lab) -> None:
    lab.put(PAIR)
    lab.task.run("ip", "link", "set", "eth0", "down")

    lab.put(PAIR)

    assert "UP" in lab.task.json("ip", "-j", "link", "show", "eth0")[0]["flags"]


def test_the_other_end_of_a_pair_is_known_by_its_label(lab: Lab) -> None:
    lab.put(PAIR)
    lab.task.socket.apply([Put(Link(name="eth0", mtu=1400))])

    known = lab.router.socket.links({"task": lab.task.netns})
    unknown = lab.router.socket.links({"host": lab.host.netns})

    assert {link.peer_netns for link in known if isinstance(link, Veth)} == {"task"}
    assert {link.peer_netns for link in unknown if isinstance(link, Veth)} == {ELSEWHERE}
    assert lab.task.json("ip", "-j", "link", "show", "eth0")[0]["mtu"] == 1400


def test_when_a_namespace_ends_so_do_its_pairs(lab: Lab) -> None:
    lab.put(PAIR)
    hanging = Route(destination="10.0.1.5/32", link="ep0")
    lab.task.run("ip", "link", "del", "eth0")

    lab.remove(hanging, Neighbour(link="ep0", address="10.0.1.5", mac=PEER), PAIR)

    assert [link.name for link in lab.router.socket.links()] == ["lo"]


@pytest.mark.parametrize(
    ("operation", "number", "message"),
    [
        (Put(Link(name="gone")), errno.ENODEV, "put link gone"),
        (Put(Route(destination="10.0.0.0/8", link="gone")), errno.ENODEV, "by gone in table 254"),
        (
            Put(Route(destination="10.0.0.0/8", link="near", via="7.7.7.7")),
            errno.ENETUNREACH,
            "Nexthop has invalid gateway",
        ),
        (Put(Address(link="near", address="10.0.0.1/33")), errno.EINVAL, "10.0.0.1/33 of near"),
        (Remove(Link(name="lo")), errno.EOPNOTSUPP, "remove link lo"),
        (Put(Link(name="x", kind="no-such-kind")), errno.EOPNOTSUPP, "Unknown device type"),
        (Put(Veth(name="a", peer="near")), errno.EEXIST, "put link a"),
    ],
)
def test_a_refusal_names_what_was_refused_and_why(
    lab: Lab, operation: Operation, number: int, message: str
) -> None:
    lab.put(*LINKS)

    with pytest.raises(KernelRefused) as refused:
        lab.router.socket.apply([operation])

    assert refused.value.errno == number
    assert message in refused.value.message


def test_what_comes_before_a_refusal_is_done(lab: Lab) -> None:
    lab.put(*LINKS)
    routes = [Route(destination=f"10.1.{number}.0/24", link="near") for number in range(3)]
    gone = Route(destination="10.2.0.0/16", link="gone")

    with pytest.raises(KernelRefused, match="by gone"):
        lab.put(*routes, gone, *routes)

    assert {route.destination for route in lab.router.socket.routes()} == {
        route.destination for route in routes
    }


def test_many_routes_are_put_and_read(lab: Lab) -> None:
    lab.put(*LINKS)
    routes: list[Value] = [
        Route(destination=f"10.{number >> 8}.{number & 255}.1/32", link="near")
        for number in range(3000)
    ]

    lab.put(*routes)

    assert len(lab.router.socket.routes()) == 3000
    assert len(lab.router.run("ip", "route").splitlines()) == 3000
    lab.remove(*routes)
    assert lab.router.socket.routes() == []


def test_a_socket_outlives_the_descriptor_that_it_was_made_from(lab: Lab) -> None:
    netns = os.dup(lab.task.netns)
    socket = Socket(netns)
    os.close(netns)

    socket.apply([Put(Link(name="lo"))])
    socket.close()

    assert "UP" in lab.task.json("ip", "-j", "link", "show", "lo")[0]["flags"]


def test_a_kernel_without_wireguard_says_so(lab: Lab) -> None:
    socket = lab.router.socket
    probed = subprocess.run(
        ["nsenter", f"--net={lab.task.path}", "ip", "link", "add", "wg0", "type", "wireguard"],
        capture_output=True, check=False,
    )  # fmt: skip
    if probed.returncode == 0:
        pytest.skip("this kernel has it")

    with pytest.raises(Refused, match="has no WireGuard") as refused:
        socket.apply([Put(Tunnel(link="wg0", private_key=bytes(32), port=51820))])

    assert "load the module wireguard" in refused.value.hint
