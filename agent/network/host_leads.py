"""Lead one published port to those who answer it.

A lead owns all elements of its port. One that changes costs as many operations as slots change
hands, however many it has. Only new connections look at slots: an endpoint that lost its own
keeps its connections until it is gone, and then what would hang on it for ever is forgotten.
"""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from msgspec import Struct

from agent.network import host_rules
from agent.network.fields import PROTOCOLS
from agent.network.host_rules import Key
from agent.network.kernel import Element, Flow, Operation, Put, Remove
from agent.network.slots import CLASSES

Addresses = tuple[str, ...]
_UDP: Final = PROTOCOLS["udp"]


class Lead(Struct, frozen=True):
    """A port, the one that it is at the endpoints, and the addresses of each slot's owner.

    Without any slots connections are refused.
    """

    key: Key
    target: int
    slots: tuple[Addresses, ...] = ()


def elements(lead: Lead) -> Iterator[Element]:
    """All that the kernel holds for a lead."""
    yield _port(lead)
    for slot, addresses in enumerate(lead.slots):
        yield from _slot(lead, slot, addresses)


def turn(before: Lead | None, after: Lead | None) -> Iterator[Operation]:
    """Make of one lead another one of the same port, or none."""
    wanted = {} if after is None else _changed(after, before)
    there = {} if before is None else _changed(before, after)
    gone = [each for identity, each in there.items() if identity not in wanted]
    yield from (Put(each) for each in wanted.values())
    yield from (Remove(each) for each in gone)


def _changed(lead: Lead, other: Lead | None) -> dict[tuple[object, bytes], Element]:
    """The elements of `lead` that may not be those of `other`, by what they replace."""
    if other is None or other.target != lead.target:
        found = list(elements(lead))
    else:
        found = [] if _port(other) == _port(lead) else [_port(lead)]
        for slot, addresses in enumerate(lead.slots):
            if slot >= len(other.slots) or other.slots[slot] != addresses:
                found += _slot(lead, slot, addresses)
    return {(each.of, each.key): each for each in found}


def is_stuck(flow: Flow, gone: Collection[str]) -> bool:
    """Whether a connection with one of the endpoints that are `gone` would go on being sent there.

    UDP goes on for as long as the client does, and a handshake is repeated to the same address.
    One that is established is ended by whoever answers there now, or nobody.
    """
    return flow.reply_source in gone and not (flow.protocol != _UDP and flow.is_established)


def is_astray(
    flow: Flow, ports: Collection[int], led: Collection[str], own: Collection[str]
) -> bool:
    """Whether datagrams still go where their port led before `ports` were led anew.

    `own` are the host's addresses, `led` those of the ports' endpoints now.
    """
    if flow.protocol != _UDP or flow.destination_port not in ports:
        return False
    return flow.destination in own and flow.reply_source not in led


def ports_led(found: Iterable[Element]) -> frozenset[Key]:
    """The ports that these elements lead."""
    keys = map(host_rules.port_of, found)
    return frozenset(key for key in keys if key is not None)


def _port(lead: Lead) -> Element:
    return host_rules.port_element(lead.key, len(lead.slots) or CLASSES[0])


def _slot(lead: Lead, slot: int, addresses: Addresses) -> Iterator[Element]:
    for address in addresses:
        element = host_rules.slot_element(lead.key, slot, address, lead.target)
        if element is not None:
            yield element
