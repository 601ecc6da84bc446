"""Read what goes on for long, over the ends of the agents that tell it.

An agent that stays away is raised, as is what broke off before a client was told of a beginning.
What is told of a container that is gone by then has ended; how that ended nobody knows.
"""

import asyncio
import time
from collections.abc import AsyncIterator

from engine.containers.resuming import LogPlace, rest_of_wait
from engine.io.backends import Backends, Lost, ending
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Missing

_AGAIN_S = 0.1


async def follow_log(
    backends: Backends, asked: pb.ReadContainerLogsRequest
) -> AsyncIterator[list[control_pb2.LogLine]]:
    """The lines of a log, as they come."""
    place = LogPlace(began_at=time.time())
    while True:
        try:
            async with ending(backends.containers.ReadContainerLogs(asked)) as batches:
                async for batch in batches:
                    yield place.unread(batch.lines)
            return
        except Lost:
            if not asked.follow:
                raise
        try:
            await _inspected(backends, asked.container)
        except Missing:
            return
        asked = place.rest(asked)


async def follow_samples(
    backends: Backends, asked: pb.WatchContainerStatsRequest
) -> AsyncIterator[pb.ContainerStats]:
    """What a container uses, time and again."""
    has_begun = False
    while True:
        try:
            async with ending(backends.containers.WatchContainerStats(asked)) as samples:
                async for sample in samples:
                    has_begun = True
                    yield sample
            return
        except Lost:
            if asked.once or not has_begun:
                raise
        try:
            await _inspected(backends, asked.container)
        except Missing:
            return


async def wait_for_end(
    backends: Backends, asked: pb.WaitContainerRequest
) -> AsyncIterator[pb.WaitContainerResponse]:
    """That the wait has begun, once, and how it ended."""
    began_at, has_begun = time.time(), False
    while True:
        try:
            async with ending(backends.containers.WaitContainer(asked)) as answers:
                async for answer in answers:
                    if answer.ended or not has_begun:
                        has_begun = True
                        yield answer
            return
        except Lost as err:
            if not has_begun:
                raise
            lost = err
        try:
            view = await _inspected(backends, asked.container)
        except Missing:
            raise lost from None
        asked = rest_of_wait(asked, view, began_at=began_at)


async def _inspected(backends: Backends, container: str) -> pb.ContainerView:
    """What the next agent says of it, once it answers."""
    await asyncio.sleep(_AGAIN_S)  # one that ends at each such question is not to be driven
    request = pb.InspectContainerRequest(container=container)
    return (await backends.containers.InspectContainer(request)).container
