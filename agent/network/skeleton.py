"""Write the rules that every router has, and the settings of its namespace.

Rules never change with what is in a network: they look it up. Endpoints, services and peers are
elements of sets and maps, put and removed one by one, and a change of one costs the same in a
network of thousands. Loading the text again is one transaction that leaves elements as they are.

A connection to a virtual address is led to the owner of its slot. The hash has a fixed seed: a
connection that the kernel forgot after days of silence finds its endpoint again. An endpoint
that gets its own connection back sees the gateway as its source, or it would answer itself.

What leads to nobody is refused. Connections are by a reset: a socket that is still busy connecting
misses errors that come back at once. Others hear that the port is unreachable, since sockets make
light of any other error. The kernel's own, for routes that lead nowhere, are rationed.

In the ingress network clients have addresses of anywhere, and come in at any node. Answers must
go back there, because it translates them. So connections remember the node that they came
from; their answers are routed by that mark to the tunnel, and get the node's MAC address there.

A balancer before the nodes may spread connections of one client's port over them, and where they
meet at an endpoint nothing would tell them apart. So what comes by each node has a zone of its
own. All answers are in one zone: where they would clash there, the kernel changes the client's
port, as it does when it translates addresses. The client's address stays.
"""

from typing import Final

from agent.network.addressing import NODE_MARK, NODE_MARK_MASK, TUNNEL, is_ipv6
from agent.network.kernel import Family, Set, Table
from agent.network.slots import CLASSES

RULES: Final = Table("swarm")
WAY_OUT: Final = Table("swarm", Family.NETDEV)

VIPS: Final = {False: Set(RULES, "vips4"), True: Set(RULES, "vips6")}
SLOTS: Final = {False: Set(RULES, "slots4"), True: Set(RULES, "slots6")}
OWN: Final = {False: Set(RULES, "own4"), True: Set(RULES, "own6")}
"""By whether they are IPv6's."""

MARKS: Final = Set(RULES, "marks")
ZONES: Final = Set(RULES, "zones")
NODES: Final = Set(WAY_OUT, "nodes")

NOBODY: Final = "nobody"
"""The chain of a service whose endpoints are all gone or busy leaving."""

_NO_ERROR: Final = "127"
"""The types of ICMPv6 that are rationed; this one does not exist (RFC 4443, section 6.2)."""

_SEED: Final = 0x53574D44
_FAMILIES: Final = {False: ("ip", "ipv4_addr", 4), True: ("ip6", "ipv6_addr", 6)}


def class_chain(slots: int, *, ipv6: bool) -> str:
    """The chain that leads a connection to the owner of one of so many slots."""
    return f"slots{_FAMILIES[ipv6][2]}_{slots}"


def rules(gateways: tuple[str, ...], *, is_ingress: bool) -> str:
    """The ruleset of a router, to be loaded as often as one likes."""
    families = [_family(ipv6) for ipv6 in (False, True)]
    parts = [
        _again("inet"),
        "table inet swarm {",
        *families,
        *(_class(slots, ipv6) for slots in CLASSES for ipv6 in (False, True)),
        _GUARD,
        _NOBODY,
        _nat(gateways),
        _MARKING if is_ingress else "",
        "}",
        _EGRESS if is_ingress else "",
    ]
    return "\n".join(filter(None, parts))


def sysctls(*, has_ipv6: bool) -> dict[str, str]:
    """The settings of a router's namespace. Links that are made later take on `default`.

    Errors that tell a container that nobody is there are not rationed: it would wait instead.
    """
    ipv4 = {
        "ip_forward": "1",
        "icmp_ratemask": "0",
        "conf/all/rp_filter": "0",
        "conf/default/rp_filter": "0",
        "conf/all/accept_redirects": "0",
        "conf/default/accept_redirects": "0",
        "conf/all/send_redirects": "0",
        "conf/default/send_redirects": "0",
    }
    ipv6 = {
        "conf/default/disable_ipv6": "0" if has_ipv6 else "1",
        "conf/default/accept_dad": "0",
        "conf/default/accept_ra": "0",
        "conf/default/addr_gen_mode": "1",
        "conf/default/accept_redirects": "0",
        **({"conf/all/forwarding": "1", "icmp/ratemask": _NO_ERROR} if has_ipv6 else {}),
    }
    return {
        **{f"net/ipv4/{name}": value for name, value in ipv4.items()},
        **{f"net/ipv6/{name}": value for name, value in ipv6.items()},
    }


TRACKING: Final = {"net/netfilter/nf_conntrack_tcp_be_liberal": "1"}
"""Settings that are there once rules track connections.

What is out of a window's order is translated all the same: who else should know the sender?
"""


def container_sysctls(*, has_ipv6: bool) -> dict[str, str]:
    """The settings that a container's next interface takes on.

    Its addresses come from the network alone, and nobody else has them.
    """
    return {
        "net/ipv6/conf/default/disable_ipv6": "0" if has_ipv6 else "1",
        "net/ipv6/conf/default/accept_dad": "0",
        "net/ipv6/conf/default/accept_ra": "0",
        "net/ipv6/conf/default/addr_gen_mode": "1",
    }


def _again(family: str) -> str:
    """The table without its rules, whether it was there or not."""
    return f"table {family} swarm {{ }}\nflush table {family} swarm"


def _family(ipv6: bool) -> str:
    _, kind, number = _FAMILIES[ipv6]
    return f""" map vips{number} {{ type {kind} : verdict; counter; }}
 map slots{number} {{ type {kind} . mark : {kind}; }}
 set own{number} {{ type {kind} . {kind}; }}"""


def _class(slots: int, ipv6: bool) -> str:
    name, _, number = _FAMILIES[ipv6]
    return f""" chain {class_chain(slots, ipv6=ipv6)} {{
  meta mark set jhash {name} saddr . th sport mod {slots} seed {_SEED:#x}
  dnat {name} to {name} daddr . meta mark map @slots{number}
 }}"""


def _nat(gateways: tuple[str, ...]) -> str:
    looping = [
        f"  ct status dnat {name} saddr . {name} daddr @own{number} snat {name} to {gateway}"
        for gateway in gateways
        for name, _, number in (_FAMILIES[is_ipv6(gateway)],)
    ]
    return "\n".join(
        (
            " chain before {",
            "  type nat hook prerouting priority dstnat; policy accept;",
            "  ip daddr vmap @vips4",
            "  ip6 daddr vmap @vips6",
            " }",
            " chain after {",
            "  type nat hook postrouting priority srcnat; policy accept;",
            *looping,
            " }",
        )
    )


_GUARD: Final = """ counter forged { }
 chain guard {
  type filter hook prerouting priority raw; policy accept;
  iifname "ep*" fib saddr . iif oif missing counter name forged drop
 }"""

_NOBODY: Final = f""" counter unanswered {{ }}
 chain {NOBODY} {{
  counter name unanswered
  tcp flags & (syn | ack) == syn reject with tcp reset
  reject with icmpx port-unreachable
 }}
 chain lost {{
  type filter hook prerouting priority dstnat + 10; policy accept;
  ct state != new accept
  fib daddr type {{ local, broadcast, anycast, multicast }} accept
  fib daddr oif missing goto {NOBODY}
 }}"""

_IS_NODE: Final = f"and {NODE_MARK_MASK:#x} == {NODE_MARK:#x}"

_MARKING: Final = f""" map marks {{ type ether_addr : mark; }}
 map zones {{ typeof ether saddr : ct zone; }}
 chain guard {{
  iifname "{TUNNEL}" ct original zone set ether saddr map @zones
 }}
 chain entry {{
  type filter hook prerouting priority mangle; policy accept;
  iifname "{TUNNEL}" ct state new ct mark set ether saddr map @marks
  iifname "ep*" ct direction reply ct mark {_IS_NODE} meta mark set ct mark
 }}"""

_EGRESS: Final = f"""{_again("netdev")}
table netdev swarm {{
 map nodes {{ type mark : ether_addr; }}
 chain out {{
  type filter hook egress device "{TUNNEL}" priority 0; policy accept;
  meta mark {_IS_NODE} ether daddr set meta mark map @nodes
 }}
}}"""
