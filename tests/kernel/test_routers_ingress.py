"""Published ports on hosts that have routers: clients of anywhere, in at any node."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec import Struct

from agent.network.io import namespaces
from swarm.ids import ServiceId
from swarm.objects import Network
from swarm.specs import Port, Protocol
from swarm.topology import Endpoint, Publication, Topology, key_of
from tests.kernel.routed import (
    Container,
    Swarm,
    ask,
    connected,
    endpoint,
    network,
    said,
    swarm,
)
from tests.kernel.test_routers import attached, router
from tests.kernel.test_routers_recovery import Holding, restarted

pytestmark = pytest.mark.kernel

CLIENT = ("192.168.77.99", "fd77::63")


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Swarm]:
    with swarm(tmp_path, hosts=3, is_whole=True) as made:
        yield made


def published(made: Swarm, *hosts: int) -> tuple[Network, list[Container]]:
    """A service that is published on 8080, with a server on each of the hosts."""
    net = network(9, ingress=True)
    made.begin(net)
    ports = tuple(
        Port(target=80, published=8080, protocol=each) for each in (Protocol.TCP, Protocol.UDP)
    )
    found = [
        made.container(made.hosts[at], f"t{number}", attached(net, number))
        for number, at in enumerate(hosts)
    ]
    for each in found:
        made.answering.serve(each)
    made.tell(
        Topology(
            endpoints=tuple(serving(net, each, number) for number, each in enumerate(found)),
            publications=(
                Publication(service_id=ServiceId("web"), service_name="web", ports=ports),
            ),
        )
    )
    return net, found


class Stranger(Struct):
    """A host outside of the swarm that answers."""

    netns: int
    name: str = "outside"


def serving(net: Network, container: Container, number: int, *, serves: bool = True) -> Endpoint:
    return endpoint(net, container.name, number, container.host, serving=serves)


@pytest.mark.parametrize("udp", [False, True])
def test_a_published_port_answers_on_each_node_and_sees_who_asks(three: Swarm, udp: bool) -> None:
    published(three, 1)
    client = three.client()

    for host in three.hosts:
        assert ask(client, host.address, 8080, udp=udp) == ("t0", CLIENT[0])
        assert ask(client, f"fd77::{host.number}", 8080, udp=udp) == ("t0", CLIENT[1])


def test_clients_come_in_anywhere_at_once_and_all_answers_find_back(three: Swarm) -> None:
    """Connections of one client to one endpoint through all nodes, none of which knows others."""
    published(three, 0, 2)
    client = three.client()
    connections = [
        connected(client, address, 8080)
        for host in three.hosts
        for address in (host.address, f"fd77::{host.number}")
        for _ in range(10)
    ]

    for each in connections * 3:
        assert said(each)[1] in CLIENT
    assert {said(each)[0] for each in connections} == {"t0", "t1"}
    for each in connections:
        each.close()


@pytest.mark.parametrize("at", [0, 1])
@pytest.mark.parametrize("udp", [False, True])
def test_one_port_of_a_client_leads_to_one_endpoint_through_every_node(
    three: Swarm, udp: bool, at: int
) -> None:
    """Balancers before the nodes keep a client's address and port, and choose any of the nodes.

    1. Connections from one port come in at three nodes, and meet at one endpoint.
    2. All come about, keep to themselves, and show the client's address; their ports may differ.
    3. Once the endpoint is gone nothing of any of them is remembered where it was.
    """
    net, found = published(three, 1)
    client, own = three.client(), CLIENT[at]
    places = [(host.address, f"fd77::{host.number}")[at] for host in three.hosts]

    connections = [connected(client, each, 8080, udp=udp, source=(own, 5555)) for each in places]

    assert [said(each) for each in connections * 2] == [("t0", own)] * 6
    # A late packet to an endpoint that lives would be tracked anew.
    three.until(lambda: three.answering.are_acknowledged(found[0]))
    with router(three.hosts[1], net) as inside:
        flows = [each for each in inside.flows() if each.source == own]
        assert {each.source_port for each in flows} == {5555}
        assert {each.original_zone for each in flows} == {0, 1, 3}
        assert len({each.reply_destination_port for each in flows}) == 3
        three.tell(Topology(removed=(key_of(serving(net, found[0], 0)),)))
        three.until(lambda: not inside.flows())
    for each in connections:
        each.close()


def test_a_container_finds_the_way_out_and_comes_back_in_by_a_published_port(
    three: Swarm,
) -> None:
    _, (first, second) = published(three, 0, 2)
    client = three.client()
    three.answering.serve(Stranger(client))

    assert ask(first.netns, CLIENT[0]) == ("outside", three.hosts[0].address)
    assert ask(first.netns, CLIENT[1]) == ("outside", "fd77::1")
    for host in three.hosts:
        seen = {ask(second.netns, host.address, 8080)[0] for _ in range(20)}
        assert seen == {"t0", "t1"}


def test_connections_through_a_node_go_on_while_its_agent_is_away(three: Swarm) -> None:
    net, found = published(three, 1)
    client = three.client()
    connections = [connected(client, host.address, 8080) for host in three.hosts]
    holding = Holding(found[0])
    try:
        for host in three.hosts:
            running = ((holding, found[0]),) if host is found[0].host else ()
            restarted(three, host, *running)

        assert [said(each) for each in connections] == [("t0", CLIENT[0])] * 3
        for host in three.hosts:
            assert ask(client, host.address, 8080) == ("t0", CLIENT[0])
            assert three.runner.run(host.networks.differences(net.id)) == ()
    finally:
        holding.end()
        for each in connections:
            each.close()


def test_without_publications_no_router_is_left_where_no_container_is(three: Swarm) -> None:
    net, found = published(three, 1)
    assert all(namespaces.names(host.directory) == (net.id,) for host in three.hosts)

    three.tell(Topology(removed=("publication/web",)))

    three.until(
        lambda: [namespaces.names(host.directory) for host in three.hosts] == [(), (net.id,), ()]
    )
    assert found[0].host is three.hosts[1]


def test_an_endpoint_that_leaves_answers_whom_it_had(three: Swarm) -> None:
    net, found = published(three, 1, 2)
    client = three.client()
    connections = [connected(client, three.hosts[0].address, 8080) for _ in range(20)]
    before = [said(each) for each in connections]

    three.tell(Topology(endpoints=(serving(net, found[1], 1, serves=False),)))

    assert [said(each) for each in connections] == before
    assert {name for name, _ in before} == {"t0", "t1"}
    assert {ask(client, three.hosts[0].address, 8080)[0] for _ in range(20)} == {"t0"}
    for each in connections:
        each.close()


def test_an_agent_that_starts_leads_nobody_to_where_its_routers_know_no_way_yet(
    three: Swarm,
) -> None:
    """An endpoint is replaced while the agent of the node that clients come by is away.

    1. The next agent is told of it before it knows what runs: the old one answers still.
    2. It has looked around: the new one does.
    """
    net, (old,) = published(three, 1)
    client, host = three.client(), three.hosts[0]
    ask(client, host.address, 8080, udp=True)
    three.runner.run(host.restart())
    new = three.container(three.hosts[2], "t1", attached(net, 1))
    three.answering.serve(new)
    replaced = Topology(endpoints=(serving(net, new, 1),), removed=(key_of(serving(net, old, 0)),))
    changes = three.table.take(replaced)
    for each in three.hosts[1:]:
        three.runner.run(each.networks.apply(changes))

    with router(old.host, net) as inside:  # what leads to it is forgotten: that is over
        three.until(lambda: not inside.flows(old.addresses[0]))
    three.runner.run(host.networks.apply(three.everything))
    early = ask(client, host.address, 8080)
    three.runner.run(host.networks.reconcile({}))

    assert early == ("t0", CLIENT[0])
    assert ask(client, host.address, 8080) == ("t1", CLIENT[0])
