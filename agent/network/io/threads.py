"""Do what would hold up the loop on a thread."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

Done = TypeVar("Done")


async def on_a_thread(work: Callable[[], Done]) -> Done:
    """Do what takes milliseconds elsewhere; whoever gives up waiting waits for its end."""
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        await asyncio.wait([done])
        raise
