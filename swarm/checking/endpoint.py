"""Judge how a service is reached.

Services have no networks of their own yet. A task with its node's network publishes what it
listens on as it is, so a published port is only a claim: no other task of the swarm may have
it on the same node. Whatever would need a translation of ports or an address is refused.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from swarm.checking.basics import Problem
from swarm.specs import EndpointMode, Port, PublishMode, ServiceSpec

_MOST = 65535


def endpoint(spec: ServiceSpec) -> Iterator[Problem]:
    """The service's published ports, and what its name stands for."""
    if spec.endpoint.mode is not EndpointMode.VIP:
        yield (
            "endpoint.mode",
            "dnsrr: without a network of its own a service has no addresses to resolve to",
        )
    taken: dict[tuple[str, int, int], int] = {}
    for index, port in enumerate(spec.endpoint.ports):
        path = f"endpoint.ports[{index}]"
        yield from _port(path, port)
        yield from _published(path, port, on_host="host" in spec.task.networks)
        key = (port.ip, port.published, int(port.protocol))
        if port.published and key in taken:
            yield (
                f"{path}.published",
                f"{port.published}/{port.protocol.word} is already published by "
                f"ports[{taken[key]}]",
            )
        taken.setdefault(key, index)


def _port(path: str, port: Port) -> Iterator[Problem]:
    if not 1 <= port.target <= _MOST:
        yield f"{path}.target", f"{port.target} is not a port (1-{_MOST})"
    if not 0 <= port.published <= _MOST:
        yield f"{path}.published", f"{port.published} is not a port (1-{_MOST})"
    if port.ip:
        try:
            ip_address(port.ip)
        except ValueError:
            yield f"{path}.ip", f"{port.ip!r} is not an address"


def _published(path: str, port: Port, *, on_host: bool) -> Iterator[Problem]:
    if not on_host:
        yield path, "ports are published only for services with --network host"
    elif port.mode is PublishMode.INGRESS:
        yield (
            f"{path}.mode",
            "ingress needs networks of the swarm's own; write "
            f"mode=host,target={port.target},published={port.target}",
        )
    elif port.published != port.target:
        yield (
            f"{path}.published",
            f"{port.published or 'none'} is not {port.target}: with --network host a port is "
            "published as it is",
        )
