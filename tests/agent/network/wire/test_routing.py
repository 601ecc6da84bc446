"""Addresses, routes, neighbours, forwards and rules: golden bytes, and back again."""

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.kernel import (
    Address,
    Forward,
    Neighbour,
    Route,
    RouteKind,
    Rule,
    Scope,
    completed,
)
from agent.network.wire import addresses, neighbours, routes, rules
from agent.network.wire.attributes import to_address, u8

NAMES = {7: "vx0"}.__getitem__
ADDRESSES = st.ip_addresses().map(lambda made: to_address(made.packed))
MACS = st.binary(min_size=6, max_size=6).map(lambda raw: raw.hex(":"))


@st.composite
def interfaces(draw: st.DrawFn) -> str:
    address = draw(ADDRESSES)
    return f"{address}/{draw(st.integers(0, 128 if ':' in address else 32))}"


@st.composite
def prefixes(draw: st.DrawFn) -> str:
    address = draw(st.ip_addresses())
    length = draw(st.integers(0, address.max_prefixlen))
    network = ipaddress.ip_network((address, length), strict=False)
    return f"{to_address(network.network_address.packed)}/{length}"


@pytest.mark.parametrize(
    ("made", "kind", "flags", "golden"),
    [
        (
            addresses.put(Address(link="vx0", address="10.0.1.5/24"), 7),
            20,
            0x500,
            "02 18 00 00 07000000 0800 0200 0a000105 0800 0100 0a000105 0800 0800 00020000",
        ),
        (
            addresses.put(Address(link="sw-0", address="172.17.0.1/32", on_link_only=True), 7),
            20,
            0x500,
            "02 20 00 fd 07000000 0800 0200 ac110001 0800 0100 ac110001 0800 0800 00020000",
        ),
        (
            addresses.put(Address(link="vx0", address="fd00::5/64", has_prefix_route=True), 7),
            20,
            0x500,
            "0a 40 00 00 07000000"
            "1400 0200 fd000000000000000000000000000005"
            "1400 0100 fd000000000000000000000000000005"
            "0800 0800 02000000",
        ),
        (
            addresses.remove(Address(link="vx0", address="10.0.1.5/24"), 7),
            21,
            0,
            "02 18 00 00 07000000 0800 0200 0a000105 0800 0100 0a000105",
        ),
        (
            routes.put(Route(destination="10.0.1.6/32", link="vx0", via="240.0.0.2"), 7),
            24,
            0x500,
            "02 20 00 00 00 53 00 01 00000000"  # RTPROT ours, scope universe, unicast
            "0800 0f00 fe000000 0800 0100 0a000106 0800 0400 07000000 0800 0500 f0000002",
        ),
        (
            routes.put(Route(destination="10.0.1.6/32", link="vx0", via="fe80::2"), 7),
            24,
            0x500,
            "02 20 00 00 00 53 00 01 00000000"
            "0800 0f00 fe000000 0800 0100 0a000106 0800 0400 07000000"
            "1600 1200 0a00 fe800000000000000000000000000002 0000",  # RTA_VIA
        ),
        (
            routes.put(
                Route(
                    destination="0.0.0.0/0",
                    link="vx0",
                    via="169.254.0.99",
                    is_onlink=True,
                    table=1000,
                    metric=5,
                    source="10.0.0.1",
                ),
                7,
            ),
            24,
            0x500,
            "02 00 00 00 00 53 00 01 04000000"  # RTNH_F_ONLINK
            "0800 0f00 e8030000 0800 0400 07000000 0800 0600 05000000"
            "0800 0500 a9fe0063 0800 0700 0a000001",
        ),
        (
            routes.remove(Route(destination="10.0.1.6/32", link="vx0", via="240.0.0.2"), 7),
            25,
            0,
            "02 20 00 00 00 53 ff 01 00000000"  # any scope
            "0800 0f00 fe000000 0800 0100 0a000106 0800 0400 07000000",
        ),
        (
            neighbours.put(Neighbour(link="vx0", address="240.0.0.2", mac="02:53:57:00:00:02"), 7),
            28,
            0x500,
            "02 000000 07000000 8000 00 00 0800 0100 f0000002 0a00 0200 025357000002 0000",
        ),
        (
            neighbours.put_forward(
                Forward(link="vx0", mac="02:53:57:00:00:02", vtep="192.168.77.2"), 7
            ),
            28,
            0x500,
            "07 000000 07000000 8000 02 00 0a00 0200 025357000002 0000 0800 0100 c0a84d02",
        ),
        (
            rules.put(Rule(mark=2, table=100, priority=1000)),
            32,
            0x600,
            "02 00 00 00 00 00 00 01 00000000"
            "0800 0600 e8030000 0800 0a00 02000000 0800 1000 ffffffff 0800 0f00 64000000"
            "0500 1500 53 000000",
        ),
    ],
)
def test_messages_are_laid_out_as_the_headers_say(
    made: tuple[int, int, bytes], kind: int, flags: int, golden: str
) -> None:
    assert made == (kind, flags, bytes.fromhex(golden))


@given(
    st.builds(
        Route,
        destination=prefixes(),
        link=st.just("vx0"),
        via=ADDRESSES | st.just(""),
        is_onlink=st.booleans(),
        source=ADDRESSES | st.just(""),
        table=st.integers(1, 2**32 - 1),
        metric=st.integers(0, 1000),
        scope=st.sampled_from([None, *Scope]),
        kind=st.sampled_from([RouteKind.UNICAST, RouteKind.LOCAL]),
    )
)
def test_law_routes_are_read_as_they_were_written(route: Route) -> None:
    assert routes.decode(routes.put(route, 7).body, NAMES) == completed(route)


@given(st.builds(Neighbour, link=st.just("vx0"), address=ADDRESSES, mac=MACS))
def test_law_neighbours_are_read_as_they_were_written(neighbour: Neighbour) -> None:
    assert neighbours.decode(neighbours.put(neighbour, 7).body, NAMES) == neighbour


@given(st.builds(Forward, link=st.just("vx0"), mac=MACS, vtep=ADDRESSES))
def test_law_forwards_are_read_as_they_were_written(forward: Forward) -> None:
    assert neighbours.decode_forward(neighbours.put_forward(forward, 7).body, NAMES) == forward


@given(
    st.builds(
        Rule,
        mark=st.integers(0, 2**32 - 1),
        mask=st.integers(0, 2**32 - 1),
        table=st.integers(1, 2**32 - 1),
        priority=st.integers(0, 2**32 - 1),
        is_ipv6=st.booleans(),
    )
)
def test_law_rules_are_read_as_they_were_written(rule: Rule) -> None:
    assert rules.decode(rules.put(rule).body) == rule


@given(
    st.builds(
        Address,
        link=st.just("vx0"),
        address=interfaces(),
        has_prefix_route=st.booleans(),
        on_link_only=st.booleans(),
    )
    .filter(lambda made: made.address not in {"127.0.0.1/8", "::1/128"})
    .filter(lambda made: ":" not in made.address or not made.on_link_only)
)
def test_law_addresses_are_read_as_they_were_written(address: Address) -> None:
    assert addresses.decode(addresses.put(address, 7).body, NAMES) == address


def test_what_the_kernel_gave_a_link_by_itself_is_not_read() -> None:
    given_by_kernel = addresses.put(Address(link="vx0", address="10.0.1.5/24"), 7).body + u8(11, 3)
    link_local = addresses.remove(Address(link="vx0", address="fe80::1/64"), 7).body
    loopback = addresses.put(Address(link="lo", address="127.0.0.1/8"), 1).body

    found = [addresses.decode(body, NAMES) for body in (given_by_kernel, link_local, loopback)]

    assert found == [None, None, None]


def test_a_neighbour_that_was_asked_for_is_the_kernels_own() -> None:
    permanent = neighbours.put(Neighbour(link="vx0", address="240.0.0.2", mac=""), 7).body
    reachable = permanent[:8] + b"\x02\x00" + permanent[10:]

    assert neighbours.decode(reachable, NAMES) is None


def test_a_rule_by_more_than_a_mark_is_not_read() -> None:
    body = rules.put(Rule(mark=2, table=100, priority=1000)).body

    assert rules.decode(body + bytes.fromhex("0700 0300 6c6f00 00")) is None  # FRA_IIFNAME
    assert rules.decode(body[:1] + b"\x20" + body[2:]) is None  # a destination prefix
    assert rules.decode(body[:12]) is None  # no mark


def test_broadcast_routes_are_the_kernels_own() -> None:
    body = routes.get_all(socket.AF_INET, None).body

    assert routes.decode(body[:7] + b"\x03" + body[8:], NAMES) is None


def test_a_dead_end_has_no_link_though_ipv6_reports_one() -> None:
    route = Route(destination="fd00::/64", kind=RouteKind.UNREACHABLE)

    assert routes.decode(routes.put(route, 1).body, {1: "lo"}.__getitem__) == completed(route)


def test_the_default_metric_of_ipv6_is_none() -> None:
    route = Route(destination="fd00::/64", link="vx0", metric=1024)

    read = routes.decode(routes.put(route, 7).body, NAMES)

    assert read is not None
    assert read.metric == 0
