"""What the host's side keeps out, keeps apart, lets out, holds, and leaves alone."""

import os
import socket
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from agent.network import host_rules
from agent.network.addressing import HOST_MAC, ROUTER_MAC
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.network.io.nft import load
from swarm.ids import TaskId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, Port, Protocol
from swarm.topology import Topology, key_of, topology_of
from tests.kernel.hosted import (
    CLIENT,
    INGRESS,
    HostedSwarm,
    bound,
    hosted,
    is_silent,
    publication,
)
from tests.kernel.machine import wait_for
from tests.kernel.routed import PORT, Host, addresses, ask, connected, endpoint, ip, network

pytestmark = pytest.mark.kernel
WEB = Port(target=80, published=8080)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[HostedSwarm]:
    with hosted(tmp_path) as made:
        yield made


# --- who may go where --------------------------------------------------------------------------


@pytest.mark.parametrize("family", [0, 1])
def test_only_published_ports_are_reached_from_outside(swarm: HostedSwarm, family: int) -> None:
    swarm.open(publication(WEB))
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)
    subnet, via = (("10.9.0.0/16", "192.168.77.1"), ("fd00:9::/64", "fd77::1"))[family]
    ip(swarm.outside, f"route add {subnet} via {via}")

    direct = is_silent(partial(ask, swarm.outside, web.addresses[family], within_s=0.5))
    published = ask(swarm.outside, via, 8080)

    assert direct
    assert published[0] == "web5"
    with Socket(swarm.hosts[0].netns) as kernel:
        assert sum(each.packets for each in kernel.counts(host_rules.STRAYS).values())


def test_networks_do_not_reach_one_another_nor_the_ingress(swarm: HostedSwarm) -> None:
    one, two = network(3), network(4)
    swarm.open(publication(WEB), networks=(one, two))
    _, web = swarm.backend(swarm.hosts[0], 5)
    places = []
    for of in (one, two):
        at = Attachment(network_id=of.id, addresses=addresses(of, 5))
        places.append(swarm.container(swarm.hosts[0], f"c-{of.id}", at))
        swarm.answering.serve(places[-1])
        swarm.say(endpoint(of, f"c-{of.id}", 5, swarm.hosts[0], of.id))
    swarm.say(web)

    for address in (*addresses(two, 5), *web.addresses):
        assert is_silent(partial(ask, places[0].netns, address, within_s=0.4))


@pytest.mark.parametrize("address", ["192.168.77.100", "fd77::64"])
def test_containers_go_out_under_the_address_of_their_host(
    swarm: HostedSwarm, address: str
) -> None:
    other = network(3)
    swarm.open(networks=(other,))
    at = Attachment(network_id=other.id, addresses=addresses(other, 5))
    container = swarm.container(swarm.hosts[0], "c5", at)

    source = seen_by(swarm.outside, container.netns, address)

    assert source == ("fd77::1" if ":" in address else "192.168.77.1")


def test_a_container_of_the_nodes_own_bridge_goes_out_and_is_not_reached(
    swarm: HostedSwarm,
) -> None:
    swarm.open()
    at = swarm.bridges[1].lend(TaskId("c1"))
    container = swarm.container(swarm.hosts[0], "c1", at)
    swarm.answering.serve(container)
    ip(swarm.outside, "route add 172.17.0.0/16 via 192.168.77.1")

    assert at.network_id == BRIDGE
    assert seen_by(swarm.outside, container.netns, CLIENT) == "192.168.77.1"
    assert is_silent(partial(ask, swarm.outside, at.addresses[0], within_s=0.4))


def test_an_internal_network_has_no_way_to_the_host(swarm: HostedSwarm) -> None:
    inner = network(3, internal=True)
    swarm.open(networks=(inner,))
    at = Attachment(network_id=inner.id, addresses=addresses(inner, 5))
    container = swarm.container(swarm.hosts[0], "c5", at)

    with pytest.raises(OSError, match="unreachable"):
        ask(container.netns, CLIENT, 80)
    assert "10.3.0.0" not in ip(swarm.hosts[0].netns, "route")


def test_loopback_addresses_do_not_come_in_from_containers(swarm: HostedSwarm) -> None:
    """Our links route 127.0.0.0/8, for the host's own sake; a container must not profit.

    It arrives once our guard is gone, so it is the guard that kept it out.
    """
    swarm.open(publication(WEB))
    host = swarm.hosts[0]
    router = namespaces.opened(host.directory / INGRESS.id)
    with namespaces.entered(router):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    os.close(router)
    frame = ethernet(datagram("10.9.0.7", "127.0.0.53", 9999))
    with wire, bound(host.netns, 9999, socket.SOCK_DGRAM, "127.0.0.53") as server:
        server.settimeout(0.3)
        wire.bind(("up0", 0))
        wire.send(frame)
        is_kept_out = is_silent(partial(server.recv, 64))
        ip(host.netns, "flush chain inet swarm arriving", program="nft")
        wire.send(frame)
        server.settimeout(10)

        assert is_kept_out
        assert server.recv(64) == b"boo"


# --- the tunnels' port -------------------------------------------------------------------------


def test_packets_of_strangers_do_not_get_into_a_tunnel(swarm: HostedSwarm) -> None:
    """A frame as host 2 sends it, from the client."""
    swarm.open(publication(WEB))
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)

    for netns in (swarm.hosts[1].netns, swarm.outside):
        tunnel(netns, INGRESS)

    assert kept_out(swarm.hosts[0]) == [1]


def test_strangers_are_kept_out_before_there_is_a_way_in(swarm: HostedSwarm) -> None:
    """An agent that starts and knows not yet what runs has no tunnel, but guards."""
    host = swarm.hosts[0]
    peers = [each.peer for each in swarm.hosts]
    swarm.tell(topology_of([INGRESS, *peers], data_path_port=PORT))

    tunnel(swarm.outside, INGRESS)

    assert kept_out(host) == [1]
    assert not namespaces.names(host.directory)


def test_tunnels_are_not_tracked_and_those_of_others_are_left_alone(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB))
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)
    for _ in range(3):
        ask(swarm.outside, "192.168.77.2", 8080)
    tunnel(swarm.outside, replace(INGRESS, vni=77))

    with Socket(swarm.hosts[0].netns) as kernel:
        tunnelled = wait_for(
            "the foreign one is tracked",
            lambda: [each for each in kernel.flows() if each.destination_port == PORT],
        )

    assert {each.source for each in tunnelled} == {CLIENT}


def test_encrypted_networks_are_heard_by_wireguard_alone(swarm: HostedSwarm) -> None:
    """Even a node of the swarm may not send their frames in the clear."""
    swarm.open(publication(WEB))
    secret = replace(network(5), spec=replace(network(5).spec, encrypted=True))
    side = swarm.side(swarm.hosts[0])
    swarm.runner.run(side.apply(swarm.table.take(Topology(networks=(secret,)))))

    tunnel(swarm.hosts[1].netns, secret)

    assert kept_out(swarm.hosts[0]) == [1]


def tunnel(netns: int, into: Network) -> None:
    """Send the first host a frame of the network from another one."""
    with namespaces.entered(netns):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender:
        header = b"\x08" + bytes(3) + into.vni.to_bytes(3, "big") + bytes(1)
        sender.sendto(header + bytes(60), ("192.168.77.1", PORT))


def kept_out(host: Host) -> list[int]:
    """How many such frames were not let in by each of the host's ports, once there are any."""
    with Socket(host.netns) as kernel:
        counted = partial(kernel.counts, host_rules.STRANGERS)
        wait_for("it is counted", lambda: any(each.packets for each in counted().values()))
        return [each.packets for each in counted().values()]


# --- holding ports -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
@pytest.mark.parametrize("address", ["0.0.0.0", "127.0.0.1", "::", "::1"])
def test_a_published_port_cannot_be_bound_by_others_until_it_is_released(
    swarm: HostedSwarm, address: str, kind: socket.SocketKind
) -> None:
    swarm.open(publication(WEB, replace(WEB, protocol=Protocol.UDP)))
    host = swarm.hosts[0].netns

    with pytest.raises(OSError, match="in use"):
        bound(host, 8080, kind, address)
    swarm.tell(Topology(removed=(key_of(publication()),)))

    bound(host, 8080, kind, address).close()


def test_a_port_that_a_program_has_stays_its_own_and_is_published_when_it_ends(
    swarm: HostedSwarm,
) -> None:
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])
    swarm.open()
    _, web = swarm.backend(host, 5)
    program = bound(host.netns, 8080)
    program.listen()

    swarm.say(publication(WEB), web)
    connected(swarm.outside, "192.168.77.1", 8080).close()
    (problem,) = side.problems()
    elsewhere = ask(swarm.outside, "192.168.77.2", 8080)[0]
    reason = side.why_not_free(WEB)
    program.close()
    swarm.runner.run(side.reconcile())

    assert "8080/tcp is in use by" in problem
    assert f"(pid {os.getpid()})" in problem
    assert reason == problem
    assert elsewhere == "web5"
    assert ask(swarm.outside, "192.168.77.1", 8080)[0] == "web5"
    assert not side.problems()
    assert not side.why_not_free(WEB)


def test_connections_that_linger_after_a_program_do_not_keep_its_port(swarm: HostedSwarm) -> None:
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])
    swarm.open()
    with bound(host.netns, 8080) as server:
        server.listen()
        with connected(host.netns, "127.0.0.1", 8080) as client:
            server.accept()[0].close()
            client.recv(1)

    assert not side.why_not_free(WEB)
    swarm.say(publication(WEB))

    assert not side.problems()
    with pytest.raises(OSError, match="in use"):
        bound(host.netns, 8080)


def test_preflight_tells_free_ports_from_those_in_use(swarm: HostedSwarm) -> None:
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])

    with bound(host.netns, 53, socket.SOCK_DGRAM, "127.0.0.1"):
        udp = Port(target=53, published=53, protocol=Protocol.UDP)

        assert "53/udp is in use by" in side.why_not_free(udp)
        assert not side.why_not_free(replace(udp, ip="192.168.77.1"))
        assert not side.why_not_free(replace(udp, ip="192.0.2.99"))
        assert not side.why_not_free(replace(udp, protocol=Protocol.TCP))
        assert not side.why_not_free(replace(udp, protocol=Protocol.SCTP))
        assert not side.why_not_free(replace(udp, published=0))
    bound(host.netns, 53).close()


# --- the host's own things ---------------------------------------------------------------------


def test_subnets_that_the_host_reaches_are_told_but_not_the_swarms(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB))
    host = swarm.hosts[0]
    ip(host.netns, "route add 10.77.0.0/16 via 192.168.77.254")

    found = {each.prefix: each.link for each in swarm.side(host).reached()}

    assert found["10.77.0.0/16"] == "eth0"
    assert "192.168.77.0/24" in found
    assert "fd77::/64" in found
    assert not [prefix for prefix in found if prefix.startswith(("10.9.", "fd00:9:"))]


def test_the_bridge_is_where_the_host_does_not_go_and_stays_there(
    swarm: HostedSwarm, tmp_path: Path
) -> None:
    host = swarm.hosts[0]
    ip(host.netns, "route add 172.16.0.0/12 via 192.168.77.254")

    chosen = swarm.side(host).bridge(tmp_path / "fresh", mtu=1500).network()
    ip(host.netns, "route add 192.168.0.0/20 via 192.168.77.254")
    again = swarm.side(host).bridge(tmp_path / "fresh", mtu=1500).network()

    assert chosen.subnets[0].subnet == "192.168.0.0/20"
    assert again == chosen


FOREIGN = """table inet mine {
 set ports { type inet_service; elements = { 22 }; }
 chain forward { type filter hook forward priority 5; tcp dport 9 drop; }
}"""


def test_nothing_of_the_host_is_touched_and_nothing_of_ours_is_left(swarm: HostedSwarm) -> None:
    host = swarm.hosts[0]
    load(FOREIGN, host.netns)
    ip(host.netns, "link add sw-uplink type veth peer name other")
    ip(host.netns, "link set sw-uplink up")
    wait_for("its carrier", lambda: "NO-CARRIER" in ip(host.netns, "link show sw-uplink"))
    ip(host.netns, "route add 10.66.0.0/16 dev sw-uplink")
    ip(host.netns, "neigh add 10.66.0.9 lladdr 02:00:00:00:00:66 dev sw-uplink nud permanent")
    before = foreign(host)
    swarm.open(publication(WEB))
    swarm.runner.run(host.networks.reconcile())
    during = foreign(host)

    swarm.runner.run(host.networks.close(removes=True))
    swarm.runner.run(swarm.side(host).close(leave=True))
    del swarm.sides[host.number]

    assert before == during == foreign(host)
    assert "inet swarm" not in ip(host.netns, "list tables", program="nft")
    assert not ip(host.netns, "route show proto 83")
    assert "8080" not in ip(host.netns, "-tan", program="ss")
    host.networks = host.agent()


def test_a_firewall_that_drops_what_is_forwarded_is_named_until_it_is_told(
    swarm: HostedSwarm,
) -> None:
    host, side = swarm.hosts[0], swarm.side(swarm.hosts[0])
    swarm.open(publication(WEB))
    _, web = swarm.backend(host, 5)
    swarm.say(web)
    ip(host.netns, "-P FORWARD DROP", program="iptables-nft")

    swarm.runner.run(side.reconcile())
    (problem,) = side.problems()
    blocked = is_silent(partial(ask, swarm.outside, "192.168.77.1", 8080, within_s=0.5))
    for flag in "-i", "-o":
        ip(host.netns, f"-I FORWARD {flag} sw-+ -j ACCEPT", program="iptables-nft")
    swarm.runner.run(side.reconcile())

    assert "chain FORWARD of table ip filter drops" in problem
    assert "iptables -I FORWARD -i sw-+ -j ACCEPT" in problem
    assert blocked
    assert not side.problems()
    assert ask(swarm.outside, "192.168.77.1", 8080)[0] == "web5"


def test_router_advertisements_go_on_being_heard_when_the_host_forwards(
    swarm: HostedSwarm,
) -> None:
    host = swarm.hosts[0]
    with namespaces.entered(host.netns):
        before = Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").read_text()

    swarm.open(publication(WEB))

    with namespaces.entered(host.netns):
        assert before == "1\n"
        assert Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").read_text() == "2\n"
        assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "1\n"


def foreign(host: Host) -> tuple[str, ...]:
    return (
        ip(host.netns, "list table inet mine", program="nft"),
        ip(host.netns, "link show sw-uplink").partition(" mtu")[0],
        ip(host.netns, "route show dev sw-uplink"),
        ip(host.netns, "neigh show dev sw-uplink nud permanent"),
    )


def seen_by(server: int, client: int, address: str) -> str:
    """What a server sees as the source of a client."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.entered(server):
        listening = socket.create_server((address, 7777), family=family)
    with listening, connected(client, address, 7777):
        accepted, source = listening.accept()
        accepted.close()
    return str(source[0])


def datagram(source: str, destination: str, port: int) -> bytes:
    """A packet of IPv4 and UDP (which goes without a checksum)."""
    payload = b"boo"
    udp = struct.pack(">HHHH", 4444, port, 8 + len(payload), 0) + payload
    ends = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + ends
    total = sum(struct.unpack(">10H", head))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack(">H", ~total & 0xFFFF) + head[12:] + udp


def ethernet(packet: bytes) -> bytes:
    """A frame of a router to its host."""
    ends = bytes.fromhex((HOST_MAC + ROUTER_MAC).replace(":", ""))
    return ends + b"\x08\x00" + packet
