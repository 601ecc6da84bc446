"""Serve builds on the agent's socket.

A build is its caller's: when that goes away, it ends, and nothing is left of it. What it says is
kept back until the caller takes it, and so is the program that says it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable

from agent.build.io.building import Build
from agent.build.io.caching import Cache
from agent.build.io.shop import Shop
from agent.build.request import Request
from agent.images.image import LayerProgress
from swarm.api.v1 import builds_pb2 as pb
from swarm.api.v1 import builds_pb2_grpc
from swarm.codec import from_message
from swarm.errors import Invalid
from swarm.io.rpc import Context
from swarm.specs import Limits, Ulimit

_SAID_AT_ONCE = 64
_BUILDS_AT_ONCE = 16


class Saying:
    """What a build says, until somebody reads it; a quiet one says nothing but its end."""

    def __init__(self, *, is_quiet: bool) -> None:
        self._is_quiet = is_quiet
        self._queue: asyncio.Queue[pb.BuildImageResponse | None] = asyncio.Queue(_SAID_AT_ONCE)
        self._layers: dict[str, LayerProgress] = {}

    async def text(self, text: str, is_error: bool = False) -> None:
        """Some output."""
        if not self._is_quiet:
            await self._queue.put(pb.BuildImageResponse(text=text, is_error_output=is_error))

    async def failed(self, exit_code: int) -> None:
        """A program failed, and with it the build."""
        await self._queue.put(pb.BuildImageResponse(exit_code=exit_code))

    def layer(self, progress: LayerProgress) -> None:
        """How far a pull is; who is slow misses some of it."""
        if not self._is_quiet and not self._queue.full():
            self._queue.put_nowait(
                pb.BuildImageResponse(
                    layer=progress.layer,
                    status=progress.status,
                    current_bytes=progress.current_bytes,
                    total_bytes=progress.total_bytes,
                )
            )

    async def end(self) -> None:
        """No more follows."""
        await self._queue.put(None)

    async def next(self) -> pb.BuildImageResponse | None:
        """The next word; None at the end."""
        return await self._queue.get()


class BuildsService(builds_pb2_grpc.BuildsServicer):
    """The Builds service. `changed` is told when the node has another image, `named` what it is
    called."""

    def __init__(
        self,
        shop: Shop,
        cache: Cache,
        *,
        changed: Callable[[], None],
        named: Callable[[str], None],
    ) -> None:
        self._shop = shop
        self._cache = cache
        self._changed = changed
        self._named = named
        self._turns = asyncio.Semaphore(_BUILDS_AT_ONCE)
        self._working: set[asyncio.Future[str]] = set()

    async def close(self) -> None:
        """End all builds, and wait until nothing is left of them."""
        for each in self._working:
            each.cancel()
        await asyncio.gather(*self._working, return_exceptions=True)

    async def BuildImage(
        self, request_iterator: AsyncIterator[pb.BuildImageRequest], context: Context
    ) -> AsyncIterator[pb.BuildImageResponse]:
        requests = aiter(request_iterator)
        first = await anext(requests, None)
        if first is None or not first.HasField("spec"):
            raise Invalid("nothing to build", hint="the first message has to say what")
        asked = request_of(first.spec)
        saying = Saying(is_quiet=asked.quiet)
        build = Build(asked, self._shop, saying)

        async def work() -> str:
            try:
                async with self._turns:
                    return await build.run(_chunks(requests, first.chunk))
            finally:
                await asyncio.shield(asyncio.ensure_future(saying.end()))

        working = asyncio.ensure_future(work())
        self._working.add(working)
        working.add_done_callback(self._working.discard)
        try:
            while (word := await saying.next()) is not None:
                yield word
            image_id = await working
            for name in asked.tags:
                self._named(name)
            self._changed()
            yield pb.BuildImageResponse(image_id=image_id)
        finally:
            working.cancel()
            while not working.done():
                saying_rest = asyncio.ensure_future(saying.next())
                await asyncio.wait((working, saying_rest), return_when=asyncio.FIRST_COMPLETED)
                saying_rest.cancel()
            if not working.cancelled():
                working.exception()

    async def ListBuildCache(
        self, request: pb.ListBuildCacheRequest, context: Context
    ) -> pb.ListBuildCacheResponse:
        found = sorted(self._cache.index.entries.values(), key=lambda each: -each.used_at)
        counted = set(self._shop.building.listed_layers())
        listed = pb.ListBuildCacheResponse()
        for each in found:
            listed.records.add(
                id=each.key,
                description=each.what,
                size_bytes=each.size_bytes,
                created_at=each.created,
                last_used_at=each.used_at,
                shared=each.diff_id in counted,
                uses=each.uses,
            )
            if each.diff_id:
                counted.add(each.diff_id)
        return listed

    async def PruneBuildCache(
        self, request: pb.PruneBuildCacheRequest, context: Context
    ) -> pb.PruneBuildCacheResponse:
        pruned = await self._cache.prune(
            everything=request.all,
            unused_since=request.unused_since,
            keep_bytes=request.keep_bytes,
            only=frozenset(request.ids),
        )
        return pb.PruneBuildCacheResponse(
            removed=pruned.removed, reclaimed_bytes=pruned.reclaimed_bytes
        )


async def _chunks(
    requests: AsyncIterator[pb.BuildImageRequest], first: bytes
) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for request in requests:
        if request.chunk:
            yield request.chunk


def request_of(spec: pb.BuildSpec) -> Request:
    """What a message asks for; `Invalid` for what this builder cannot do."""
    return Request(
        dockerfile=spec.dockerfile,
        tags=tuple(spec.tags),
        args=dict(spec.args),
        unset_args=tuple(spec.unset_args),
        labels=dict(spec.labels),
        target=spec.target,
        no_cache=spec.no_cache,
        cache_from=tuple(spec.cache_from),
        pull=spec.pull,
        quiet=spec.quiet,
        squash=spec.squash,
        network_mode=spec.network_mode,
        limits=from_message(Limits, spec.limits),
        cpu_shares=spec.cpu_shares,
        cpu_period_us=spec.cpu_period_us,
        cpu_quota_us=spec.cpu_quota_us,
        cpuset_cpus=spec.cpuset_cpus,
        cpuset_mems=spec.cpuset_mems,
        shm_bytes=spec.shm_bytes,
        ulimits=tuple(from_message(Ulimit, each) for each in spec.ulimits),
        extra_hosts=tuple(spec.extra_hosts),
        platform=spec.platform,
        remote=spec.remote,
        registry_auths=dict(spec.registry_auths),
        dockerfile_text=spec.dockerfile_text,
    )
