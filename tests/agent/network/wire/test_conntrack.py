"""Tracked connections as linux/netfilter/nfnetlink_conntrack.h lays them out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.kernel import Flow
from agent.network.wire import conntrack
from agent.network.wire.attributes import attribute, be16, be32, nested, packed, u8

PORTS = st.integers(0, 65535)


def ends(
    kind: int, source: str, destination: str, *ports: int, protocol: int = 6, zone: int = 0
) -> bytes:
    source_kind, destination_kind = (3, 4) if ":" in source else (1, 2)
    numbers = [be16(2, ports[0]), be16(3, ports[1])] if ports else []
    return nested(
        kind,
        nested(
            1,
            attribute(source_kind, packed(source)),
            attribute(destination_kind, packed(destination)),
        ),
        nested(2, u8(1, protocol), *numbers),
        be16(3, zone) if zone else b"",
    )


def reported(state: int, status: int, *, protocol: int = 6) -> bytes:
    """A connection from 10.0.1.10:4000 to the virtual address 10.0.1.5:80, answered elsewhere."""
    return b"".join(
        (
            bytes((2, 0, 0, 0)),
            ends(1, "10.0.1.10", "10.0.1.5", 4000, 80, protocol=protocol),
            ends(2, "10.0.1.20", "10.0.1.10", 80, 4000, protocol=protocol),
            be32(3, status),
            nested(4, nested(1, u8(1, state))) if protocol == 6 else b"",
            be32(8, 9),
            be16(18, 4),
        )
    )


def test_connections_are_asked_for_by_who_answers() -> None:
    request = conntrack.get("10.0.1.20")

    assert (request.kind, request.flags) == (0x101, 0x300)
    assert request.body == bytes.fromhex(
        "02 00 0000"
        "1000 0280 0c00 0180 0800 0100 0a000114"  # CTA_TUPLE_REPLY, CTA_TUPLE_IP, CTA_IP_V4_SRC
        "0c00 1980 0800 0200 01000000"  # CTA_FILTER, CTA_FILTER_REPLY_FLAGS
    )


def test_a_connection_is_forgotten_by_its_answers() -> None:
    flow = Flow(
        protocol=17, source="10.0.1.10", destination="10.0.1.5", reply_source="10.0.1.20",
        reply_destination="10.0.1.10", reply_source_port=53, reply_destination_port=4000, zone=4,
    )  # fmt: skip

    assert conntrack.forget(flow) == (
        0x102,
        0,
        bytes.fromhex(
            "02 00 0000 3400 0280"
            "1400 0180 0800 0100 0a000114 0800 0200 0a00010a"
            "1c00 0280 0500 0100 11 000000 0600 0200 0035 0000 0600 0300 0fa0 0000"
            "0600 1200 0004 0000"
        ),
    )


@pytest.mark.parametrize(
    ("state", "is_established"),
    [(1, False), (2, False), (3, True), (4, True), (7, True), (9, False)],
)
def test_tcp_is_established_after_its_handshake(state: int, is_established: bool) -> None:
    flow = conntrack.decode(reported(state, 0x2))

    assert flow == Flow(
        protocol=6, source="10.0.1.10", destination="10.0.1.5", source_port=4000,
        destination_port=80, reply_source="10.0.1.20", reply_destination="10.0.1.10",
        reply_source_port=80, reply_destination_port=4000, is_answered=True,
        is_established=is_established, mark=9, zone=4,
    )  # fmt: skip


@pytest.mark.parametrize(("status", "is_established"), [(0x2, False), (0x6, True)])
def test_udp_is_established_once_it_went_on(status: int, is_established: bool) -> None:
    flow = conntrack.decode(reported(0, status, protocol=17))

    assert flow is not None
    assert flow.is_established is is_established


def test_other_protocols_are_not_balanced() -> None:
    body = bytes((2, 0, 0, 0)) + ends(1, "1.1.1.1", "1.1.1.2", protocol=1)

    assert conntrack.decode(body + ends(2, "1.1.1.2", "1.1.1.1", protocol=1)) is None


def test_of_ipv6_all_connections_are_asked_for() -> None:
    assert conntrack.get("fd00::20").body == bytes.fromhex("0a 00 0000")


@given(st.ip_addresses(v=6).map(str), st.ip_addresses(v=6).map(str), PORTS, PORTS, PORTS)
def test_law_what_is_forgotten_is_what_was_read(
    source: str, destination: str, source_port: int, destination_port: int, zone: int
) -> None:
    ports = source_port, destination_port
    head = bytes((10, 0, 0, 0))
    asked = ends(1, source, destination, *ports, protocol=132, zone=zone)
    answered = ends(2, destination, source, *reversed(ports), protocol=132)

    flow = conntrack.decode(head + asked + answered)

    assert flow is not None
    assert flow.original_zone == zone
    assert conntrack.forget(flow).body == head + answered
