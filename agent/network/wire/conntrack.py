"""Read the connections that are tracked, and forget some.

Only TCP, UDP and SCTP, which is what is balanced. The kernel can be asked for those that one IPv4
address answers. One before 5.8 reports all the same, so whoever asks looks again; of IPv6 even
6.18 reports just those that do not match (`ctnetlink_filter_match_tuple` takes what
`ipv6_addr_cmp` says the wrong way round), so all of the family are asked for. Connections are
forgotten one by one: the kernel can do many at once, but where it does not know the filter it
forgets every connection of the host. Sources: linux/netfilter/nfnetlink_conntrack.h,
linux/netfilter/nf_conntrack_common.h, linux/netfilter/nf_conntrack_tcp.h.
"""

import socket
import struct
from typing import Final

from agent.network.fields import PROTOCOLS
from agent.network.kernel import Flow
from agent.network.wire.attributes import (
    attribute,
    be16,
    decoded,
    family_of,
    nested,
    packed,
    to_address,
    to_be,
    u8,
    u32,
)
from agent.network.wire.messages import DUMP, Request

_SUBSYSTEM: Final = 1  # NFNL_SUBSYS_CTNETLINK
_GET, _DELETE = 1, 2
_HEAD: Final = struct.Struct(">BBH")  # struct nfgenmsg

_ORIGINAL, _REPLY, _STATUS, _PROTOCOL_STATE, _MARK, _ZONE, _FILTER = 1, 2, 3, 4, 8, 18, 25
_ADDRESSES, _PROTOCOL, _OF_DIRECTION = 1, 2, 3  # CTA_TUPLE_*
# CTA_IP_V4_SRC and so on
_SOURCE: Final[dict[int, int]] = {socket.AF_INET: 1, socket.AF_INET6: 3}
_DESTINATION: Final[dict[int, int]] = {socket.AF_INET: 2, socket.AF_INET6: 4}
_NUMBER, _SOURCE_PORT, _DESTINATION_PORT = 1, 2, 3  # CTA_PROTO_*
_TCP, _TCP_STATE = 1, 1
_HANDSHAKE: Final = {1, 2, 9}  # TCP_CONNTRACK_SYN_SENT, _SYN_RECV, _SYN_SENT2
_SEEN_REPLY: Final = 1 << 1  # IPS_SEEN_REPLY
_ASSURED: Final = 1 << 2  # IPS_ASSURED
_FILTER_REPLY: Final = 2  # CTA_FILTER_REPLY_FLAGS
_BY_SOURCE: Final = 1  # its bit for CTA_IP_SRC
_WITH_PORTS: Final = {PROTOCOLS[name] for name in ("tcp", "udp", "sctp")}


def get(backend: str) -> Request:
    """Read the connections that `backend` answers, and perhaps others."""
    everything = get_all(family_of(backend))
    if family_of(backend) == socket.AF_INET6:
        return everything
    source = attribute(_SOURCE[socket.AF_INET], packed(backend))
    only = nested(_FILTER, u32(_FILTER_REPLY, _BY_SOURCE))
    body = everything.body + nested(_REPLY, nested(_ADDRESSES, source)) + only
    return everything._replace(body=body)


def get_all(family: int) -> Request:
    """Read all connections of a family, AF_UNSPEC of both."""
    return Request(_SUBSYSTEM << 8 | _GET, DUMP, _HEAD.pack(family, 0, 0))


def forget(flow: Flow) -> Request:
    """Stop tracking a connection. Its next packet is one of a new one, and balanced anew.

    It is named by its answers: a client that used its port once more since the connection was read
    has another one with the same first packet, and another backend.
    """
    family = family_of(flow.reply_source)
    addresses = nested(
        _ADDRESSES,
        attribute(_SOURCE[family], packed(flow.reply_source)),
        attribute(_DESTINATION[family], packed(flow.reply_destination)),
    )
    protocol = nested(
        _PROTOCOL,
        u8(_NUMBER, flow.protocol),
        be16(_SOURCE_PORT, flow.reply_source_port),
        be16(_DESTINATION_PORT, flow.reply_destination_port),
    )
    zone = be16(_ZONE, flow.zone) if flow.zone else b""
    body = _HEAD.pack(family, 0, 0) + nested(_REPLY, addresses, protocol) + zone
    return Request(_SUBSYSTEM << 8 | _DELETE, 0, body)


def decode(body: bytes) -> Flow | None:
    """A connection, None for one of another protocol."""
    found = decoded(body, _HEAD.size)
    original, reply = decoded(found[_ORIGINAL]), decoded(found[_REPLY])
    protocol, source_port, destination_port = _ports(original[_PROTOCOL])
    if protocol not in _WITH_PORTS:
        return None
    source, destination = _both(original[_ADDRESSES])
    reply_source, reply_destination = _both(reply[_ADDRESSES])
    _, reply_source_port, reply_destination_port = _ports(reply[_PROTOCOL])
    status = to_be(found.get(_STATUS, b""))
    return Flow(
        protocol=protocol,
        source=source,
        destination=destination,
        source_port=source_port,
        destination_port=destination_port,
        reply_source=reply_source,
        reply_destination=reply_destination,
        reply_source_port=reply_source_port,
        reply_destination_port=reply_destination_port,
        is_answered=bool(status & _SEEN_REPLY),
        is_established=_is_established(found, status),
        mark=to_be(found.get(_MARK, b"")),
        zone=to_be(found.get(_ZONE, b"")),
        original_zone=to_be(original.get(_OF_DIRECTION, b"")),
    )


def _is_established(found: dict[int, bytes], status: int) -> bool:
    """TCP after its handshake; others once they went on for a while."""
    state = decoded(found.get(_PROTOCOL_STATE, b""))
    if _TCP in state:
        return to_be(decoded(state[_TCP])[_TCP_STATE]) not in _HANDSHAKE
    return bool(status & _ASSURED)


def _both(addresses: bytes) -> tuple[str, str]:
    found = decoded(addresses)
    family = socket.AF_INET if _SOURCE[socket.AF_INET] in found else socket.AF_INET6
    return to_address(found[_SOURCE[family]]), to_address(found[_DESTINATION[family]])


def _ports(protocol: bytes) -> tuple[int, int, int]:
    found = decoded(protocol)
    source, destination = (found.get(each, b"") for each in (_SOURCE_PORT, _DESTINATION_PORT))
    return to_be(found[_NUMBER]), to_be(source), to_be(destination)
