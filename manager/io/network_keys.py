"""Have encrypted networks get a new secret from time to time, while this manager leads."""

import asyncio
import contextlib
from random import Random

import structlog

from manager.applied import Applied
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.networks.keys import rotate_keys
from swarm.errors import Conflict, SwarmError
from swarm.sealing import DataKey

RETRY_S = 1.0
LONGEST_WAIT_S = 60.0
"""The clock may be set while we wait by another one."""


class NetworkKeys:
    """The secrets that encrypted networks derive their keys from."""

    def __init__(
        self,
        mirror: Mirror,
        leader: Leader,
        data_key: DataKey,
        log: structlog.stdlib.BoundLogger,
        *,
        random: Random,
    ) -> None:
        self._mirror = mirror
        self._leader = leader
        self._data_key = data_key
        self._log = log
        self._random = random
        self._stirred = asyncio.Event()
        mirror.listen(self._changed)

    async def run(self) -> None:
        """While this manager leads, make what is due, for ever."""
        while True:
            await self._leader.leading()
            stirred = self._stirred
            patience_s = await self._rotate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(patience_s):
                    await stirred.wait()

    async def _rotate(self) -> float:
        """Make what is due; how long there is nothing to do then (s)."""
        now = self._mirror.clock()
        found = rotate_keys(self._mirror.view, self._data_key, now=now, random=self._random)
        try:
            if found.commit.operations:
                await self._leader.commit(found.commit)
                self._log.info("network_key.rotated", changes=len(found.commit.operations))
        except Conflict:
            return RETRY_S  # or as soon as we hear of what came first
        except SwarmError as err:
            self._log.warning("network_key.kept", reason=err.message)
            return RETRY_S
        return min(found.again_at - now, LONGEST_WAIT_S)

    def _changed(self, applied: Applied) -> None:
        if applied.networks or applied.network_keys:
            self._stirred.set()
            self._stirred = asyncio.Event()
