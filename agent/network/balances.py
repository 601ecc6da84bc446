"""Say which elements lead a service's virtual addresses to its endpoints.

A virtual address leads to the chain of its class of slots, and each slot to an address of an
endpoint. What changes is found by comparing slots, not elements: of a thousand endpoints one
comes or goes, and only some dozens of elements are built at all.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from agent.network import fields
from agent.network.addressing import is_ipv6
from agent.network.kernel import Element, Operation, Put, Remove
from agent.network.skeleton import NOBODY, SLOTS, VIPS, class_chain
from agent.network.slots import share
from swarm.ids import TaskId
from swarm.topology import Endpoint

Addresses = tuple[str, ...]


class Balance(Struct, frozen=True):
    """A service's virtual addresses, and its endpoints' addresses by slot (none: nobody)."""

    vips: Addresses
    slots: Sequence[Addresses] = ()


def balance(vips: Addresses, endpoints: Mapping[TaskId, Endpoint]) -> Balance:
    """Share out among those of the `endpoints` that answer."""
    weights = {each.task_id: each.weight for each in endpoints.values() if each.is_serving}
    return Balance(vips, tuple(endpoints[owner].addresses for owner in share(weights)))


def elements(of: Balance) -> Iterator[Element]:
    """All that the kernel needs to know of it."""
    for vip in of.vips:
        yield _entrance(vip, len(of.slots))
        for slot, addresses in enumerate(of.slots):
            yield from _slot(vip, slot, addresses)


def change(before: Balance | None, after: Balance | None) -> Iterator[Operation]:
    """Lead from one to the other. All of it is one transaction, or packets fall between."""
    before, after = before or Balance(()), after or Balance(())
    for vip in after.vips:
        had = before.slots if vip in before.vips else ()
        for slot, addresses in enumerate(after.slots):
            if slot >= len(had) or had[slot] != addresses:
                yield from map(Put, _slot(vip, slot, addresses))
        if vip not in before.vips or len(had) != len(after.slots):
            yield Put(_entrance(vip, len(after.slots)))
    for vip in before.vips:
        if vip not in after.vips:
            yield Remove(_entrance(vip, len(before.slots)))
        stays = len(after.slots) if vip in after.vips else 0
        for slot in range(stays, len(before.slots)):
            yield from map(Remove, _slot(vip, slot, before.slots[slot]))


def _entrance(vip: str, slots: int) -> Element:
    ipv6 = is_ipv6(vip)
    chain = class_chain(slots, ipv6=ipv6) if slots else NOBODY
    return Element(of=VIPS[ipv6], key=fields.address(vip), data=fields.goto(chain))


def _slot(vip: str, slot: int, addresses: Addresses) -> Iterator[Element]:
    """At most one: an endpoint may lack an address of that family."""
    ipv6 = is_ipv6(vip)
    key = fields.joined(fields.address(vip), fields.mark(slot))
    for address in addresses:
        if is_ipv6(address) == ipv6:
            yield Element(of=SLOTS[ipv6], key=key, data=fields.address(address))
            return
