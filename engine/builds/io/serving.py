"""Serve the classic builder: a context comes in while what is built from it is told."""

import time
from collections.abc import AsyncIterator

from engine import progress, replies
from engine.builds import cached
from engine.builds.reading import read_build
from engine.builds.telling import Telling
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import SwarmError


async def build_image(ask: Exchange) -> None:
    """POST /build"""
    spec = read_build(ask.query, ask.head.headers.get("x-registry-config", ""))
    exit_code, telling = 0, Telling(quiet=spec.quiet)

    async def requests() -> AsyncIterator[pb.BuildImageRequest]:
        yield pb.BuildImageRequest(spec=spec)
        async for chunk in ask.body():
            yield pb.BuildImageRequest(chunk=chunk)

    try:
        async with ending(ask.backends.builds.BuildImage(requests())) as answers:
            async for said in answers:
                exit_code = said.exit_code or exit_code
                for line in telling.tell(said):
                    if not ask.has_begun:
                        await ask.begin()
                    await ask.write_json(line)
    except SwarmError as err:
        if not ask.has_begun and not exit_code:
            raise
        if not ask.has_begun:
            await ask.begin()
        await ask.write_json(progress.failure(err, code=exit_code))


async def prune_cache(ask: Exchange) -> Reply:
    """POST /build/prune"""
    query = ask.query
    filters = query.filters()
    request = pb.PruneBuildCacheRequest(
        all=query.flag("all"),
        keep_bytes=query.integer("reserved-space") or query.integer("keep-storage"),
        unused_since=cached.read_unused_since(filters, now=time.time()),
    )
    pruned = pb.PruneBuildCacheResponse()
    if cached.narrows(filters):
        listed = await ask.backends.builds.ListBuildCache(pb.ListBuildCacheRequest())
        request.ids.extend(cached.choose(listed.records, filters))
    if request.ids or not cached.narrows(filters):
        pruned = await ask.backends.builds.PruneBuildCache(request)
    return replies.json(
        {"CachesDeleted": list(pruned.removed) or None, "SpaceReclaimed": pruned.reclaimed_bytes}
    )


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/build", build_image),
    Route("POST", "/build/prune", prune_cache),
)
