"""Name what builds need of the node, and whom they tell how they go on."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from agent.build.io.caching import Cache
from agent.build.io.running import Networks
from agent.build.io.spares import Workers
from agent.containers import Node
from agent.images.image import LayerProgress
from agent.images.io.building import Building
from runtime.io.client import Runtime
from swarm.images.credentials import Credentials
from swarm.images.platform import Platform


class Say(Protocol):
    """Who hears how a build goes on. Each call waits until there is room to say more."""

    async def text(self, text: str, is_error: bool = False) -> None:
        """Some output."""
        ...

    async def failed(self, exit_code: int) -> None:
        """A program failed, and with it the build."""
        ...

    def layer(self, progress: LayerProgress) -> None:
        """How far a pull is."""
        ...


Pull = Callable[[str, Credentials | None, Callable[[LayerProgress], None]], Awaitable[None]]


class Shop(Struct, frozen=True, kw_only=True):
    """The node, as builds see it. `pull` brings an image; `clock` gives seconds since the epoch."""

    building: Building
    workers: Workers
    cache: Cache
    runtime: Runtime
    networks: Networks
    node: Callable[[], Node]
    pull: Pull
    platform: Platform
    data_root: Path
    clock: Callable[[], float]
