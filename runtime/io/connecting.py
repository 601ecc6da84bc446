"""Have the network of a container connected while the rest of it is being made.

Process 1 passes its network namespace on as one of the first things it does, and waits as late
as it can until that is connected. Whatever ends the one ends the other: if the container dies
meanwhile, `attach` is cancelled; if `attach` fails, or is cancelled with its caller, the
container gives up. So a client that hangs, or is killed, leaves nothing half made.
"""

import asyncio
from collections.abc import Awaitable, Callable

from runtime.io.container import Container, Vanished
from runtime.io.offer import Offer

# Gets a network namespace as a descriptor, which is closed when it has ended.
Attach = Callable[[int], Awaitable[None]]
_GIVING_UP_S = 0.2


async def connect(
    container: Container, attach: Attach, kill: Callable[[], Awaitable[None]]
) -> None:
    """Connect the network of a container that starts.

    Returns once it is connected, or the start has failed or is about to: `container.started`
    tells. Raises what `attach` raises when nothing is left of the container, which takes until
    `kill` has killed what is in it, or this is cancelled once more.
    """
    offered, started = container.offered, container.started
    try:
        await asyncio.wait((offered, started), return_when=asyncio.FIRST_COMPLETED)
        if not started.done() and not offered.cancelled():
            await _attach(container, attach, offered.result())
    except BaseException as err:
        # Others who want this container wait for it, too, and may try it again if we go.
        container.decline(err if isinstance(err, Exception) else Vanished())
        await _end(container, kill)
        raise


async def _attach(container: Container, attach: Attach, offer: Offer) -> None:
    attaching = asyncio.ensure_future(attach(offer.namespace))
    offer.lend(attaching)
    try:
        await asyncio.wait((attaching, container.started), return_when=asyncio.FIRST_COMPLETED)
        if attaching.done():
            attaching.result()
            offer.accept()
    finally:
        if not attaching.done():
            attaching.cancel()
            await asyncio.wait((attaching,))


async def _end(container: Container, kill: Callable[[], Awaitable[None]]) -> None:
    """Wait until nothing is left. It may be at a step that takes long, and not be waiting yet."""
    while not container.started.done():
        await asyncio.wait((container.started,), timeout=_GIVING_UP_S)
        if not container.started.done():
            await kill()
