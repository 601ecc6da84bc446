"""Put together what builds images on this node."""

import asyncio
import platform as machine
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from agent.build.io.caching import Cache
from agent.build.io.running import Networks, sweep
from agent.build.io.service import BuildsService
from agent.build.io.shop import Shop
from agent.build.io.spares import Workers
from agent.config import Config
from agent.containers import Node
from agent.images.image import LayerProgress
from agent.images.io.store import ImageStore
from runtime.io import host
from runtime.io.client import Runtime
from swarm.images.credentials import Credentials
from swarm.images.platform import platform_of

SPARE_S = 60.0


class Builds:
    """The builds of one node. Their containers are theirs alone, and so is what runs them."""

    def __init__(
        self,
        config: Config,
        store: ImageStore,
        *,
        networks: Networks,
        node: Callable[[], Node],
        changed: Callable[[], None],
        named: Callable[[str], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._runtime = Runtime(
            run_root=Path(config.run_root), launcher_socket=Path(config.launcher_socket)
        )
        building = store.building()
        cache = Cache(config.builds, building, clock=time.time, log=log)

        async def pull(
            reference: str,
            credentials: Credentials | None,
            progress: Callable[[LayerProgress], None],
        ) -> None:
            await store.pull(
                reference,
                credentials=credentials,
                progress=progress,
                insecure_registries=config.insecure_registries,
            )
            changed()

        self._workers = Workers(building.temporary, building.layers, kept_s=SPARE_S)
        shop = Shop(
            building=building,
            workers=self._workers,
            cache=cache,
            runtime=self._runtime,
            networks=networks,
            node=node,
            pull=pull,
            platform=platform_of(machine.machine()),
            data_root=config.data,
            clock=time.time,
        )
        self.service = BuildsService(shop, cache, changed=changed, named=named)

    async def close(self) -> None:
        """End the builds that are under way, and let go."""
        await self.service.close()
        await self._workers.close()
        await self._runtime.close()


async def remove_leftovers(config: Config, log: structlog.stdlib.BoundLogger) -> None:
    """Remove what builds of a killed agent left, before anybody finds it.

    The image store has been opened, and swept, while their containers may still have run.
    """
    runtime = Runtime(run_root=Path(config.run_root), launcher_socket=Path(config.launcher_socket))
    try:
        await sweep(runtime, Path(config.run_root), log)
    finally:
        await runtime.close()
    for path in (config.images / "tmp").glob("build-*"):
        await asyncio.to_thread(host.discard_tree, str(path))
