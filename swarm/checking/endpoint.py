"""Judge how a service is reached.

A port is published on every node (ingress), or on those that run a task (host). A task that has
its node's network listens there as it is, so what it publishes is only a claim: no other task of
the swarm may have it on the same node. Who else publishes a port is the manager's to know.
"""

from collections.abc import Iterator
from ipaddress import ip_address

from swarm.checking.basics import Problem
from swarm.specs import BRIDGE, HOST, NONE, EndpointMode, Port, PublishMode, ServiceSpec

_MOST = 65535
MOST_PORTS = 1000
"""Of one service; every node has a rule for each."""


def endpoint(spec: ServiceSpec) -> Iterator[Problem]:
    """The service's published ports, and what its name stands for."""
    ports, targets = spec.endpoint.ports, {each.target for each in spec.task.networks}
    if spec.endpoint.mode is not EndpointMode.VIP:
        yield from _round_robin(spec, targets)
    if len(ports) > MOST_PORTS:
        yield "endpoint.ports", f"{len(ports)} ports are more than {MOST_PORTS}; publish fewer"
    seen: dict[tuple[int, int], list[int]] = {}
    for index, port in enumerate(ports):
        path = f"endpoint.ports[{index}]"
        yield from _port(path, port)
        if NONE in targets:
            yield path, "with --network none there is nothing to publish"
        elif HOST in targets:
            yield from _claimed(path, port)
        same = seen.setdefault((port.published, int(port.protocol)), []) if port.published else []
        for other in same:
            if collide(port, ports[other]):
                yield (
                    f"{path}.published",
                    f"{port.published}/{port.protocol.word} is already published by ports[{other}]",
                )
                break
        same.append(index)


def collide(port: Port, other: Port) -> bool:
    """Whether the two cannot both be published on one node."""
    is_same = (port.published, port.protocol) == (other.published, other.protocol)
    return bool(port.published) and is_same and (not port.ip or other.ip in ("", port.ip))


def _round_robin(spec: ServiceSpec, targets: set[str]) -> Iterator[Problem]:
    if targets <= {HOST, NONE, BRIDGE}:
        yield (
            "endpoint.mode",
            "dnsrr: without a network of the swarm's a service has no addresses to resolve to; "
            "give it one",
        )
    for index, port in enumerate(spec.endpoint.ports):
        if port.mode is PublishMode.INGRESS:
            yield (
                f"endpoint.ports[{index}].mode",
                "a port published in ingress mode cannot be used with dnsrr; write "
                f"mode=host,target={port.target},published={port.published or port.target}",
            )


def _port(path: str, port: Port) -> Iterator[Problem]:
    if not 1 <= port.target <= _MOST:
        yield f"{path}.target", f"{port.target} is not a port (1-{_MOST})"
    if not 0 <= port.published <= _MOST:
        yield f"{path}.published", f"{port.published} is not a port (1-{_MOST})"
    if not port.ip:
        return
    try:
        address = ip_address(port.ip)
    except ValueError:
        yield f"{path}.ip", f"{port.ip!r} is not an address"
        return
    if address.is_unspecified:
        yield f"{path}.ip", f"{port.ip} stands for all addresses; leave ip out"
    elif address.is_multicast:
        yield f"{path}.ip", f"{port.ip} is for multicast, and no address of a node"
    elif str(address) != port.ip:
        yield f"{path}.ip", f"{port.ip} is written {address}"


def _claimed(path: str, port: Port) -> Iterator[Problem]:
    if port.mode is PublishMode.INGRESS:
        yield (
            f"{path}.mode",
            "ingress needs a network of the swarm's own, and --network host has the node's; write "
            f"mode=host,target={port.target},published={port.target}",
        )
    elif port.published != port.target:
        yield (
            f"{path}.published",
            f"{port.published or 'none'} is not {port.target}: with --network host a port is "
            "published as it is",
        )
