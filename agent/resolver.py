"""Write /etc/resolv.conf: what the node has, with what the service asks for instead.

Servers, search domains and options are three settings, each replaced as a whole. Where the
container does not share its node's network it does not share its resolver either, and has only
what was asked for. A search of `.` alone searches nothing.
"""

from collections.abc import Iterable

from swarm.specs import ContainerSpec

_NOTHING = (".",)


def resolver(asked: ContainerSpec, host: str) -> str:
    """The file for a container; `host` is the node's own, or empty where it is not shared."""
    if not (asked.dns_servers or asked.dns_search or asked.dns_options):
        return host
    lines = [line for line in host.splitlines() if line.strip()]
    for keywords, values in (
        (("nameserver",), tuple(f"nameserver {each}" for each in asked.dns_servers)),
        (("search", "domain"), _search(asked.dns_search)),
        (("options",), _together("options", asked.dns_options)),
    ):
        if values:
            lines = [line for line in lines if line.split()[0] not in keywords]
            lines += [each for each in values if each]
    return "".join(f"{line}\n" for line in lines)


def _search(domains: tuple[str, ...]) -> tuple[str, ...]:
    return ("",) if domains == _NOTHING else _together("search", domains)


def _together(keyword: str, values: Iterable[str]) -> tuple[str, ...]:
    joined = " ".join(values)
    return (f"{keyword} {joined}",) if joined else ()
