"""Which records concern which router, and what is missing before there can be one."""

import pytest
from msgspec.structs import replace

from agent.network.known import Known, Part, gone_addresses, parts
from agent.topology import Changes
from swarm.errors import Missing, Refused, Unavailable
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkDriver, NetworkSpec, Subnet
from swarm.topology import Endpoint, Peer, Publication, Topology, VirtualService

HERE = NodeId("here")
OWN = Peer(node_id=HERE, number=7, address="192.0.2.7")
OTHER = Peer(node_id=NodeId("there"), number=8, address="192.0.2.8")


def network(name: str = "web", **spec: object) -> Network:
    subnet = Subnet(subnet="10.0.1.0/24", gateway="10.0.1.1")
    return Network(
        id=NetworkId(name), spec=NetworkSpec(name=name, **spec), vni=4097, subnets=(subnet,)
    )


def endpoint(network: str = "web", task: str = "t", *, serving: bool = True) -> Endpoint:
    return Endpoint(
        network_id=NetworkId(network),
        task_id=TaskId(task),
        service_id=ServiceId("s"),
        addresses=("10.0.1.5",),
        is_serving=serving,
    )


def told(*records: object, port: int = 4789) -> Known:
    known = Known(HERE)
    known.take(Changes(put=records, data_path_port=port))
    return known


def site(known: Known, name: str = "web", mtu: int = 1500):
    return known.site(NetworkId(name), vtep=lambda peer: peer.address, mtu_of=lambda address: mtu)


@pytest.mark.parametrize(
    ("address", "encrypted", "mtu"),
    [
        ("192.0.2.7", False, 1450),
        ("2001:db8::7", False, 1430),
        ("192.0.2.7", True, 1390),
        ("2001:db8::7", True, 1370),
    ],
)
def test_the_tunnel_takes_its_share_of_the_mtu(address: str, encrypted: bool, mtu: int) -> None:
    own = Peer(node_id=HERE, number=7, address=address)

    found = site(told(network(encrypted=encrypted), own))

    assert (found.mtu, found.number, found.vtep, found.port) == (mtu, 7, address, 4789)


def test_an_mtu_that_was_asked_for_is_that_of_the_network() -> None:
    assert site(told(network(mtu=1400), OWN)).mtu == 1400
    assert site(told(network(driver=NetworkDriver.BRIDGE, mtu=1400))).mtu == 1400


def test_a_bridge_needs_no_place_in_the_overlay() -> None:
    assert site(told(network(driver=NetworkDriver.BRIDGE), port=0)).mtu == 1500
    assert site(told(network(driver=NetworkDriver.BRIDGE), OWN), mtu=9000).mtu == 9000


def test_what_is_missing_for_an_overlay_is_named() -> None:
    with pytest.raises(Missing, match="told of no network web"):
        site(told(OWN))
    with pytest.raises(Unavailable, match="its own place"):
        site(told(network(), OTHER))
    with pytest.raises(Unavailable, match="its own place"):
        site(told(network(), OWN, port=0))
    with pytest.raises(Unavailable, match="data path address 192") as failure:
        site(told(network(), OWN), mtu=0)
    assert "--data-path-addr" in failure.value.hint
    with pytest.raises(Unavailable, match="more than overlays have room for"):
        site(told(network(), Peer(node_id=HERE, number=2**24, address="192.0.2.7")))


def test_links_that_are_too_small_for_ipv6_are_told_with_what_they_need() -> None:
    dual = (Subnet(subnet="10.0.1.0/24"), Subnet(subnet="fd00:1::/64"))
    known = told(replace(network(ipv6=True), subnets=dual), network("plain"), OWN)

    with pytest.raises(Refused, match=r"link of 192\.0\.2\.7 leaves 1279") as failure:
        site(known, mtu=1329)

    assert "MTU to 1330" in failure.value.hint
    assert site(known, mtu=1330).mtu == 1280
    assert site(known, "plain", mtu=1329).mtu == 1279


def test_a_router_hears_of_peers_and_of_its_own_network() -> None:
    ours, others = endpoint("web"), endpoint("db")
    service = VirtualService(network_id=NetworkId("web"), service_id=ServiceId("s"))
    changes = Changes(put=(network(), OTHER, service, ours, others), gone=(endpoint("db", "x"),))

    found = parts(changes, [NetworkId("web"), NetworkId("db"), NetworkId("empty")])

    assert found["web"] == Part(put=(OTHER, service, ours))
    assert found["db"] == Part(put=(OTHER, others), gone=(endpoint("db", "x"),))
    assert list(gone_addresses(found["db"])) == ["10.0.1.5"]
    assert found["empty"] == Part(put=(OTHER,))
    assert parts(Changes(put=(network(), others)), [NetworkId("web")]) == {}


def test_records_are_kept_for_routers_that_are_not_there_yet() -> None:
    known = told(network(), OWN, endpoint())
    assert set(known.records(NetworkId("web"))) == {OWN, endpoint()}

    known.take(Changes(gone=(endpoint(),)))

    assert known.records(NetworkId("web")) == (OWN,)


def test_only_who_answered_until_now_is_leaving() -> None:
    known = told(network(), endpoint(task="a"), endpoint(task="b", serving=False))
    silent = tuple(endpoint(task=each, serving=False) for each in "abc")

    assert known.leaving(Changes(put=silent)) == {"web": ["10.0.1.5"]}
    assert known.leaving(Changes(put=(endpoint(task="a"),))) == {}


def test_doors_are_open_while_something_is_published() -> None:
    published = Publication(service_id=ServiceId("s"))
    known = told(network("in", ingress=True), network("web"), published)
    assert known.open_doors() == {"in"}

    known.take(Changes(gone=(published,)))

    assert known.open_doors() == frozenset()
    assert Topology().records() == ()
