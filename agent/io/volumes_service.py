"""Serve this node's volumes to swarmctl, on a socket that only root can open.

swarmd passes the calls on. What a task needs is never removed, and is named.
"""

import asyncio
import secrets
from collections.abc import Callable
from pathlib import Path

from agent.io.sizes import size_of
from agent.io.volumes import Description, Volumes
from swarm.api.v1 import volumes_pb2 as pb
from swarm.api.v1 import volumes_pb2_grpc
from swarm.errors import Invalid, Missing, Refused
from swarm.io.rpc import Context
from swarm.volumes import ANONYMOUS, LOCAL, driver_problems


class VolumesService(volumes_pb2_grpc.VolumesServicer):
    """The Volumes service of volumes.proto. `pruned` is told how many bytes were freed."""

    def __init__(
        self, volumes: Volumes, *, pruned: Callable[[int], None] = lambda freed: None
    ) -> None:
        self._volumes = volumes
        self._pruned = pruned

    async def CreateVolume(
        self, request: pb.CreateVolumeRequest, context: Context
    ) -> pb.CreateVolumeResponse:
        for problem in driver_problems(request.driver):
            raise Invalid(problem)
        labels = dict(request.labels)
        found = await self._volumes.create(
            request.name or secrets.token_hex(32),
            labels=labels if request.name else labels | {ANONYMOUS: ""},
            options=dict(request.options),
        )
        return pb.CreateVolumeResponse(volume=self._shown(found))

    async def ListVolumes(
        self, request: pb.ListVolumesRequest, context: Context
    ) -> pb.ListVolumesResponse:
        users, volumes = self._volumes.users(), self._volumes
        response = pb.ListVolumesResponse(
            volumes=[
                self._message(volumes.describe(name), users.get(name, ()))
                for name in volumes.names()
            ]
        )
        for each in response.volumes if request.sizes else ():
            each.size_bytes = await asyncio.to_thread(size_of, Path(each.mountpoint))
        return response

    async def InspectVolume(
        self, request: pb.InspectVolumeRequest, context: Context
    ) -> pb.InspectVolumeResponse:
        return pb.InspectVolumeResponse(volume=self._shown(self._volumes.describe(request.name)))

    async def RemoveVolume(
        self, request: pb.RemoveVolumeRequest, context: Context
    ) -> pb.RemoveVolumeResponse:
        await self._volumes.remove(request.name, force=request.force)
        return pb.RemoveVolumeResponse()

    async def PruneVolumes(
        self, request: pb.PruneVolumesRequest, context: Context
    ) -> pb.PruneVolumesResponse:
        response = pb.PruneVolumesResponse()
        for name in request.names:
            try:
                size = await asyncio.to_thread(size_of, Path(self._volumes.path(name)))
                await self._volumes.remove(name)
            except (Missing, Refused):
                continue  # somebody was faster, or needs it by now
            response.removed.append(name)
            response.reclaimed_bytes += size
        self._pruned(response.reclaimed_bytes)
        return response

    def _shown(self, found: Description) -> pb.Volume:
        return self._message(found, self._volumes.users().get(found.name, ()))

    def _message(self, found: Description, users: tuple[str, ...]) -> pb.Volume:
        return pb.Volume(
            name=found.name,
            driver=LOCAL,
            mountpoint=self._volumes.path(found.name),
            labels=found.labels,
            options=found.options,
            created_at=found.created_at,
            users=users,
        )
