"""Have connections forgotten that lead where nobody is, many at a time.

To find the connections of one namespace the kernel walks those of all, which takes it tens of
milliseconds, however few there are. So whatever ends within a moment is looked for together, and
on a thread: nobody waits for it, and heartbeats do not wait either.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Final

from agent.network.io.routers import Router
from swarm.ids import NetworkId

GONE_S: Final = 0.01
UNANSWERED_S: Final = 0.5


class Forgetting:
    """`router_of` gives the router of a network, if there is one; `soon` runs what is begun."""

    def __init__(
        self,
        router_of: Callable[[NetworkId], Router | None],
        soon: Callable[[Coroutine[None, None, None]], None],
    ) -> None:
        self._router_of = router_of
        self._soon = soon
        self._waiting: dict[tuple[NetworkId, bool], set[str]] = {}

    def forget(self, network_id: NetworkId, addresses: Iterable[str], *, is_answered: bool) -> None:
        """Stop tracking what leads to these endpoints: at once, if they are gone.

        Of those that are leaving only what they have not answered, after a while: no connection
        is new then, because their slots belong to others. Its next packet goes there.
        """
        found = set(addresses)
        if not found:
            return
        place = (network_id, is_answered)
        if place in self._waiting:
            self._waiting[place] |= found
            return
        self._waiting[place] = found
        self._soon(self._work(network_id, is_answered=is_answered))

    async def _work(self, network_id: NetworkId, *, is_answered: bool) -> None:
        place = (network_id, is_answered)
        try:
            while batch := self._waiting[place]:
                self._waiting[place] = set()
                await asyncio.sleep(GONE_S if is_answered else UNANSWERED_S)
                if (router := self._router_of(network_id)) is not None:
                    await asyncio.to_thread(router.forgetting(batch, is_answered=is_answered))
        finally:
            del self._waiting[place]
