"""Let different things happen at once, and the same thing once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Hashable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from swarm.errors import SwarmError

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
N = TypeVar("N")


class Locks(Generic[K]):
    """One lock per key, forgotten when nobody holds or wants it."""

    def __init__(self) -> None:
        self._locks: dict[K, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def holding(self, key: K) -> AsyncGenerator[None]:
        """Wait until nobody else is in the block for `key`."""
        lock, users = self._locks.get(key, (asyncio.Lock(), 0))
        self._locks[key] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[key]
            if users == 1:
                del self._locks[key]
            else:
                self._locks[key] = lock, users - 1


class _Flight(Generic[V, N]):
    def __init__(self) -> None:
        self.listeners: list[Callable[[N], None]] = []
        self.heard: dict[Hashable, N] = {}
        self.task: asyncio.Task[V] | None = None


class Flights(Generic[K, V, N]):
    """Work that several callers want at once is done once, and all hear its notices.

    It goes on while anybody waits for it, and is cancelled with its last waiter. Whoever
    joins later first hears the last notice of each kind (`kind_of`).
    """

    def __init__(self, kind_of: Callable[[N], Hashable]) -> None:
        self._kind_of = kind_of
        self._flights: dict[K, _Flight[V, N]] = {}

    async def join(
        self,
        key: K,
        work: Callable[[Callable[[N], None]], Awaitable[V]],
        listener: Callable[[N], None],
    ) -> V:
        """The result of `work`, started now or by someone before."""
        flight = self._flights.get(key) or self._start(key, work)
        assert flight.task is not None
        for notice in flight.heard.values():
            listener(notice)
        flight.listeners.append(listener)
        try:
            return await asyncio.shield(flight.task)
        finally:
            flight.listeners.remove(listener)
            if not flight.listeners and not flight.task.done():
                self._forget(key, flight)
                flight.task.cancel()
                await asyncio.wait([flight.task])

    def _start(self, key: K, work: Callable[[Callable[[N], None]], Awaitable[V]]) -> _Flight[V, N]:
        flight: _Flight[V, N] = _Flight()

        def publish(notice: N) -> None:
            flight.heard[self._kind_of(notice)] = notice
            for listener in tuple(flight.listeners):
                listener(notice)

        async def fly() -> V:
            try:
                return await work(publish)
            finally:
                self._forget(key, flight)

        flight.task = asyncio.get_running_loop().create_task(fly())
        self._flights[key] = flight
        return flight

    def _forget(self, key: K, flight: _Flight[V, N]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


async def together(work: Iterable[Coroutine[Any, Any, object]]) -> None:
    """Do all of `work` at once; the first failure ends the rest, and is raised by itself."""
    try:
        async with asyncio.TaskGroup() as group:
            for part in work:
                group.create_task(part)
    except BaseExceptionGroup as failures:
        expected = failures.subgroup(SwarmError)
        raise (expected or failures).exceptions[0] from failures
