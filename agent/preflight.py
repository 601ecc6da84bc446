"""Tell beforehand why this node could not run a task, have a port, or be in a subnet.

Only what is certain is said: a path with a template in it is not judged before the template
is filled in, and an image that is not here may still be pulled, which the asker decides. The
default route leads everywhere, so it is in nobody's way.
"""

from collections.abc import Callable, Iterable, Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network

from msgspec import Struct

from agent.rights import Fences, absent_devices, unfit
from agent.volumes import absent, sources
from swarm.specs import Port, TaskSpec


class Reached(Struct, frozen=True, kw_only=True):
    """Where the host itself has an address, or a route to: `10.0.0.0/8` through `eth1`."""

    prefix: str
    link: str


def problems(
    spec: TaskSpec,
    *,
    is_there: Callable[[str], bool],
    has_image: bool,
    fences: Fences,
    why_not_a_device: Callable[[str], str],
) -> tuple[str, ...]:
    """Every problem with its path in the spec; none when the task would run."""
    found = [] if has_image else ["container.image: not on this node"]
    found += [
        f"{source.field}: {absent(source)}"
        for source in sources(spec.container.mounts)
        if not is_there(source.path)
    ]
    found += absent_devices(spec.container.devices, why_not_a_device)
    found += unfit(spec, fences)
    return tuple(found)


def taken_ports(ports: Iterable[Port], why_not_free: Callable[[Port], str]) -> Iterator[str]:
    """The published ports that this node cannot give, by their place."""
    for index, each in enumerate(ports):
        if each.published and (reason := why_not_free(each)):
            yield f"ports[{index}]: {reason}"


def hit_subnets(subnets: Iterable[str], reached: Iterable[Reached]) -> Iterator[str]:
    """The subnets that lie where the host itself goes, by their place."""
    ways = [(found, each.link) for each in reached if (found := _network(each.prefix)) is not None]
    for index, subnet in enumerate(subnets):
        if (wanted := _network(subnet)) is None:
            yield f"subnets[{index}]: {subnet!r} is not a subnet"
            continue
        for prefix, link in ways:
            if prefix.prefixlen and _overlap(wanted, prefix):
                yield f"subnets[{index}]: {subnet} hits {prefix}, which is reached by {link}"
                break


def _network(text: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        return None


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)
