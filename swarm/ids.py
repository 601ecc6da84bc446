"""Name things: 25 characters of base 36, as Docker's users know them."""

from random import Random
from typing import NewType

NodeId = NewType("NodeId", str)
ServiceId = NewType("ServiceId", str)
TaskId = NewType("TaskId", str)
ClusterId = NewType("ClusterId", str)
SecretId = NewType("SecretId", str)
ConfigId = NewType("ConfigId", str)

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
LENGTH = 25


def base36(number: int, length: int) -> str:
    """Write `number` in base 36, padded with zeros to `length` digits."""
    digits: list[str] = []
    while number:
        number, digit = divmod(number, 36)
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits)).rjust(length, "0")


def make_id(random: Random) -> str:
    """Make an identifier of 128 random bits."""
    return base36(random.getrandbits(128), LENGTH)
