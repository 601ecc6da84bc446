"""Serve what happens, on this node and in the swarm, in one stream."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterable

from engine import times
from engine.events.showing import LOCAL, SWARM, Choice, Event, of_swarm, write_event
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.routing import Route
from swarm.api.v1 import containers_pb2, control_pb2, daemon_pb2
from swarm.errors import SwarmError
from swarm.specs import Role

_AHEAD = 1000
_EVER = 1e-6  # 0 would be: nothing of what is remembered
_AGAIN_S = 1.0
_PATIENCE_S = 0.3  # for what managers remember, who do not say when that is all

Queue = asyncio.Queue[tuple[str, Event] | None]


async def watch_events(ask: Exchange) -> None:
    """GET /events"""
    now = time.time()
    until = times.moment(ask.query.text("until"), now=now, name="until")
    # Whoever has our first words is told from here on, however late it is that we listen; who
    # says only when to end, all that is remembered, as by Docker.
    since = times.moment(ask.query.text("since"), now=now, name="since")
    since = since or (_EVER if until else now)
    choice = Choice(ask.query.filters())
    queue: Queue = asyncio.Queue(_AHEAD)
    await ask.begin()
    async with asyncio.TaskGroup() as group:
        has_swarm = choice.wants(SWARM) and await _is_manager(ask)
        sources = [group.create_task(_watch_node(ask, queue, since=since, until=until))]
        if has_swarm or (choice.wants(SWARM) and not until):
            sources.append(group.create_task(_watch_swarm(ask, queue, since=since)))
        if until:
            finishing = group.create_task(
                _end(queue, sources[0], patience_s=_PATIENCE_S * has_swarm)
            )
            sources.append(finishing)
        while (found := await queue.get()) is not None:
            scope, event = found
            if not (until and event.at > until) and choice.has(event, scope=scope):
                await ask.write_json(write_event(event, scope=scope))
        for source in sources:
            source.cancel()


async def _end(queue: Queue, node: "asyncio.Task[None]", *, patience_s: float) -> None:
    """End the stream after this node's events, which end by themselves; managers' do not."""
    await asyncio.wait((node,))
    await asyncio.sleep(patience_s)
    await queue.put(None)


async def _watch_node(ask: Exchange, queue: Queue, *, since: float, until: float) -> None:
    """Events of this node; when its agent is starting again, those that follow."""
    while True:
        request = containers_pb2.WatchNodeEventsRequest(since=since, until=until)
        with contextlib.suppress(SwarmError):
            async for event in _each(ask.backends.containers.WatchNodeEvents(request)):
                await queue.put((LOCAL, event))
                since = event.at + 1e-6
            if until:
                return
        if until and time.time() > until:
            return
        await asyncio.sleep(_AGAIN_S)


async def _watch_swarm(ask: Exchange, queue: Queue, *, since: float) -> None:
    """Events of the swarm, for as long as this node is a manager of one."""
    while True:
        request = control_pb2.WatchEventsRequest(since=since)
        if await _is_manager(ask):
            with contextlib.suppress(SwarmError):
                async for event in _each(ask.backends.control.WatchEvents(request)):
                    if (shown := of_swarm(event)) is not None:
                        await queue.put((SWARM, shown))
                    since = event.at + 1e-6
        await asyncio.sleep(_AGAIN_S)


async def _each(call: AsyncIterable[Event]) -> AsyncIterable[Event]:
    async with ending(call) as events:
        async for event in events:
            yield event


async def _is_manager(ask: Exchange) -> bool:
    try:
        status = await ask.backends.daemon.GetStatus(daemon_pb2.GetStatusRequest())
    except SwarmError:
        return False
    return bool(status.node_id) and Role(status.role) is Role.MANAGER


ROUTES: tuple[Route[Handler], ...] = (Route("GET", "/events", watch_events),)
