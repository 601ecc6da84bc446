"""Serve what clients follow: a container's log, and what it uses."""

import time

from engine.containers import logs
from engine.containers.io.following import follow_log, follow_samples
from engine.containers.io.looking import inspected
from engine.containers.joining import content_type
from engine.containers.stats import write_stats
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.routing import Route
from swarm.api.v1 import containers_pb2 as pb


async def read_logs(ask: Exchange) -> None:
    """GET /containers/{name}/logs"""
    view = (await inspected(ask)).container
    request = logs.read_request(ask.query, view, now=time.time())
    framed = not view.spec.container.tty
    reading = logs.Reading(
        framed=framed,
        timestamps=ask.query.flag("timestamps"),
        details=ask.query.flag("details"),
    )
    async with ending(follow_log(ask.backends, request)) as batches:
        await ask.begin(content_type=content_type(framed=framed, version=ask.version))
        async for lines in batches:
            await ask.write(logs.write_lines(lines, reading))


async def watch_stats(ask: Exchange) -> None:
    """GET /containers/{name}/stats"""
    once = not ask.query.flag("stream", default=True)
    request = pb.WatchContainerStatsRequest(
        container=ask.params["name"], once=once, one_shot=once and ask.query.flag("one-shot")
    )
    async with ending(follow_samples(ask.backends, request)) as samples:
        async for sample in samples:
            if not ask.has_begun:
                await ask.begin()
            await ask.write_json(write_stats(sample))
            if once:
                return


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/containers/{name}/logs", read_logs),
    Route("GET", "/containers/{name}/stats", watch_stats),
)
