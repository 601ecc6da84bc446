"""Published ports on real namespaces: from outside, from the host, and from containers."""

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from swarm.errors import Refused
from swarm.objects import Attachment
from swarm.specs import Port, Protocol, PublishMode
from swarm.topology import Topology, key_of
from tests.kernel.hosted import (
    CLIENT,
    CLIENT6,
    INGRESS,
    Asking,
    HostedSwarm,
    bound,
    datagrams,
    elements,
    hosted,
    is_refused,
    publication,
)
from tests.kernel.routed import addresses, ask, connected, endpoint, ip, network, said

pytestmark = pytest.mark.kernel
WEB = Port(target=80, published=8080)
DNS = Port(target=80, published=5300, protocol=Protocol.UDP)


@pytest.fixture
def swarm(tmp_path: Path) -> Iterator[HostedSwarm]:
    with hosted(tmp_path) as made:
        yield made


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("address", ["192.168.77.{}", "fd77::{}"])
def test_every_node_answers_a_published_port_and_the_server_sees_the_clients_address(
    swarm: HostedSwarm, address: str, udp: bool
) -> None:
    swarm.open(publication(WEB, DNS))
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)
    port = DNS.published if udp else WEB.published

    seen = [ask(swarm.outside, address.format(number), port, udp=udp) for number in (1, 2)]

    assert seen == [("web5", CLIENT6 if ":" in address else CLIENT)] * 2


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("address", ["192.168.77.{}", "127.0.0.1", "fd77::{}", "::1"])
def test_a_host_reaches_a_port_by_every_address_of_its_own(
    swarm: HostedSwarm, address: str, at: int, udp: bool
) -> None:
    swarm.open(publication(WEB, DNS))
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)
    host = swarm.hosts[at]
    port = DNS.published if udp else WEB.published

    name, source = ask(host.netns, address.format(host.number), port, udp=udp)

    assert name == "web5"
    assert source == (f"fd77::{host.number}" if ":" in address else host.address)


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("address", ["192.168.77.{}", "fd77::{}"])
def test_a_container_reaches_its_own_port_through_every_node(
    swarm: HostedSwarm, address: str, udp: bool
) -> None:
    swarm.open(publication(WEB, DNS))
    container, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)
    port = DNS.published if udp else WEB.published

    found = [ask(container.netns, address.format(each), port, udp=udp)[0] for each in (1, 2)]

    assert found == ["web5", "web5"]


def test_a_container_of_another_network_reaches_a_port_even_of_a_service_in_both(
    swarm: HostedSwarm,
) -> None:
    """Its answer would take the shorter way through the other network, past the translation."""
    other = network(3)
    swarm.open(publication(WEB), networks=(other,))
    both = (
        Attachment(network_id=INGRESS.id, addresses=addresses(INGRESS, 5)),
        Attachment(network_id=other.id, addresses=addresses(other, 5)),
    )
    server = swarm.container(swarm.hosts[0], "web5", *both)
    swarm.answering.serve(server)
    swarm.say(
        endpoint(INGRESS, "web5", 5, swarm.hosts[0]), endpoint(other, "web5", 5, swarm.hosts[0])
    )
    at = Attachment(network_id=other.id, addresses=addresses(other, 6))
    client = swarm.container(swarm.hosts[0], "client6", at)
    swarm.say(endpoint(other, "client6", 6, swarm.hosts[0], "client"))

    found = [ask(client.netns, address, 8080)[0] for address in ("192.168.77.1", "192.168.77.2")]

    assert found == ["web5", "web5"]


def test_a_port_of_one_address_is_published_there_and_nowhere_else(swarm: HostedSwarm) -> None:
    swarm.open(
        publication(replace(WEB, ip="192.168.77.1"), replace(WEB, published=8081, ip="fd77::2"))
    )
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)

    assert ask(swarm.outside, "192.168.77.1", 8080) == ("web5", CLIENT)
    assert ask(swarm.outside, "fd77::2", 8081) == ("web5", CLIENT6)
    for address, port in (("192.168.77.2", 8080), ("fd77::1", 8080), ("fd77::1", 8081)):
        assert is_refused(partial(ask, swarm.outside, address, port))


def test_the_same_port_of_two_addresses_may_be_two_services(swarm: HostedSwarm) -> None:
    ip(swarm.hosts[0].netns, "addr add 192.168.77.50/24 dev eth0")
    swarm.open(publication(replace(WEB, ip="192.168.77.50"), service="api"), publication(WEB))
    _, web = swarm.backend(swarm.hosts[1], 5)
    _, api = swarm.backend(swarm.hosts[0], 6, service="api")
    swarm.say(web, api)

    assert ask(swarm.outside, "192.168.77.1", 8080)[0] == "web5"
    assert ask(swarm.outside, "192.168.77.50", 8080)[0] == "api6"
    assert not swarm.side(swarm.hosts[0]).problems()


def test_new_connections_are_shared_out_by_weight(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB))
    _, stable = swarm.backend(swarm.hosts[0], 5)
    _, canary = swarm.backend(swarm.hosts[1], 6)
    swarm.say(replace(stable, weight=3), canary)

    answers = [ask(swarm.outside, "192.168.77.1", 8080)[0] for _ in range(200)]

    assert 90 < answers.count("web5") < 190
    assert answers.count("web6") > 10


def test_many_clients_of_udp_are_each_answered_at_their_own_port(swarm: HostedSwarm) -> None:
    swarm.open(publication(DNS))
    _, one = swarm.backend(swarm.hosts[0], 5)
    _, two = swarm.backend(swarm.hosts[1], 6)
    swarm.say(one, two)

    answers = [ask(swarm.outside, "192.168.77.2", 5300, udp=True) for _ in range(50)]

    assert {name for name, _ in answers} == {"web5", "web6"}
    assert {source for _, source in answers} == {CLIENT}


def test_a_leaving_endpoint_keeps_its_connections_and_gets_no_new_ones(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB))
    _, one = swarm.backend(swarm.hosts[0], 5)
    swarm.say(one)
    _, two = swarm.backend(swarm.hosts[1], 6)

    with connected(swarm.outside, "192.168.77.2", 8080) as old:
        before = said(old)[0]
        swarm.say(replace(one, is_serving=False), two)
        after, new = said(old)[0], [ask(swarm.outside, "192.168.77.2", 8080)[0] for _ in range(20)]

    assert before == after == "web5"
    assert set(new) == {"web6"}


def test_datagrams_of_a_client_find_another_endpoint_once_theirs_is_gone(
    swarm: HostedSwarm,
) -> None:
    swarm.open(publication(DNS))
    _, one = swarm.backend(swarm.hosts[0], 5)
    swarm.say(one)
    _, two = swarm.backend(swarm.hosts[0], 6)

    with datagrams(swarm.outside, "192.168.77.1", 5300) as client:
        before = said(client)[0]
        swarm.say(replace(one, is_serving=False), two)
        while_leaving = said(client)[0]
        swarm.tell(Topology(removed=(key_of(one),)))
        after = said(client)[0]

    assert (before, while_leaving, after) == ("web5", "web5", "web6")


def test_datagrams_that_were_sent_before_their_port_was_published_arrive_after(
    swarm: HostedSwarm,
) -> None:
    """The kernel remembers that such a flow is not translated for as long as it goes on."""
    swarm.open()
    _, web = swarm.backend(swarm.hosts[0], 5)
    swarm.say(web)

    with datagrams(swarm.outside, "192.168.77.1", 5300) as client:
        early = is_refused(partial(said, client))
        swarm.say(publication(DNS))
        late = said(client)[0]
        swarm.tell(Topology(removed=(key_of(publication(DNS)),)))
        ended = is_refused(partial(said, client))

    assert early
    assert late == "web5"
    assert ended


@pytest.mark.parametrize("udp", [False, True])
@pytest.mark.parametrize("address", ["192.168.77.1", "fd77::1"])
def test_a_service_without_endpoints_refuses_at_once(
    swarm: HostedSwarm, address: str, udp: bool
) -> None:
    swarm.open(publication(WEB, DNS))
    port = DNS.published if udp else WEB.published

    assert is_refused(partial(ask, swarm.outside, address, port, udp=udp))
    assert is_refused(partial(ask, swarm.hosts[0].netns, "127.0.0.1", port, udp=udp))
    protocol = "udp" if udp else "tcp"
    assert swarm.side(swarm.hosts[0]).counts(protocol, port) == (2, 2)


def test_ports_come_and_go_while_clients_of_another_one_notice_nothing(
    swarm: HostedSwarm,
) -> None:
    swarm.open(publication(WEB))
    for number in (5, 6):
        _, made = swarm.backend(swarm.hosts[number - 5], number)
        swarm.say(made)

    with Asking(swarm.outside, "192.168.77.2", 8080) as asking:
        for published in range(9000, 9030):
            swarm.say(publication(WEB, replace(WEB, published=published), DNS))
            assert ask(swarm.outside, "192.168.77.1", published)[1] == CLIENT
            swarm.say(publication(WEB))
            asking.has_asked(2)

    assert not asking.failures
    assert len(asking.answers) > 50


def test_a_port_that_changes_its_target_is_never_refused(swarm: HostedSwarm) -> None:
    swarm.open(publication(WEB))
    container, made = swarm.backend(swarm.hosts[0], 5)
    swarm.answering.serve(container, 81)
    swarm.say(made)

    with Asking(swarm.outside, "192.168.77.2", 8080) as asking:
        for target in [81, 80] * 15:
            swarm.say(publication(replace(WEB, target=target)))
            asking.has_asked(2)

    assert not asking.failures


def test_a_port_of_the_node_itself_leads_to_its_container(swarm: HostedSwarm) -> None:
    swarm.open()
    host = swarm.hosts[0]
    own = Port(target=80, published=7000, mode=PublishMode.HOST)
    chosen = Port(target=80, mode=PublishMode.HOST)
    at = Attachment(network_id=INGRESS.id, addresses=addresses(INGRESS, 5))

    server = swarm.connect(host, "web5", at, own, chosen)
    swarm.answering.serve(server)
    fixed, free = swarm.ports["web5"]

    assert fixed == own
    assert 32768 <= free.published <= 60999
    for port in (fixed, free):
        assert ask(swarm.outside, "192.168.77.1", port.published) == ("web5", CLIENT)
        assert ask(swarm.outside, "fd77::1", port.published) == ("web5", CLIENT6)
        assert ask(host.netns, "127.0.0.1", port.published)[0] == "web5"
        assert ask(server.netns, "192.168.77.1", port.published)[0] == "web5"
        assert is_refused(partial(ask, swarm.outside, "192.168.77.2", port.published))

    swarm.runner.run(host.networks.detach(server.task_id))

    for port in (fixed, free):
        assert is_refused(partial(ask, swarm.outside, "192.168.77.1", port.published))
        bound(host.netns, port.published).close()


def test_a_port_of_the_node_that_is_taken_is_refused_and_the_others_are_free_again(
    swarm: HostedSwarm,
) -> None:
    swarm.open()
    host = swarm.hosts[0]
    at = Attachment(network_id=INGRESS.id, addresses=addresses(INGRESS, 5))
    ports = [Port(target=80, published=each, mode=PublishMode.HOST) for each in (7000, 7001)]

    with bound(host.netns, 7001) as other:
        other.listen()
        with pytest.raises(Refused, match=r"port 7001/tcp is in use by .* \(pid \d+\)"):
            swarm.connect(host, "web5", at, *ports)

        bound(host.netns, 7000).close()
        before = elements(host.netns)
    assert not before["ports"]
    assert not before["slots4"]


@pytest.mark.parametrize("udp", [False, True])
def test_a_client_may_use_one_port_of_its_own_for_two_addresses_of_a_host(
    swarm: HostedSwarm, udp: bool
) -> None:
    """Both connections lead to one endpoint, and only their source could tell them apart there.

    The kernel sees it and gives the second one another source port, but the same address.
    """
    ip(swarm.hosts[0].netns, "addr add 192.168.77.50/24 dev eth0")
    swarm.open(publication(WEB, DNS))
    _, web = swarm.backend(swarm.hosts[1], 5)
    swarm.say(web)
    port = DNS.published if udp else WEB.published

    with ExitStack() as stack:
        clients = []
        for address in ("192.168.77.1", "192.168.77.50"):
            clients.append(stack.enter_context(sent_from(swarm.outside, 40000, udp=udp)))
            clients[-1].connect((address, port))
        answers = [said(each) for each in clients * 2]

    assert answers == [("web5", CLIENT)] * 4


def test_a_client_may_use_a_port_again_at_once(swarm: HostedSwarm) -> None:
    """Its last connection is still remembered everywhere on the way, as one that has ended."""
    swarm.open(publication(WEB))
    _, web = swarm.backend(swarm.hosts[1], 5)
    swarm.say(web)

    for _ in range(5):
        with sent_from(swarm.outside, 40000) as client:
            client.connect(("192.168.77.1", 8080))
            assert said(client) == ("web5", CLIENT)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def sent_from(netns: int, port: int, *, udp: bool = False) -> socket.socket:
    """A client's socket with that port of its own."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    made = bound(netns, port, kind, CLIENT, is_shared=True)
    made.settimeout(10)
    return made
