"""Names and numbers that everybody derives alike."""

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from agent.network.addressing import (
    ANY_PEER,
    MOST_NODES,
    NODE_MARK,
    NODE_MARK_MASK,
    PEERS,
    container_mac,
    host_link,
    peer_mac,
    peer_mark,
    peer_via,
    peer_via6,
    peer_zone,
    task_link,
)
from swarm.ids import NetworkId, TaskId

numbers = st.integers(1, MOST_NODES)


@given(numbers, numbers)
def test_law_no_two_nodes_share_a_next_hop_or_a_mark(one: int, other: int) -> None:
    for derive in (peer_via, peer_via6, peer_mac, peer_mark):
        assert (derive(one) == derive(other)) == (one == other)
        assert derive(one) != derive(ANY_PEER)


@given(numbers, st.integers(1, 65534))
def test_law_nodes_share_a_zone_only_where_there_are_more_than_zones(number: int, on: int) -> None:
    assert 1 <= peer_zone(number) <= 65535
    assert peer_zone(number) != peer_zone(number + on)
    assert peer_zone(number) == peer_zone(number + 65535)


@given(numbers)
def test_law_next_hops_are_where_they_are_looked_for(number: int) -> None:
    assert ipaddress.ip_address(peer_via(number)) in ipaddress.ip_network(PEERS)
    assert ipaddress.ip_address(peer_via(number)) != ipaddress.ip_network(PEERS)[-1]
    assert ipaddress.ip_address(peer_via6(number)).is_link_local
    assert peer_mark(number) & NODE_MARK_MASK == NODE_MARK


@given(st.text(min_size=1))
def test_law_links_have_names_that_the_kernel_takes(name: str) -> None:
    assert host_link(NetworkId(name)).startswith("sw-")
    assert task_link(TaskId(name)).startswith("ep")
    assert max(len(host_link(NetworkId(name))), len(task_link(TaskId(name)))) <= 15


def test_numbers_are_written_as_the_kernel_writes_them() -> None:
    assert peer_via(0x010203) == "240.1.2.3"
    assert peer_mac(0x010203) == "02:53:57:01:02:03"
    assert peer_via6(0x010203) == "fe80::5357:1:203"
    assert container_mac("10.0.1.200") == "0a:53:0a:00:01:c8"
