"""Name things: 25 characters of base 36, as Docker's users know them."""

from functools import cache
from itertools import product
from random import Random
from typing import NewType

NodeId = NewType("NodeId", str)
ServiceId = NewType("ServiceId", str)
TaskId = NewType("TaskId", str)
ClusterId = NewType("ClusterId", str)
SecretId = NewType("SecretId", str)
ConfigId = NewType("ConfigId", str)
NetworkId = NewType("NetworkId", str)

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 25
_GROUP = 36**3


def base36(number: int, length: int) -> str:
    """Write `number` in base 36, padded with zeros to `length` digits."""
    groups, digits = _groups(), list[str]()
    while number:
        number, group = divmod(number, _GROUP)
        digits.append(groups[group])
    return "".join(reversed(digits)).lstrip("0").rjust(length, "0")


@cache
def _groups() -> tuple[str, ...]:
    """All of three digits; a manager names tasks by the hundred thousand."""
    return tuple(map("".join, product(ALPHABET, repeat=3)))


def make_id(random: Random) -> str:
    """Make an identifier of 128 random bits."""
    return base36(random.getrandbits(128), LENGTH)
