"""Write /etc/resolv.conf: what the node has, with what the service asks for instead.

Servers, search domains and options are three settings, each replaced as a whole. Where the
container does not share its node's network it does not share its resolver either: with a
network of its own it asks the name service, which asks the servers it wants, and without any it
has only what was asked for. A search of `.` alone searches nothing.
"""

from collections.abc import Iterable

from agent.dns.upstreams import RESOLVER
from swarm.specs import ContainerSpec

_NOTHING = (".",)
_KEPT = ("search", "domain", "options")


def resolver(asked: ContainerSpec, host: str) -> str:
    """The file for a container; `host` is the node's own, or empty where it is not shared."""
    if not (asked.dns_servers or asked.dns_search or asked.dns_options):
        return host
    return _written(asked, host, asked.dns_servers)


def embedded(asked: ContainerSpec, host: str) -> str:
    """The file for a container with a network of its own, on a node that has `host`.

    The servers that were asked for are not in it, but asked by the name service. Names of one
    word are looked up as they are before any domain is searched, since services have such.
    """
    kept = "".join(f"{line}\n" for line in host.splitlines() if _keyword(line) in _KEPT)
    lines = _written(asked, kept, (RESOLVER,)).splitlines()
    chosen = [line for line in lines if _keyword(line) == "options"]
    options = [word for line in chosen for word in line.split()[1:]]
    if not any(each.startswith("ndots:") for each in options):
        options.append("ndots:0")
    lines = [line for line in lines if line not in chosen]
    return "".join(f"{line}\n" for line in (*lines, *_together("options", options)))


def redirected(content: str) -> str:
    """The file of a container that runs, once it is to ask the name service, too."""
    lines = content.splitlines()
    if f"nameserver {RESOLVER}" in lines:
        return content
    others = "".join(f"{line}\n" for line in lines if _keyword(line) != "nameserver")
    return embedded(ContainerSpec(), others)


def _written(asked: ContainerSpec, host: str, servers: Iterable[str]) -> str:
    lines = [line for line in host.splitlines() if line.strip()]
    for keywords, values in (
        (("nameserver",), tuple(f"nameserver {each}" for each in servers)),
        (("search", "domain"), _search(asked.dns_search)),
        (("options",), _together("options", asked.dns_options)),
    ):
        if values:
            lines = [line for line in lines if _keyword(line) not in keywords]
            lines += [each for each in values if each]
    return "".join(f"{line}\n" for line in lines)


def _keyword(line: str) -> str:
    return line.split(maxsplit=1)[0] if line.strip() else ""


def _search(domains: tuple[str, ...]) -> tuple[str, ...]:
    return ("",) if domains == _NOTHING else _together("search", domains)


def _together(keyword: str, values: Iterable[str]) -> tuple[str, ...]:
    joined = " ".join(values)
    return (f"{keyword} {joined}",) if joined else ()
