"""Ask the kernel what a first process hears, right before it is asked to stop."""

import asyncio
from pathlib import Path

from agent.hearing import effective_signal, slept

_LOOKS = 40
_BETWEEN_LOOKS_S = 0.005


async def choose_signal(pid: int, signal: int) -> int:
    """The signal to send to the first process `pid` that is to be stopped with `signal`.

    One that runs is looked at again, for 0.2 s at most: whether it is on its way into or out
    of sigwait(3) can be told of none but a sleeping process.
    """
    looks = 0
    while True:
        before, waits_in, after = (_read(pid, name) for name in ("status", "wchan", "status"))
        number = effective_signal(before, waits_in, signal)
        looks += 1
        if number == signal or slept(before, waits_in, after) or looks == _LOOKS:
            return number
        await asyncio.sleep(_BETWEEN_LOOKS_S)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""
