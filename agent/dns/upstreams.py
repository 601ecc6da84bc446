"""Tell which servers are asked about the rest of the world.

They are the node's own, as its /etc/resolv.conf says now, unless a container brings servers of
its own. Our own address is never among them: a question would come back to us for ever.
"""

from collections.abc import Iterable
from ipaddress import ip_address

RESOLVER = "127.0.0.11"


def servers(resolv_conf: str) -> tuple[str, ...]:
    """The addresses of a resolv.conf(5), in its order; what is not an address is passed over."""
    found: dict[str, None] = {}
    for line in resolv_conf.splitlines():
        match line.split():
            case ["nameserver", address, *_] if _is_address(address):
                found[address] = None
            case _:
                pass
    return tuple(found)


def others(addresses: Iterable[str]) -> tuple[str, ...]:
    """Those that are not we ourselves."""
    return tuple(each for each in addresses if each != RESOLVER and _is_address(each))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
