"""Set and read WireGuard links and their peers.

Each message says one thing: how a link speaks, or one peer (whose allowed prefixes it replaces), so
no list grows beyond what an attribute can hold. A read is in several messages where there are
many peers, and a peer with many prefixes goes on in the next. Source: linux/wireguard.h.
"""

import socket
import struct
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from agent.network.kernel import Tunnel, TunnelActivity, TunnelPeer
from agent.network.wire import generic
from agent.network.wire.attributes import (
    attribute,
    decoded,
    family_of,
    listed,
    nested,
    packed,
    split_prefix,
    text,
    to_address,
    to_be,
    to_number,
    to_text,
    u8,
    u16,
    u32,
)
from agent.network.wire.messages import DUMP, Request

FAMILY: Final = "wireguard"

_VERSION: Final = 1
_GET_DEVICE, _SET_DEVICE = 0, 1
_NAME, _PRIVATE_KEY, _PORT, _MARK, _PEERS = 2, 3, 6, 7, 8  # WGDEVICE_A_*
_PUBLIC_KEY, _PRESHARED_KEY, _PEER_FLAGS, _ENDPOINT, _KEEPALIVE = 1, 2, 3, 4, 5  # WGPEER_A_*
_HANDSHAKE, _RECEIVED, _SENT, _ALLOWED = 6, 7, 8, 9
_FAMILY, _ADDRESS, _LENGTH = 1, 2, 3  # WGALLOWEDIP_A_*
_REMOVE, _REPLACE_ALLOWED, _UPDATE_ONLY = 1, 2, 4  # WGPEER_F_*
_ITEM: Final = 0
_KEY_BYTES: Final = 32
_NO_KEY: Final = bytes(_KEY_BYTES)
_ADDRESS_FAMILY: Final = struct.Struct("=H")  # sa_family_t
_TIME: Final = struct.Struct("=qq")  # struct __kernel_timespec


def put(value: Tunnel, family: int) -> Request:
    """Have the link speak so; its peers stay."""
    key = attribute(_PRIVATE_KEY, value.private_key)
    return _set(family, value.link, key, u16(_PORT, value.port), u32(_MARK, value.mark))


def remove(value: Tunnel, family: int) -> Request:
    """Have the link speak with nobody."""
    return _set(family, value.link, attribute(_PRIVATE_KEY, _NO_KEY))


def put_peer(value: TunnelPeer, family: int) -> Request:
    """Have the link know the peer, with these allowed prefixes and no others."""
    allowed = nested(_ALLOWED, *map(_allowed, value.allowed))
    return _set_peer(value, family, _REPLACE_ALLOWED, allowed)


def refresh_peer(value: TunnelPeer, family: int) -> Request:
    """Have a peer that the link knows be so, but for its prefixes: those stay what they are.

    To replace prefixes, even by the same, is to be without them for a moment, and packets with
    them. The link goes on without a peer that it does not know.
    """
    return _set_peer(value, family, _UPDATE_ONLY)


def remove_peer(value: TunnelPeer, family: int) -> Request:
    """Have the link forget the peer, which it need not know."""
    flags = u32(_PEER_FLAGS, _REMOVE | _UPDATE_ONLY)
    peer = nested(_ITEM, attribute(_PUBLIC_KEY, value.public_key), flags)
    return _set(family, value.link, nested(_PEERS, peer))


def get(link: str, family: int) -> Request:
    """Read a link and its peers."""
    head = generic.HEAD.pack(_GET_DEVICE, _VERSION, 0)
    return Request(family, DUMP, head + text(_NAME, link))


def decode(bodies: Iterable[bytes]) -> tuple[Tunnel, tuple[TunnelPeer, ...]]:
    """The messages of one read; the first alone says how the link speaks."""
    link: dict[int, bytes] = {}
    peers: dict[bytes, TunnelPeer] = {}
    for body in bodies:
        found = decoded(body, generic.HEAD.size)
        link = {**found, **link}
        name = to_text(found[_NAME])
        for _, item in listed(found.get(_PEERS, b"")):
            peer = _decode_peer(name, decoded(item))
            known = peers.get(peer.public_key)
            if known is not None:
                peer = replace(known, allowed=known.allowed + peer.allowed)
            peers[peer.public_key] = peer
    tunnel = Tunnel(
        link=to_text(link[_NAME]),
        private_key=_decode_key(link.get(_PRIVATE_KEY, b"")),
        port=to_number(link.get(_PORT, b"")),
        mark=to_number(link.get(_MARK, b"")),
    )
    return tunnel, tuple(peers.values())


def decode_activity(bodies: Iterable[bytes]) -> dict[bytes, TunnelActivity]:
    """What the same messages count of each peer, by public key."""
    found: dict[bytes, TunnelActivity] = {}
    for body in bodies:
        for _, item in listed(decoded(body, generic.HEAD.size).get(_PEERS, b"")):
            peer = decoded(item)
            if _HANDSHAKE in peer:  # else it is the rest of a peer's prefixes
                seconds, nanoseconds = _TIME.unpack(peer[_HANDSHAKE])
                found[peer[_PUBLIC_KEY]] = TunnelActivity(
                    handshake_at=seconds + nanoseconds / 1e9,
                    sent_bytes=to_number(peer[_SENT]),
                    received_bytes=to_number(peer[_RECEIVED]),
                )
    return found


def _set_peer(value: TunnelPeer, family: int, flags: int, *more: bytes) -> Request:
    parts = [
        attribute(_PUBLIC_KEY, value.public_key),
        u32(_PEER_FLAGS, flags),
        attribute(_PRESHARED_KEY, value.preshared_key or _NO_KEY),
        u16(_KEEPALIVE, value.keepalive_s),
        *more,
    ]
    if value.endpoint:
        parts.append(attribute(_ENDPOINT, _endpoint(value.endpoint, value.endpoint_port)))
    return _set(family, value.link, nested(_PEERS, nested(_ITEM, *parts)))


def _set(family: int, link: str, *attributes: bytes) -> Request:
    head = generic.HEAD.pack(_SET_DEVICE, _VERSION, 0)
    return Request(family, 0, head + text(_NAME, link) + b"".join(attributes))


def _allowed(prefix: str) -> bytes:
    address, length = split_prefix(prefix)
    family = u16(_FAMILY, family_of(prefix))
    return nested(_ITEM, family, attribute(_ADDRESS, address), u8(_LENGTH, length))


def _endpoint(address: str, port: int) -> bytes:
    """A struct sockaddr_in or sockaddr_in6."""
    family = family_of(address)
    head = _ADDRESS_FAMILY.pack(family) + port.to_bytes(2, "big")
    if family == socket.AF_INET:
        return head + packed(address) + bytes(8)
    return head + bytes(4) + packed(address) + bytes(4)


def _decode_peer(link: str, found: dict[int, bytes]) -> TunnelPeer:
    endpoint = found.get(_ENDPOINT, b"")
    is_ipv4 = endpoint[:2] == _ADDRESS_FAMILY.pack(socket.AF_INET)
    address = endpoint[4:8] if is_ipv4 else endpoint[8:24]
    return TunnelPeer(
        link=link,
        public_key=found[_PUBLIC_KEY],
        preshared_key=_decode_key(found.get(_PRESHARED_KEY, b"")),
        endpoint=to_address(address) if endpoint else "",
        endpoint_port=to_be(endpoint[2:4]),
        allowed=tuple(_decode_allowed(item) for _, item in listed(found.get(_ALLOWED, b""))),
        keepalive_s=to_number(found.get(_KEEPALIVE, b"")),
    )


def _decode_allowed(item: bytes) -> str:
    found = decoded(item)
    return f"{to_address(found[_ADDRESS])}/{to_number(found[_LENGTH])}"


def _decode_key(key: bytes) -> bytes:
    """Empty for the zeros that stand for none."""
    return b"" if key == _NO_KEY else key
