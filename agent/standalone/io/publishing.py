"""Choose the ports of the node that a container gets, and say whose those are that it does not.

Whose a port is, is asked of `why_taken`; what a program of the host has, the kernel says when it is
to be held.
"""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from agent.network.problems import PortTaken
from agent.standalone import making, memberships
from agent.standalone.record import Record
from swarm.errors import Refused
from swarm.specs import Port, PublishMode

WhyTaken = Callable[[Port], str]


def ports(record: Record, default_ip: str, why_taken: WhyTaken) -> tuple[Port, ...]:
    """The ports that it asks for; of spans one that is free, or the first if none is."""
    asked = memberships.ports(record.spec, making.exposed(record.spec, record.image))
    found = [replace(each, ip=each.ip or default_ip) for each in asked]
    for span in record.spec.port_spans:
        first = replace(span.port, mode=PublishMode.HOST, ip=span.port.ip or default_ip)
        numbers = range(span.port.published, span.last + 1)
        all_of_it = [replace(first, published=number) for number in numbers]
        free = (x for x in all_of_it if not any(memberships.clash(x, y) for y in found))
        found.append(next((each for each in free if not why_taken(each)), first))
    return tuple(found)


def refusal(
    record: Record, endpoint_ids: Sequence[str], err: PortTaken, why_taken: WhyTaken
) -> Refused:
    """That a port is taken, as Docker says it; and by whom."""
    port = err.port
    ip = f"[{port.ip}]" if ":" in port.ip else port.ip or "0.0.0.0"
    failed = (
        f"Bind for {ip}:{port.published} failed: port is already allocated"
        if err.owner
        else f"failed to bind host port {ip}:{port.published}/{port.protocol.word}: address "
        "already in use"
    )
    where = f"{record.name} ({next(iter(endpoint_ids), record.id)})"
    return Refused(
        f"driver failed programming external connectivity on endpoint {where}: {failed}",
        hint=why_taken(port) or err.message,
    )
