"""Containers on three hosts, in networks of both families, by address and by virtual address."""

import contextlib
import errno
import itertools
import os
import select
import socket
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.network.addressing import host_link
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from swarm.errors import Missing, Refused
from swarm.ids import NetworkId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, NetworkDriver
from swarm.topology import Endpoint, Topology, key_of
from tests.kernel.routed import (
    Container,
    Host,
    Swarm,
    addresses,
    ask,
    connected,
    endpoint,
    ip,
    network,
    refuses,
    said,
    service,
    swarm,
)

pytestmark = pytest.mark.kernel

VIP = 100
_IP_MTU_DISCOVER, _IP_PMTUDISC_DO = 10, 2  # linux/in.h


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Swarm]:
    with swarm(tmp_path, hosts=3) as made:
        yield made


def attached(of: Network, number: int) -> Attachment:
    return Attachment(network_id=of.id, addresses=addresses(of, number))


def serving(made: Swarm, of: Network, hosts: list[Host], first: int = 0) -> list[Container]:
    """One server on each of the hosts, all of one service that has a virtual address."""
    found = [
        made.container(host, f"t{number}", attached(of, number))
        for number, host in enumerate(hosts, start=first)
    ]
    for each in found:
        made.answering.serve(each)
    made.tell(
        Topology(
            services=(service(of, VIP),),
            endpoints=tuple(
                endpoint(of, each.name, number, each.host)
                for number, each in enumerate(found, start=first)
            ),
        )
    )
    return found


def who(container: Container, address: str, *, udp: bool = False, times: int = 30) -> Counter[str]:
    """How often each answered."""
    return Counter(ask(container.netns, address, udp=udp)[0] for _ in range(times))


def test_all_reach_all_others_and_see_where_they_come_from(three: Swarm) -> None:
    net = network()
    three.begin(net)
    found = serving(three, net, [three.hosts[0], *three.hosts])

    for source, target in itertools.product(found, repeat=2):
        for family, udp in itertools.product((0, 1), (False, True)):
            seen = ask(source.netns, target.addresses[family], udp=udp)
            assert seen == (target.name, source.addresses[family])


@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("udp", [False, True])
def test_a_virtual_address_leads_everybody_to_everybody_and_oneself(
    three: Swarm, family: int, udp: bool
) -> None:
    """Whoever is led back to itself sees the gateway; all others see who asks."""
    net = network()
    three.begin(net)
    found = serving(three, net, [three.hosts[0], *three.hosts])
    vip = addresses(net, VIP)[family]

    for each in found:
        seen = {ask(each.netns, vip, udp=udp) for _ in range(60)}
        assert seen == {
            (other.name, net.subnets[family].gateway if other is each else each.addresses[family])
            for other in found
        }


def test_new_connections_are_shared_out_by_weight(three: Swarm) -> None:
    net = network(ipv6=False)
    three.begin(net)
    found = serving(three, net, three.hosts)
    heavy = endpoint(net, found[0].name, 0, found[0].host, weight=8)
    three.tell(Topology(endpoints=(heavy,)))

    seen = who(found[1], addresses(net, VIP)[0], times=300)

    assert 200 < seen[found[0].name] < 275
    assert all(seen[each.name] > 5 for each in found[1:])


def test_a_leaving_endpoint_keeps_its_connections_and_gets_no_new_ones(three: Swarm) -> None:
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    client, vip = found[0], addresses(net, VIP)[0]
    connections = [connected(client.netns, vip) for _ in range(30)]
    before = [said(each) for each in connections]

    three.tell(Topology(endpoints=(endpoint(net, "t2", 2, three.hosts[2], serving=False),)))

    three.wait(1.2)  # longer than unanswered connections are waited for
    assert [said(each) for each in connections] == before
    assert "t2" in {name for name, _ in before}
    assert who(client, vip).keys() == {"t0", "t1"}
    assert who(client, vip, udp=True).keys() == {"t0", "t1"}
    for each in connections:
        each.close()


def test_connections_to_a_gone_endpoint_end_at_once_and_leave_no_trace(three: Swarm) -> None:
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    client, vip = found[0], addresses(net, VIP)[0]
    connections = [connected(client.netns, vip) for _ in range(30)]
    doomed = [each for each in connections if said(each)[0] == "t2"]
    gone = endpoint(net, "t2", 2, three.hosts[2])

    ip(three.hosts[2].netns, "link set eth0 down")  # its node is cut off, so nobody says goodbye
    three.tell(Topology(removed=(key_of(gone),)))
    three.until(lambda: not tracked(three, net, gone))

    assert doomed
    for each in doomed:
        with pytest.raises(ConnectionError):
            said(each)
    with router(three.hosts[0], net) as inside:
        assert not any(each.destination.startswith(gone.addresses[0]) for each in inside.routes())
    assert who(client, vip).keys() == {"t0", "t1"}
    for each in connections:
        each.close()


def test_a_connection_that_the_kernel_forgot_over_a_long_silence_goes_on(three: Swarm) -> None:
    """It is translated anew, by the same slot, to the endpoint that knows it."""
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    connections = [connected(found[0].netns, vip) for vip in addresses(net, VIP) for _ in range(15)]
    before = [said(each) for each in connections]

    for host in three.hosts:
        with router(host, net) as inside:
            three.until(partial(is_forgotten, inside))

    assert [said(each) for each in connections] == before
    assert {name for name, _ in before} == {"t0", "t1", "t2"}
    for each in connections:
        each.close()


def is_forgotten(inside: Socket) -> bool:
    """Have all connections forgotten; one whose last packet is still on its way is known again."""
    inside.forget(inside.flows())
    return not inside.flows()


def test_a_connection_is_idle_for_longer_than_the_kernel_remembers(three: Swarm) -> None:
    """The kernel's clock of silent connections is shortened from five days to a second."""
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    for host in three.hosts:
        netns = namespaces.opened(host.directory / net.id)
        namespaces.set_sysctls(netns, {"net/netfilter/nf_conntrack_tcp_timeout_established": "1"})
        os.close(netns)
    connections = [connected(found[0].netns, vip) for vip in addresses(net, VIP) for _ in range(15)]
    before = [said(each) for each in connections]

    with contextlib.ExitStack() as stack:
        inside = [stack.enter_context(router(host, net)) for host in three.hosts]
        three.until(lambda: not any(each.flows() for each in inside))

    assert [said(each) for each in connections] == before
    for each in connections:
        each.close()


def tracked(three: Swarm, net: Network, gone: Endpoint) -> bool:
    """Whether connections to an endpoint are known where they are led to it."""
    with router(three.hosts[0], net) as inside:
        return bool(inside.flows(gone.addresses[0]))


def test_a_first_packet_that_a_leaving_endpoint_never_answered_goes_elsewhere(
    three: Swarm,
) -> None:
    """A node dies, and callers are on their way to it.

    1. The client connects; its packets go to an endpoint that does not answer any more.
    2. The cluster notices, and the endpoint serves no longer.
    3. The kernel repeats the first packet after a second, and somebody else answers.
    """
    net = network(ipv6=False)
    three.begin(net)
    found = serving(three, net, three.hosts[:2])
    client, vip = found[0], addresses(net, VIP)[0]
    ip(three.hosts[1].netns, "link set eth0 down")
    waiting = connecting(client, vip)

    three.tell(Topology(endpoints=(endpoint(net, "t1", 1, three.hosts[1], serving=False),)))
    three.wait(1.2)

    assert select.select([], [waiting], [], 30.0)[1]
    waiting.settimeout(10.0)
    assert said(waiting)[0] == "t0"
    waiting.close()


def connecting(client: Container, vip: str) -> socket.socket:
    """A connection on its way to whoever does not answer."""
    while True:
        with namespaces.entered(client.netns):
            made = socket.socket()
        made.settimeout(0.2)
        try:
            made.connect((vip, 80))
            made.close()
        except TimeoutError:
            return made


def test_a_service_that_nobody_answers_for_refuses_at_once(three: Swarm) -> None:
    net = network()
    three.begin(net)
    client = three.container(three.hosts[0], "t0", attached(net, 0))
    three.tell(Topology(services=(service(net, VIP),)))

    for vip in addresses(net, VIP):
        assert refuses(client.netns, vip)
        assert refuses(client.netns, vip, udp=True)


def test_an_address_that_nobody_has_refuses_at_once_and_always(three: Swarm) -> None:
    net = network()
    three.begin(net)
    client = three.container(three.hosts[0], "t0", attached(net, 0))

    for address in addresses(net, 7) * 50:
        assert refuses(client.netns, address)
        assert refuses(client.netns, address, udp=True)


def test_networks_do_not_reach_each_other(three: Swarm) -> None:
    one, other = network(1), network(2, internal=True)
    three.begin(one, other)
    client = three.container(three.hosts[0], "t0", attached(one, 0))
    server = three.container(three.hosts[1], "t1", attached(other, 1))
    three.answering.serve(server)
    peer = endpoint(other, "t1", 1, three.hosts[1])
    three.tell(Topology(endpoints=(peer, endpoint(one, "t0", 0, three.hosts[0]))))

    for address in server.addresses:
        with pytest.raises(OSError):
            ask(client.netns, address, within_s=0.5)


def test_a_container_in_two_networks_answers_in_both_and_leaves_by_the_first_with_a_way_out(
    three: Swarm,
) -> None:
    inner, outer = network(1, internal=True), network(2)
    three.begin(inner, outer)
    both = three.container(three.hosts[0], "t0", attached(inner, 0), attached(outer, 0))
    clients = [
        three.container(three.hosts[1], f"t{number}", attached(net, number))
        for number, net in ((1, inner), (2, outer))
    ]
    three.answering.serve(both)
    three.tell(
        Topology(
            endpoints=tuple(
                endpoint(net, name, number, host)
                for net, name, number, host in (
                    (inner, "t0", 0, three.hosts[0]),
                    (outer, "t0", 0, three.hosts[0]),
                    (inner, "t1", 1, three.hosts[1]),
                    (outer, "t2", 2, three.hosts[1]),
                )
            )
        )
    )

    for client, attachment in zip(clients, both.attachments, strict=True):
        for family in (0, 1):
            asked = ask(client.netns, attachment.addresses[family])
            assert asked == ("t0", client.addresses[family])
    with Socket(both.netns) as inside:
        ways = {each.link for each in inside.routes() if each.destination in {"0.0.0.0/0", "::/0"}}
    assert ways == {"eth1"}
    assert host_link(inner.id) not in ip(three.hosts[0].netns, "link")


def test_a_forged_source_address_gets_nowhere(three: Swarm) -> None:
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    ip(found[0].netns, "addr add 10.1.0.77/32 dev eth0")
    ip(found[0].netns, "-6 addr add fd00:1::77/128 dev eth0 nodad")
    ip(found[0].netns, "route replace 10.1.0.4/32 via 10.1.0.1 src 10.1.0.77")
    ip(found[0].netns, "-6 route replace fd00:1::4/128 via fd00:1::1 src fd00:1::77")

    for address in found[2].addresses:
        with pytest.raises(OSError):
            ask(found[0].netns, address, udp=True, within_s=0.3)


def test_packets_are_as_large_as_the_path_between_nodes_allows(three: Swarm) -> None:
    net, jumbo = network(1), network(2, ipv6=False, mtu=900)
    three.begin(net, jumbo)
    client = three.container(three.hosts[0], "t0", attached(net, 0), attached(jumbo, 0))
    server = three.container(three.hosts[1], "t1", attached(net, 1))
    three.answering.serve(server)
    three.tell(
        Topology(
            endpoints=(
                endpoint(net, "t0", 0, three.hosts[0]),
                endpoint(net, "t1", 1, three.hosts[1]),
            )
        )
    )

    with Socket(client.netns) as inside:
        mtus = {each.name: each.mtu for each in inside.links()}
    assert (mtus["eth0"], mtus["eth1"]) == (1450, 900)
    with namespaces.entered(client.netns):
        whole = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with whole:
        whole.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_DO)
        whole.settimeout(10.0)
        whole.connect((server.addresses[0], 80))
        whole.send(bytes(1450 - 28))
        assert whole.recv(100).startswith(b"t1")
        with pytest.raises(OSError) as failure:
            whole.send(bytes(1450 - 27))
    assert failure.value.errno == errno.EMSGSIZE


def test_a_bridge_is_another_network_on_every_node(three: Swarm) -> None:
    net = network(1, driver=NetworkDriver.BRIDGE)
    three.begin(net)
    near, same, far = (
        three.container(host, f"t{number}", attached(net, number))
        for number, host in enumerate((three.hosts[0], three.hosts[0], three.hosts[1]))
    )
    for each in (near, same, far):
        three.answering.serve(each)
    three.tell(
        Topology(
            services=(service(net, VIP),),
            endpoints=tuple(
                endpoint(net, each.name, number, each.host)
                for number, each in enumerate((near, same, far))
            ),
        )
    )

    assert ask(near.netns, same.addresses[0]) == ("t1", near.addresses[0])
    assert who(near, addresses(net, VIP)[0]).keys() == {"t0", "t1"}
    with pytest.raises(OSError):
        ask(near.netns, far.addresses[0], within_s=0.5)


def test_the_nodes_own_bridge_needs_no_manager(three: Swarm) -> None:
    host = three.hosts[0]
    net = host.hearing.bridge
    pair = [
        three.container(
            host,
            f"t{number}",
            Attachment(network_id=NetworkId(BRIDGE), addresses=(f"10.200.0.{number + 2}",)),
        )
        for number in (0, 1)
    ]
    three.answering.serve(pair[1])

    assert net.id == BRIDGE
    assert ask(pair[0].netns, "10.200.0.3") == ("t1", "10.200.0.2")


def test_a_network_that_this_node_cannot_encrypt_or_does_not_know_is_refused(
    three: Swarm,
) -> None:
    net = network(1, encrypted=True)
    three.begin(net)

    with pytest.raises(Refused, match="net1 is encrypted, and this node has no WireGuard"):
        three.container(three.hosts[0], "t0", attached(net, 0))
    with pytest.raises(Missing, match="told of no network net2"):
        three.container(three.hosts[0], "t1", attached(network(2), 0))
    assert namespaces.names(three.hosts[0].directory) == ()


def test_a_container_that_cannot_be_attached_leaves_nothing(three: Swarm) -> None:
    net, missing = network(1), network(2)
    three.begin(net)

    with pytest.raises(Missing):
        three.container(three.hosts[0], "t0", attached(net, 0), attached(missing, 0))

    three.until(lambda: namespaces.names(three.hosts[0].directory) == ())
    three.until(lambda: "eth0" not in ip(three.containers["t0"].netns, "link"))


def test_the_last_container_takes_the_router_along(three: Swarm) -> None:
    net = network()
    three.begin(net)
    host = three.hosts[0]
    pair = [three.container(host, name, attached(net, number)) for number, name in enumerate("ab")]

    pair[0].end()
    three.runner.run(host.networks.detach(pair[0].task_id))
    three.wait(0.1)
    assert namespaces.names(host.directory) == (net.id,)
    pair[1].end()
    three.runner.run(host.networks.detach(pair[1].task_id))

    three.until(lambda: namespaces.names(host.directory) == ())
    three.until(lambda: ip(host.netns, "-o link").count("\n") == 2)  # lo and eth0
    three.until(lambda: host.hearing.uplinks == {})


def test_an_ended_container_is_unreachable_before_its_namespace_is_gone(three: Swarm) -> None:
    net = network()
    three.begin(net)
    host = three.hosts[0]
    client, ended = (
        three.container(host, name, attached(net, number)) for number, name in enumerate("ab")
    )

    three.runner.run(host.networks.detach(ended.task_id))

    assert refuses(client.netns, ended.addresses[0])


def test_peers_are_known_where_they_have_endpoints_and_only_there(three: Swarm) -> None:
    net = network()
    three.begin(net)
    three.container(three.hosts[0], "t0", attached(net, 0))
    there = endpoint(net, "t1", 1, three.hosts[1])

    three.tell(Topology(endpoints=(there,)))
    with router(three.hosts[0], net) as inside:
        assert {each.vtep for each in inside.forwards()} == {three.hosts[1].address}
    three.tell(Topology(removed=(key_of(there),)))
    with router(three.hosts[0], net) as inside:
        assert inside.forwards() == []


def test_a_peer_that_moves_is_followed(three: Swarm) -> None:
    net = network()
    three.begin(net)
    found = serving(three, net, three.hosts)
    moved = three.hosts[1]
    ip(moved.netns, "addr del 192.168.77.2/24 dev eth0")
    ip(moved.netns, "addr add 192.168.77.22/24 dev eth0")
    moved.address = "192.168.77.22"

    three.tell(Topology(peers=(moved.peer,)))

    for source, target in ((0, 1), (1, 2)):
        for address, source_address in zip(
            found[target].addresses, found[source].addresses, strict=True
        ):
            seen = ask(found[source].netns, address)
            assert seen == (found[target].name, source_address)
    for host in three.hosts:
        assert three.runner.run(host.networks.differences(net.id)) == ()


def test_a_network_of_ipv4_alone_gives_no_ipv6_address(three: Swarm) -> None:
    net = network(ipv6=False)
    three.begin(net)
    container = three.container(three.hosts[0], "t0", attached(net, 0))

    assert "inet6" not in ip(container.netns, "addr show dev eth0")


def router(host: Host, of: Network) -> Socket:
    """A network's namespace on a host."""
    netns = namespaces.opened(host.directory / of.id)
    try:
        return Socket(netns)
    finally:
        os.close(netns)
