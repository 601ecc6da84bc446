"""Refuse what this build of the agent cannot do yet."""

from collections.abc import AsyncIterator
from typing import NoReturn

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Refused


class Absent:
    """Stands where somebody else's part will be."""

    async def _refuse(self) -> NoReturn:
        raise Refused("this agent cannot do that yet")

    async def exec(
        self, requests: AsyncIterator[control_pb2.StreamInput]
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        await self._refuse()
        yield control_pb2.StreamOutput()

    async def attach(
        self, requests: AsyncIterator[control_pb2.StreamInput]
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        await self._refuse()
        yield control_pb2.StreamOutput()

    async def resize(self, request: pb.ResizeContainerRequest) -> None:
        await self._refuse()

    async def stat(self, request: pb.StatPathRequest) -> pb.StatPathResponse:
        await self._refuse()

    async def read(self, request: pb.ReadArchiveRequest) -> AsyncIterator[pb.ReadArchiveResponse]:
        await self._refuse()
        yield pb.ReadArchiveResponse()

    async def write(self, requests: AsyncIterator[pb.WriteArchiveRequest]) -> None:
        await self._refuse()

    async def diff(self, request: pb.DiffContainerRequest) -> pb.DiffContainerResponse:
        await self._refuse()

    async def export(
        self, request: pb.ExportContainerRequest
    ) -> AsyncIterator[pb.ExportContainerResponse]:
        await self._refuse()
        yield pb.ExportContainerResponse()

    async def commit(self, request: pb.CommitContainerRequest) -> pb.CommitContainerResponse:
        await self._refuse()

    async def connect(self, request: pb.ConnectContainerRequest) -> None:
        await self._refuse()

    async def disconnect(self, request: pb.DisconnectContainerRequest) -> None:
        await self._refuse()
