"""Write the host's nftables table: rules that never change, and sets that say all that does.

Ports, addresses and links are elements, put one by one; the rules are loaded once, as text, and
only looked at again when another version of swarmd wrote others. Nothing here is matched by a
mark: marks of the host's packets belong to whoever routes by them, so a connection's slot travels
in `meta priority`, which forwarding overwrites and our links do not look at.

The order in which packets pass is: what comes by our links with a loopback address, or as VXLAN
from a stranger, is dropped before connections are tracked. What is for an address of this host
and a published port is led to a slot's owner, or refused where nobody answers. Then `forward` has
the last word about our links: out, back, and what was led.
"""

import re
from collections.abc import Iterator
from hashlib import sha256
from typing import Final

from msgspec import Struct

from agent.network import fields
from agent.network.kernel import Element, Set, Table
from agent.network.slots import CLASSES
from agent.network.wire.attributes import to_address

TABLE: Final = Table("swarm")

PORTS: Final = Set(TABLE, "ports")
PORTS4: Final = Set(TABLE, "ports4")
PORTS6: Final = Set(TABLE, "ports6")
SLOTS4: Final = Set(TABLE, "slots4")
SLOTS6: Final = Set(TABLE, "slots6")
SLOTS_AT4: Final = Set(TABLE, "slots_at4")
SLOTS_AT6: Final = Set(TABLE, "slots_at6")
OPENED: Final = Set(TABLE, "opened")
REFUSED: Final = Set(TABLE, "refused")
UPLINKS: Final = Set(TABLE, "uplinks")
STRAYS: Final = Set(TABLE, "strays")
TUNNELS: Final = Set(TABLE, "tunnels")
STRANGERS: Final = Set(TABLE, "strangers")
NETWORKS: Final = Set(TABLE, "networks")
ENCRYPTED: Final = Set(TABLE, "encrypted")
PEERS4: Final = Set(TABLE, "peers4")
PEERS6: Final = Set(TABLE, "peers6")
REVISION: Final = Set(TABLE, "revision")

# The last of the text is what has to be said of the set besides its type.
_TYPES: Final[dict[Set, str]] = {
    PORTS: "type inet_proto . inet_service : verdict",
    PORTS4: "type ipv4_addr . inet_proto . inet_service : verdict",
    PORTS6: "type ipv6_addr . inet_proto . inet_service : verdict",
    SLOTS4: "type inet_proto . inet_service . classid : ipv4_addr . inet_service",
    SLOTS6: "type inet_proto . inet_service . classid : ipv6_addr . inet_service",
    SLOTS_AT4: "type ipv4_addr . inet_proto . inet_service . classid : ipv4_addr . inet_service",
    SLOTS_AT6: "type ipv6_addr . inet_proto . inet_service . classid : ipv6_addr . inet_service",
    OPENED: "type inet_proto . inet_service; counter",
    REFUSED: "type inet_proto . inet_service; counter",
    UPLINKS: "type ifname",
    STRAYS: "type ifname; counter",
    TUNNELS: "type inet_service",
    STRANGERS: "type inet_service; counter",
    NETWORKS: "typeof @th,96,24",
    ENCRYPTED: "typeof @th,96,24",
    PEERS4: "type ipv4_addr",
    PEERS6: "type ipv6_addr",
}
SETS: Final = tuple(_TYPES)

_RULES: Final = """\
    chain arriving {
        type filter hook prerouting priority raw; policy accept;
        iifname @uplinks ip saddr 127.0.0.0/8 drop
        iifname @uplinks ip daddr 127.0.0.0/8 drop
        udp dport @tunnels @th,96,24 @networks goto tunnel
    }
    chain leaving {
        type filter hook output priority raw; policy accept;
        udp dport @tunnels @th,96,24 @networks notrack
    }
    chain tunnel {
        @th,96,24 @encrypted goto strange
        ip saddr @peers4 notrack accept
        ip6 saddr @peers6 notrack accept
        goto strange
    }
    chain strange {
        udp dport @strangers drop
        drop
    }
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local meta l4proto { tcp, udp, sctp } jump published
    }
    chain output {
        type nat hook output priority -100; policy accept;
        fib daddr type local meta l4proto { tcp, udp, sctp } jump published
    }
    chain published {
        meta l4proto . th dport @opened
        ip daddr . meta l4proto . th dport vmap @ports4
        ip6 daddr . meta l4proto . th dport vmap @ports6
        meta l4proto . th dport vmap @ports
    }
    chain refuse {
        meta l4proto . th dport @refused
        meta l4proto tcp reject with tcp reset
        reject
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname @uplinks ip saddr 127.0.0.0/8 masquerade
        oifname @uplinks ip6 saddr ::1 masquerade
        iifname @uplinks oifname != @uplinks masquerade
        iifname @uplinks ct status dnat masquerade
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        iifname @uplinks goto from_network
        oifname @uplinks goto to_network
    }
    chain from_network {
        ct state established,related accept
        oifname @uplinks goto to_network
        ct state invalid drop
        accept
    }
    chain to_network {
        ct state established,related accept
        ct status dnat accept
        oifname @strays drop
        drop
    }
"""

# A connection that conntrack forgot after days of silence finds its endpoint again.
_SEED: Final = 0x53574D44

_CLASS: Final = """\
    chain {name} {{
        meta priority set jhash ip saddr . th sport mod {slots} seed {seed}
        dnat ip to {before4}meta l4proto . th dport . meta priority map @{map4}
        meta priority set jhash ip6 saddr . th sport mod {slots} seed {seed}
        dnat ip6 to {before6}meta l4proto . th dport . meta priority map @{map6}
        goto refuse
    }}
"""


_UPLINK: Final = re.compile("sw-[0-9a-f]{8}")


class Key(Struct, frozen=True, order=True):
    """What clients ask for: a port of one address of the host, or of all (`ip` is empty)."""

    protocol: str
    port: int
    ip: str = ""

    def __str__(self) -> str:
        address = f"[{self.ip}]" if ":" in self.ip else self.ip
        return f"{address}{':' * bool(address)}{self.port}/{self.protocol}"


def text() -> str:
    """The table as nft reads it. Loading it keeps the elements of sets that are there."""
    sets = "".join(f"    {_kind(of)} {of.name} {{ {_TYPES[of]}; }}\n" for of in SETS)
    rules = _RULES + "".join(_classes())
    name = f"table inet {TABLE.name}"
    declared = f"{name} {{\n{sets}    set {REVISION.name} {{ type mark; }}\n}}\n"
    cleared = f"flush {name}\nflush set inet {TABLE.name} {REVISION.name}\n"
    number = int.from_bytes(sha256((sets + rules).encode()).digest()[:4], "big")
    made = f"{name} {{\n{rules}}}\n"
    return f"{declared}{cleared}{made}add element inet {TABLE.name} revision {{ {number} }}\n"


def revision(rules: str) -> Element:
    """What is in the kernel where `rules`, a `text()`, were loaded as they are."""
    number = int(rules.rsplit("{", 1)[1].rstrip("}\n "))
    return Element(of=REVISION, key=fields.mark(number))


def port_element(key: Key, slots: int) -> Element:
    """Lead connections to a port by `slots`."""
    chain = f"share{slots}" + "_at" * bool(key.ip)
    of = PORTS if not key.ip else PORTS6 if ":" in key.ip else PORTS4
    return Element(of=of, key=fields.joined(*_asked(key)), data=fields.goto(chain))


def slot_element(key: Key, slot: int, address: str, target: int) -> Element | None:
    """Give a slot to `target` of `address`; None where the family is not that of the port's IP."""
    is_ipv6 = ":" in address
    if key.ip and is_ipv6 != (":" in key.ip):
        return None
    wide, exact = (SLOTS6, SLOTS_AT6) if is_ipv6 else (SLOTS4, SLOTS_AT4)
    return Element(
        of=exact if key.ip else wide,
        key=fields.joined(*_asked(key), fields.mark(slot)),
        data=fields.joined(fields.address(address), fields.port(target)),
    )


def count_elements(protocol: str, port: int) -> tuple[Element, Element]:
    """Count the connections that are opened to a port, and those that nobody answered."""
    key = count_key(protocol, port)
    return Element(of=OPENED, key=key), Element(of=REFUSED, key=key)


def count_key(protocol: str, port: int) -> bytes:
    """How `OPENED` and `REFUSED` call a port."""
    return fields.joined(fields.protocol(protocol), fields.port(port))


def uplink_elements(link: str) -> tuple[Element, Element]:
    """Treat a link as a network's; count what is dropped before it."""
    return Element(of=UPLINKS, key=fields.link(link)), Element(of=STRAYS, key=fields.link(link))


def tunnel_elements(port: int) -> tuple[Element, Element]:
    """Guard the port of VXLAN; count what strangers sent there."""
    return Element(of=TUNNELS, key=fields.port(port)), Element(of=STRANGERS, key=fields.port(port))


def network_elements(vni: int, *, is_encrypted: bool) -> tuple[Element, ...]:
    """A network of ours that has a tunnel."""
    key = vni.to_bytes(3, "big")
    plain = Element(of=NETWORKS, key=key)
    return (plain, Element(of=ENCRYPTED, key=key)) if is_encrypted else (plain,)


def peer_element(address: str) -> Element:
    """A node that may send to our tunnels."""
    return Element(of=PEERS6 if ":" in address else PEERS4, key=fields.address(address))


def is_uplink(link: str) -> bool:
    """Whether a link is a router's, by the name that `addressing.host_link` gives."""
    return _UPLINK.fullmatch(link) is not None


def port_of(element: Element) -> Key | None:
    """Which port an element of the three maps of ports is about."""
    sizes = {PORTS: 0, PORTS4: 4, PORTS6: 16}
    if element.of not in sizes:
        return None
    size = sizes[element.of]
    ip, protocol, port = element.key[:size], element.key[size], element.key[size + 4 : size + 6]
    name = next((name for name, number in fields.PROTOCOLS.items() if number == protocol), "")
    return Key(name, int.from_bytes(port, "big"), to_address(ip) if ip else "")


def _asked(key: Key) -> tuple[bytes, ...]:
    port = (fields.protocol(key.protocol), fields.port(key.port))
    return (fields.address(key.ip), *port) if key.ip else port


def _kind(of: Set) -> str:
    return "map" if ":" in _TYPES[of] else "set"


def _classes() -> Iterator[str]:
    for slots in CLASSES:
        yield _CLASS.format(
            name=f"share{slots}", slots=slots, seed=_SEED, before4="", before6="",
            map4="slots4", map6="slots6",
        )  # fmt: skip
        yield _CLASS.format(
            name=f"share{slots}_at", slots=slots, seed=_SEED, before4="ip daddr . ",
            before6="ip6 daddr . ", map4="slots_at4", map6="slots_at6",
        )  # fmt: skip
