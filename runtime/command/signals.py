"""Read the name or number of a signal."""

import signal
from typing import Final

from swarm.errors import Invalid

_LARGEST: Final = 64


def parse(text: str) -> int:
    """`9`, `KILL`, `SIGKILL`, `RTMIN+3` and lower case. Raises `Invalid`."""
    if text.isascii() and text.isdecimal():
        if 1 <= int(text[:4]) <= _LARGEST:
            return int(text)
        raise Invalid(f'unknown signal "{text}"', hint=f"1 to {_LARGEST} exist")
    name = text.upper().removeprefix("SIG")
    base, sign, offset = name.partition("+" if "+" in name else "-")
    known = {each.name: int(each) for each in signal.Signals}
    number = known.get(f"SIG{base}", 0)
    if number and not sign:
        return number
    if base in ("RTMIN", "RTMAX") and offset.isascii() and offset.isdecimal():
        number += int(offset[:4]) * (1 if sign == "+" else -1)
        if known["SIGRTMIN"] <= number <= known["SIGRTMAX"]:
            return number
    raise Invalid(f'unknown signal "{text}"', hint="give a number, or a name such as TERM")
