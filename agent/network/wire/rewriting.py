"""Have questions to 127.0.0.11:53 answered on other ports, without tracking connections.

A container may use port 53 itself, so its resolver listens elsewhere and packets are rewritten as
they leave a socket: the question at the priority `raw`, before conntrack sees it, the answer at
300, after. A container that tracks connections itself sees whole ones, to the other port. The
table is replaced whole, so doing it again is right. In the words of nft, for UDP:

    table ip swarm_dns {
        chain ask {
            type filter hook output priority raw
            ip daddr 127.0.0.11 udp dport 53 udp dport set PORT
        }
        chain answer {
            type filter hook output priority 300
            ip saddr 127.0.0.11 udp sport PORT udp sport set 53
        }
    }

Sources: linux/netfilter/nf_tables.h, linux/netfilter_ipv4.h.
"""

from typing import Final

from agent.network.fields import PROTOCOLS, address, port
from agent.network.kernel import Family, Table
from agent.network.wire.attributes import attribute, be32, nested, text
from agent.network.wire.messages import APPEND, CREATE, Request
from agent.network.wire.nftables import DELETE_TABLE, NEW_CHAIN, NEW_RULE, NEW_TABLE, message

TABLE: Final = Table("swarm_dns", Family.IPV4)
RESOLVER: Final = "127.0.0.11"

_DNS_PORT: Final = 53
_HOOK_OUTPUT: Final = 3  # NF_INET_LOCAL_OUT
_BEFORE_TRACKING, _AFTER_TRACKING = -300, 300
_REGISTER: Final = 1  # NFT_REG_1
_NETWORK, _TRANSPORT = 1, 2  # NFT_PAYLOAD_*_HEADER
_SOURCE, _DESTINATION = 12, 16  # in struct iphdr
_SOURCE_PORT, _DESTINATION_PORT = 0, 2  # in UDP's and TCP's
_CHECKSUM: Final = {"udp": 6, "tcp": 16}
_META_L4PROTO: Final = 16
_CSUM_INET: Final = 1


def redirect(udp_port: int, tcp_port: int) -> tuple[Request, ...]:
    """The transaction's messages; port 53 of the address leads to these ports after it."""
    ports = {"udp": udp_port, "tcp": tcp_port}
    name = text(1, TABLE.name)
    return (
        message(NEW_TABLE, TABLE.family, name, flags=CREATE),
        message(DELETE_TABLE, TABLE.family, name),
        message(NEW_TABLE, TABLE.family, name, flags=CREATE),
        _chain("ask", _BEFORE_TRACKING),
        _chain("answer", _AFTER_TRACKING),
        *(_ask(protocol, number) for protocol, number in ports.items()),
        *(_answer(protocol, number) for protocol, number in ports.items()),
    )


def _ask(protocol: str, number: int) -> Request:
    """Questions to the resolver go to its port."""
    return _rule(
        "ask",
        _load(_NETWORK, _DESTINATION, 4),
        _equals(address(RESOLVER)),
        *_change_port(protocol, _DESTINATION_PORT, _DNS_PORT, number),
    )


def _answer(protocol: str, number: int) -> Request:
    """Answers of the resolver come from where the question went."""
    return _rule(
        "answer",
        _load(_NETWORK, _SOURCE, 4),
        _equals(address(RESOLVER)),
        *_change_port(protocol, _SOURCE_PORT, number, _DNS_PORT),
    )


def _change_port(protocol: str, offset: int, before: int, after: int) -> tuple[bytes, ...]:
    return (
        _expression("meta", be32(1, _REGISTER), be32(2, _META_L4PROTO)),
        _equals(bytes((PROTOCOLS[protocol],))),
        _load(_TRANSPORT, offset, 2),
        _equals(port(before)),
        _expression("immediate", be32(1, _REGISTER), nested(2, attribute(1, port(after)))),
        _store(_TRANSPORT, offset, 2, checksum_at=_CHECKSUM[protocol]),
    )


def _chain(name: str, priority: int) -> Request:
    hook = nested(4, be32(1, _HOOK_OUTPUT), be32(2, priority))
    attributes = text(1, TABLE.name), text(3, name), hook, text(7, "filter")
    return message(NEW_CHAIN, TABLE.family, *attributes, flags=CREATE)


def _rule(chain: str, *expressions: bytes) -> Request:
    names = text(1, TABLE.name), text(2, chain)
    return message(NEW_RULE, TABLE.family, *names, nested(4, *expressions), flags=CREATE | APPEND)


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *attributes))


def _equals(value: bytes) -> bytes:
    return _expression("cmp", be32(1, _REGISTER), be32(2, 0), nested(3, attribute(1, value)))


def _load(header: int, offset: int, length: int) -> bytes:
    where = be32(2, header), be32(3, offset), be32(4, length)
    return _expression("payload", be32(1, _REGISTER), *where)


def _store(header: int, offset: int, length: int, *, checksum_at: int) -> bytes:
    """Write the register into the packet, and mend the checksum."""
    where = be32(2, header), be32(3, offset), be32(4, length), be32(5, _REGISTER)
    return _expression("payload", *where, be32(6, _CSUM_INET), be32(7, checksum_at), be32(8, 0))
