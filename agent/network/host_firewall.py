"""Tell which firewalls of the host drop what passes between it and our networks.

In nftables everybody has a say: what our rules accept, another table may still drop. Docker sets
the policy of FORWARD to drop, ufw does too, and firewalld ends with a reject. Their rules are
their owner's, so we change none, but say what is missing. A table that mentions our links has
been told of them already, and is trusted.
"""

import json
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from agent.network.host_rules import TABLE

LINKS: Final = "sw-"
"""What the names of our links begin with."""

_FIREWALLD: Final = "firewalld"
_DOCKER_USER: Final = "DOCKER-USER"


class Obstacle(Struct, frozen=True):
    """A chain that every forwarded packet passes, and that drops or rejects by default."""

    family: str
    table: str
    chain: str
    has_docker_user: bool = False

    def __str__(self) -> str:
        where = f"chain {self.chain} of table {self.family} {self.table}"
        return f"{where} drops what containers and the world send each other; {self.remedy}"

    @property
    def remedy(self) -> str:
        """What its owner can do."""
        if self.table == _FIREWALLD:
            return (
                f"run firewall-cmd --permanent --zone=trusted --add-interface={LINKS}+ and reload"
            )
        if self.table == "filter" and self.family in {"ip", "ip6"}:
            program = "iptables" if self.family == "ip" else "ip6tables"
            chain = _DOCKER_USER if self.has_docker_user else self.chain
            return f"run {program} -I {chain} -i {LINKS}+ -j ACCEPT, and the same with -o"
        return f'add rules there that accept iifname "{LINKS}*" and oifname "{LINKS}*"'


def obstacles(listing: str) -> Iterator[Obstacle]:
    """The chains in what `nft -j list chains` prints that may be in the way."""
    chains = [each["chain"] for each in json.loads(listing)["nftables"] if "chain" in each]
    for chain in chains:
        family, table, name = chain["family"], chain["table"], chain["name"]
        if chain.get("hook") != "forward" or table == TABLE.name:
            continue
        if chain.get("policy") == "drop" or table == _FIREWALLD:
            place = (family, table, _DOCKER_USER)
            has_docker_user = any(place == (x["family"], x["table"], x["name"]) for x in chains)
            yield Obstacle(family, table, name, has_docker_user)


def is_told(table: str) -> bool:
    """Whether somebody put our links into a table, as `nft list table` prints it."""
    return f'"{LINKS}' in table
