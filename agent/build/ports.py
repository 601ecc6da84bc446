"""Read what EXPOSE names: `80`, `53/udp`, `8000-8010/tcp`."""

import re

from swarm.errors import Invalid

_PORT = re.compile(r"(?:.*:)?(\d{1,5})(?:-(\d{1,5}))?(?:/([A-Za-z]+))?\Z")
_HIGHEST = 65535


def exposed(words: tuple[str, ...]) -> tuple[str, ...]:
    """All ports of `words`, each as PORT/PROTOCOL; `Invalid` names what is none.

    An address or a port of the host before it says nothing here.
    """
    found: list[str] = []
    for word in words:
        match = _PORT.match(word)
        if match is None:
            raise Invalid(f"invalid containerPort: {word}", hint="PORT[-PORT][/tcp|udp|sctp]")
        protocol = (match[3] or "tcp").lower()
        if protocol not in ("tcp", "udp", "sctp"):
            raise Invalid(f"invalid proto: {protocol}", hint="tcp, udp or sctp")
        low, high = int(match[1]), int(match[2] or match[1])
        if not 0 <= low <= high <= _HIGHEST:
            raise Invalid(f"invalid containerPort: {word}")
        found += [f"{port}/{protocol}" for port in range(low, high + 1)]
    return tuple(dict.fromkeys(found))
