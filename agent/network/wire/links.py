"""Make, change, remove and read network devices.

A device is made by one message that says all of it: its options, its MAC and MTU, that it is up.
Only the other end of a pair cannot be up before the pair is made. A tunnel with its socket in
another namespace is made from there into its own (`IFLA_NET_NS_FD`), so that its name is never
taken elsewhere, not even for a moment. Sources: linux/rtnetlink.h, linux/if_link.h,
linux/veth.h, linux/net_namespace.h.
"""

import socket
import struct
from collections.abc import Mapping
from typing import Final

from agent.network.kernel import ELSEWHERE, HERE, AnyLink, Link, Veth, Vxlan
from agent.network.wire.attributes import (
    attribute,
    be16,
    decoded,
    family_of,
    nested,
    packed,
    packed_mac,
    text,
    to_address,
    to_be,
    to_mac,
    to_number,
    to_text,
    u8,
    u32,
)
from agent.network.wire.messages import CREATE, DUMP, EXCLUSIVE, Request

NEW_LINK: Final = 16
DELETE_LINK: Final = 17
GET_LINK: Final = 18
GET_NSID: Final = 90

_HEAD: Final = struct.Struct("=BxHiII")  # struct ifinfomsg
_UP: Final = 1  # IFF_UP

_ADDRESS, _NAME, _MTU, _LINK, _KIND_AND_OPTIONS = 1, 3, 4, 5, 18
_NETNS_FD, _EXT_MASK, _LINK_NETNSID = 28, 29, 37
_KIND, _OPTIONS = 1, 2
_SKIP_STATISTICS: Final = 8
_VXLAN_ID, _VXLAN_LOCAL, _VXLAN_LEARNING, _VXLAN_PORT, _VXLAN_LOCAL6 = 1, 4, 7, 15, 17
_VETH_PEER: Final = 1
_NSID, _NSID_FD = 1, 3
_UNKNOWN_NSID: Final = 0xFFFFFFFF


def create(link: AnyLink, *, home: int | None, peer: int | None) -> Request:
    """Make `link`, which must not be there.

    `home` is a descriptor of the namespace that it is made in, when the message is sent in
    another; `peer` likewise that of a pair's other end.
    """
    parts = [_head(0, is_up=link.is_up), *_settings(link)]
    if home is not None:
        parts.append(u32(_NETNS_FD, home))
    match link:
        case Link():
            parts.append(nested(_KIND_AND_OPTIONS, text(_KIND, link.kind)))
        case Veth():
            options = nested(_OPTIONS, nested(_VETH_PEER, _other_end(link, peer)))
            parts.append(nested(_KIND_AND_OPTIONS, text(_KIND, "veth"), options))
        case Vxlan():
            options = nested(_OPTIONS, *_vxlan_options(link))
            parts.append(nested(_KIND_AND_OPTIONS, text(_KIND, "vxlan"), options))
    return Request(NEW_LINK, CREATE | EXCLUSIVE, b"".join(parts))


def change(link: AnyLink) -> Request:
    """Set MAC, MTU and state of a link that is there."""
    return Request(NEW_LINK, 0, b"".join((_head(0, is_up=link.is_up), *_settings(link))))


def delete(name: str) -> Request:
    """Remove a link, and with a pair its other end."""
    return Request(DELETE_LINK, 0, _head(0) + text(_NAME, name))


def get(name: str) -> Request:
    """Read one link."""
    return Request(GET_LINK, 0, _head(0) + text(_NAME, name) + u32(_EXT_MASK, _SKIP_STATISTICS))


def get_all() -> Request:
    """Read all links."""
    return Request(GET_LINK, DUMP, _head(0) + u32(_EXT_MASK, _SKIP_STATISTICS))


def get_nsid(netns: int) -> Request:
    """Ask by which number other messages refer to a namespace."""
    return Request(GET_NSID, 0, bytes((socket.AF_UNSPEC, 0, 0, 0)) + u32(_NSID_FD, netns))


def decode_nsid(body: bytes) -> int | None:
    """The number of a namespace, None when it has none yet and so no message refers to it."""
    number = to_number(decoded(body, 4).get(_NSID, b"\xff\xff\xff\xff"))
    return None if number == _UNKNOWN_NSID else number


def decode_index(body: bytes) -> tuple[int, str]:
    """The index of a link and its name."""
    return _HEAD.unpack_from(body)[2], to_text(decoded(body, _HEAD.size).get(_NAME, b""))


def decode(body: bytes, *, names: Mapping[int, str], labels: Mapping[int, str]) -> AnyLink:
    """A link, with the `names` of links by index and the `labels` of namespaces by number."""
    _, _, _, flags, _ = _HEAD.unpack_from(body)
    found = decoded(body, _HEAD.size)
    about = decoded(found.get(_KIND_AND_OPTIONS, b""))
    kind = to_text(about.get(_KIND, b""))
    name, is_up = to_text(found.get(_NAME, b"")), bool(flags & _UP)
    mac, mtu = to_mac(found.get(_ADDRESS, b"")), to_number(found.get(_MTU, b""))
    elsewhere = HERE
    if _LINK_NETNSID in found:
        elsewhere = labels.get(to_number(found[_LINK_NETNSID]), ELSEWHERE)
    if kind == "veth":
        peer = "" if elsewhere else names.get(to_number(found.get(_LINK, b"")), "")
        return Veth(name=name, peer=peer, peer_netns=elsewhere, mac=mac, mtu=mtu, is_up=is_up)
    if kind == "vxlan":
        options = decoded(about.get(_OPTIONS, b""))
        local = options.get(_VXLAN_LOCAL) or options.get(_VXLAN_LOCAL6)
        return Vxlan(
            name=name,
            vni=to_number(options.get(_VXLAN_ID, b"")),
            port=to_be(options.get(_VXLAN_PORT, b"")),
            local=to_address(local) if local else "",
            underlay=elsewhere,
            mac=mac,
            mtu=mtu,
            is_up=is_up,
        )
    return Link(name=name, kind=kind, mac=mac, mtu=mtu, is_up=is_up)


def _head(index: int, *, is_up: bool | None = None) -> bytes:
    flags, changed = (0, 0) if is_up is None else (_UP * is_up, _UP)
    return _HEAD.pack(socket.AF_UNSPEC, 0, index, flags, changed)


def _settings(link: AnyLink) -> list[bytes]:
    parts = [text(_NAME, link.name)]
    if link.mac:
        parts.append(attribute(_ADDRESS, packed_mac(link.mac)))
    if link.mtu:
        parts.append(u32(_MTU, link.mtu))
    return parts


def _other_end(pair: Veth, netns: int | None) -> bytes:
    """The nested message that describes a pair's other end. It cannot be up before the pair is."""
    settings = _settings(Link(name=pair.peer, mac=pair.peer_mac, mtu=pair.mtu))
    if netns is not None:
        settings.append(u32(_NETNS_FD, netns))
    return _head(0) + b"".join(settings)


def _vxlan_options(link: Vxlan) -> list[bytes]:
    is_ipv4 = family_of(link.local) == socket.AF_INET
    return [
        u32(_VXLAN_ID, link.vni),
        attribute(_VXLAN_LOCAL if is_ipv4 else _VXLAN_LOCAL6, packed(link.local)),
        be16(_VXLAN_PORT, link.port),
        u8(_VXLAN_LEARNING, 0),
    ]
