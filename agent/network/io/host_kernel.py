"""Read and change what the host's namespace holds: our table, our routes, its settings.

Every rule is in one nftables table, and every route bears our protocol. Nothing else of the host
is changed, and nothing is remembered here: what there is, is asked of the kernel.
"""

import os
import subprocess
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final

from agent.network import host_firewall, host_rules, host_settings
from agent.network.host_firewall import Obstacle
from agent.network.host_ledger import mend
from agent.network.host_rules import is_uplink
from agent.network.io.namespaces import entered, mine, set_sysctls
from agent.network.io.netlink import Socket
from agent.network.io.nft import load
from agent.network.kernel import (
    ROUTE_PROTOCOL,
    Address,
    Element,
    Flow,
    Neighbour,
    Operation,
    Remove,
    Route,
    Value,
)
from agent.network.wire.nftables import Count
from agent.preflight import Reached

_IPV6: Final = Path("/proc/sys/net/ipv6/conf")
_TRACKED: Final = Path("/proc/sys/net/netfilter/nf_conntrack_count")
_WORTH_A_QUESTION: Final = 500
_LIMIT_S: Final = 10.0
_NONE: Final = '{"nftables": []}'


class HostKernel:
    """The host's namespace, the one of this thread or the one that is open as `netns`."""

    def __init__(self, netns: int | None = None) -> None:
        self.netns = mine() if netns is None else os.dup(netns)
        self._socket = Socket(self.netns)
        self._rules = host_rules.text()

    def close(self) -> None:
        """Let go of the namespace."""
        self._socket.close()
        os.close(self.netns)

    def prepare(self) -> bool:
        """Have our rules in the table; whether they were there already."""
        if self._socket.elements(host_rules.REVISION) == [host_rules.revision(self._rules)]:
            return True
        load(self._rules, self.netns)
        return False

    def clear(self) -> None:
        """Take the table and the routes away."""
        self._socket.apply([Remove(host_rules.TABLE)])
        self._socket.apply([Remove(each) for each in self._found_on_links()])

    def apply(self, operations: Iterable[Operation]) -> None:
        """Do all of it; `KernelRefused` names what was refused."""
        self._socket.apply(operations)

    def mend(self, wanted: Iterable[Value], *, is_all: bool) -> tuple[Operation, ...]:
        """Make the kernel hold `wanted`, and no more of ours if it `is_all`; what that took."""
        self.prepare()
        links = {each.name for each in self._socket.links()}
        reachable = [
            each
            for each in wanted
            if not isinstance(each, Address | Route | Neighbour) or each.link in links
        ]
        operations = mend(reachable, [*self._found_on_links(), *self.elements()], is_all=is_all)
        self._socket.apply(operations)
        return tuple(operations)

    def elements(self) -> Iterator[Element]:
        """What is in the sets of our table."""
        for each in host_rules.SETS:
            yield from self._socket.elements(each)

    def set_forwarding(self, link: str, *, has_ipv6: bool) -> None:
        """Let packets pass between a link of ours and the world."""
        set_sysctls(self.netns, host_settings.FORWARDING | host_settings.of_link(link))
        if not has_ipv6:
            return
        with entered(self.netns):
            if not _IPV6.exists():
                return
            accepting = {each.name: _read(each / "accept_ra") for each in _IPV6.iterdir()}
            is_forwarding = _read(_IPV6 / "all/forwarding") != "0"
        if not is_forwarding:
            set_sysctls(self.netns, host_settings.of_advertised(accepting))
        set_sysctls(self.netns, host_settings.of_link6(link) | host_settings.FORWARDING6)

    def flows(self) -> list[Flow]:
        """The connections that are tracked."""
        return self._socket.flows()

    def flows_to(self, backends: Collection[str]) -> list[Flow]:
        """Those that one of `backends` answers.

        Each question makes the kernel go through its whole table, whatever is in it, which takes
        as long as we need for some hundred answers. So we ask for one address, or for all.
        """
        with entered(self.netns):
            tracked = int(_read(_TRACKED) or "0")
        if tracked < _WORTH_A_QUESTION * len(backends):
            return [each for each in self.flows() if each.reply_source in backends]
        return [each for backend in backends for each in self._socket.flows(backend)]

    def forget(self, flows: Iterable[Flow]) -> None:
        """Stop tracking connections."""
        self._socket.forget(flows)

    def own_addresses(self) -> Collection[str]:
        """The addresses that are the host's."""
        own = {each.address.partition("/")[0] for each in self._socket.addresses()}
        return own | {"127.0.0.1", "::1"}

    def counts(self) -> tuple[dict[bytes, Count], dict[bytes, Count], dict[bytes, Count]]:
        """Connections that were opened and refused by port, packets dropped by link."""
        sets = (host_rules.OPENED, host_rules.REFUSED, host_rules.STRAYS)
        opened, refused, strays = (self._socket.counts(each) for each in sets)
        return opened, refused, strays

    def reached(self) -> tuple[Reached, ...]:
        """Where the host has an address or a route that is not ours."""
        routes = [
            Reached(prefix=each.destination, link=each.link)
            for each in self._socket.routes(None)
            if each.protocol != ROUTE_PROTOCOL and each.link != "lo"
        ]
        addresses = [
            Reached(prefix=each.address, link=each.link) for each in self._socket.addresses()
        ]
        found = (*addresses, *routes)
        return tuple(each for each in found if not is_uplink(each.link))

    def obstacles(self) -> tuple[Obstacle, ...]:
        """Firewalls of the host that nobody told of our links."""
        found = host_firewall.obstacles(self._listed("-j", "list", "chains") or _NONE)
        return tuple(
            each
            for each in found
            if not host_firewall.is_told(self._listed("list", "table", each.family, each.table))
        )

    def _found_on_links(self) -> list[Value]:
        routes = [each for each in self._socket.routes() if is_uplink(each.link)]
        known = [each for each in self._socket.neighbours() if is_uplink(each.link)]
        own = [each for each in self._socket.addresses() if is_uplink(each.link)]
        return [*routes, *known, *own]

    def _listed(self, *words: str) -> str:
        with entered(self.netns):
            nft = subprocess.Popen(["nft", *words], stdout=subprocess.PIPE, text=True)
        with nft:
            try:
                listing, _ = nft.communicate(timeout=_LIMIT_S)
            except subprocess.TimeoutExpired:
                nft.kill()
                return ""
        return listing


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # the link went just now
