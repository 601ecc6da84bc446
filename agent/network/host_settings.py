"""Say what the kernel of a host has to be set to for a network's link.

Forwarding is the one setting that is the whole host's. Its links that get their IPv6 addresses
and routes from router advertisements would ignore them once the host forwards, unless told
otherwise, and the host would lose its way out half an hour later: so they are told otherwise first.
"""

from collections.abc import Mapping
from typing import Final

FORWARDING: Final = {"net/ipv4/ip_forward": "1"}
FORWARDING6: Final = {"net/ipv6/conf/all/forwarding": "1"}

_ONLY_AS_A_HOST, _ALWAYS = "1", "2"  # accept_ra


def of_link(link: str) -> dict[str, str]:
    """The settings of our own link.

    Answers to clients on this host that used 127.0.0.1 come back by it, and so may packets whose
    source the host would look for elsewhere.
    """
    ipv4 = f"net/ipv4/conf/{link}"
    return {
        f"{ipv4}/route_localnet": "1",
        f"{ipv4}/rp_filter": "0",
        f"{ipv4}/send_redirects": "0",
        f"{ipv4}/accept_redirects": "0",
    }


def of_link6(link: str) -> dict[str, str]:
    """The same for IPv6."""
    ipv6 = f"net/ipv6/conf/{link}"
    return {
        f"{ipv6}/disable_ipv6": "0",
        f"{ipv6}/accept_ra": "0",
        f"{ipv6}/accept_redirects": "0",
    }


def of_advertised(accepting: Mapping[str, str]) -> dict[str, str]:
    """What links need that hear router advertisements; `accepting` is their `accept_ra`."""
    return {
        f"net/ipv6/conf/{link}/accept_ra": _ALWAYS
        for link, value in sorted(accepting.items())
        if value == _ONLY_AS_A_HOST
    }
