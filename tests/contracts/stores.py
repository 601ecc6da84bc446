"""Put a fake and a real etcd into the same hands, so that one suite judges both."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from msgspec import structs

from manager.io.etcd import EtcdStore
from manager.store import Lease, Store
from tests.etcd import build_rig, connected, kill, running
from tests.sim.fake_store import FakeStore


class Bench(Protocol):
    """A store, and what a test may do to it behind its users' backs."""

    store: Store

    async def compact(self, revision: int) -> None:
        """Forget what changed up to `revision`."""

    async def outlive(self, lease: Lease) -> None:
        """Have the time of `lease` end soon."""

    async def interrupt(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Go down, let something happen, and come up with the same state."""


class FakeBench:
    """The fake, with a clock of its own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.store = FakeStore(clock=lambda: self.now)

    async def compact(self, revision: int) -> None:
        self.store.compact(revision)

    async def outlive(self, lease: Lease) -> None:
        self.now += lease.ttl_s
        self.store.expire()

    async def interrupt(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        self.store.go_down()
        await meanwhile()
        self.store.come_up()


class RealBench:
    """A real etcd of a test's own, killed rather than stopped."""

    def __init__(self, store: EtcdStore, restart: Callable[..., Awaitable[None]]) -> None:
        self.store = store
        self._restart = restart

    async def compact(self, revision: int) -> None:
        await self.store.compact(revision)

    async def outlive(self, lease: Lease) -> None:
        """Nothing to be done: nobody keeps it alive."""

    async def interrupt(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        await self._restart(meanwhile)


Opener = Callable[[Path], AbstractAsyncContextManager[Bench]]


@asynccontextmanager
async def open_fake(_root: Path) -> AsyncIterator[Bench]:
    yield FakeBench()


@asynccontextmanager
async def open_real(root: Path) -> AsyncIterator[Bench]:
    rig = build_rig(root)
    target = structs.replace(rig.target, timeout_s=10.0)
    async with running(rig) as first, connected(target) as store:
        process = first

        async def restart(meanwhile: Callable[[], Awaitable[None]]) -> None:
            nonlocal process
            await kill(process)
            await meanwhile()
            process = rig.process()
            await process.start()
            await process.wait_ready()

        try:
            yield RealBench(store, restart)
        finally:
            await process.stop()
