"""Compare what a namespace shall hold with what is found in it.

The namespace is ours alone, so what nobody wants is foreign and goes. But for what the kernel
adds by itself: routes and addresses that come and go with others. What is missing is put first,
what is too much goes then: at no time has a packet less to go by than before.
"""

from collections.abc import Iterable
from typing import Final

from agent.network.desired import ordered
from agent.network.kernel import (
    Link,
    Operation,
    Put,
    Remove,
    Route,
    Value,
    identity,
    is_met,
)

_OF_THE_KERNEL: Final = 2  # RTPROT_KERNEL
_LOOPBACK: Final = "lo"


def plan(desired: Iterable[Value], found: Iterable[Value]) -> list[Operation]:
    """What leads from `found` to `desired`; nothing where it is all right."""
    wanted = {identity(each): each for each in desired}
    there = {identity(each): each for each in found}
    puts = [
        Put(value)
        for key, value in wanted.items()
        if key not in there or not is_met(value, there[key])
    ]
    removals = [
        Remove(value)
        for key, value in there.items()
        if key not in wanted and not _is_of_the_kernel(value)
    ]
    return ordered([*puts, *removals])


def _is_of_the_kernel(value: Value) -> bool:
    match value:
        case Route(protocol=protocol):
            return protocol == _OF_THE_KERNEL
        case Link(name=name):
            return name == _LOOPBACK
        case _:
            return False
