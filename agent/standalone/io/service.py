"""Serve the containers of this node on the agent's own socket, which only root can open.

Nothing is decided here: each call is handed to whoever does it, and its answer is put into a
message. Who that is:

* `Lives` (`lives.py`) knows every container: `find` gives what an id, the beginning of one or a
  name means (`agent.standalone.found`), and `held` the same and keeps it from being removed
  meanwhile; `Requests` does what is asked of one;
* `Showing` puts what is known of containers into views, and knows the directories of their file
  systems (`layers`); `Logs`, `Samples` and `Tops` show what they print, use and run;
* `Streams` (`streams.py`), `Archives` (`archives.py`) and `Attaching` (`networks.py`) take and give
  messages themselves.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from msgspec import Struct

from agent.standalone.io import journal
from agent.standalone.io.journal import Journal
from agent.standalone.io.logs import Logs
from agent.standalone.io.requests import Requests
from agent.standalone.io.samples import Samples
from agent.standalone.io.showing import Showing
from agent.standalone.io.tops import Tops
from agent.standalone.io.waiting import Waiting
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import containers_pb2_grpc, control_pb2, objects_pb2
from swarm.codec import from_message
from swarm.io.rpc import Context
from swarm.specs import Limits
from swarm.standalone import ContainerRestart, Shares, StandaloneSpec


class Streams(Protocol):
    """What joins containers."""

    def exec(
        self, requests: AsyncIterator[control_pb2.StreamInput]
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        """Run a program in one."""
        ...

    def attach(
        self, requests: AsyncIterator[control_pb2.StreamInput]
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        """Join its own program."""
        ...

    async def resize(self, request: pb.ResizeContainerRequest) -> None:
        """Tell its terminal a size."""
        ...


class Archives(Protocol):
    """What reads and writes the files of containers."""

    async def stat(self, request: pb.StatPathRequest) -> pb.StatPathResponse:
        """Say what a path is."""
        ...

    def read(self, request: pb.ReadArchiveRequest) -> AsyncIterator[pb.ReadArchiveResponse]:
        """Give what is at a path."""
        ...

    async def write(self, requests: AsyncIterator[pb.WriteArchiveRequest]) -> None:
        """Put files below a path."""
        ...

    async def diff(self, request: pb.DiffContainerRequest) -> pb.DiffContainerResponse:
        """Say what is not as in its image."""
        ...

    def export(
        self, request: pb.ExportContainerRequest
    ) -> AsyncIterator[pb.ExportContainerResponse]:
        """Give all its files."""
        ...

    async def commit(self, request: pb.CommitContainerRequest) -> pb.CommitContainerResponse:
        """Make an image of it."""
        ...


class Connecting(Protocol):
    """What puts containers into networks, and takes them out."""

    async def connect(self, request: pb.ConnectContainerRequest) -> None:
        """Put one into a network."""
        ...

    async def disconnect(self, request: pb.DisconnectContainerRequest) -> None:
        """Take one out of a network."""
        ...


class Parts(Struct, frozen=True, kw_only=True):
    """Who does what is asked."""

    requests: Requests
    waiting: Waiting
    showing: Showing
    logs: Logs
    samples: Samples
    tops: Tops
    journal: Journal
    streams: Streams
    archives: Archives
    connecting: Connecting


class ContainersService(containers_pb2_grpc.ContainersServicer):
    """The Containers service of containers.proto."""

    def __init__(self, parts: Parts) -> None:
        self._do = parts

    async def CreateContainer(
        self, request: pb.CreateContainerRequest, context: Context
    ) -> pb.CreateContainerResponse:
        spec = from_message(StandaloneSpec, request.spec)
        container_id, warnings = await self._do.requests.create(spec)
        return pb.CreateContainerResponse(id=container_id, warnings=warnings)

    async def StartContainer(
        self, request: pb.StartContainerRequest, context: Context
    ) -> pb.StartContainerResponse:
        changed = await self._do.requests.start(request.container)
        return pb.StartContainerResponse(changed=changed)

    async def StopContainer(
        self, request: pb.StopContainerRequest, context: Context
    ) -> pb.StopContainerResponse:
        changed = await self._do.requests.stop(
            request.container,
            signal=request.signal,
            grace_s=request.grace_s if request.HasField("grace_s") else None,
        )
        return pb.StopContainerResponse(changed=changed)

    async def RestartContainer(
        self, request: pb.RestartContainerRequest, context: Context
    ) -> pb.RestartContainerResponse:
        await self._do.requests.restart(
            request.container,
            signal=request.signal,
            grace_s=request.grace_s if request.HasField("grace_s") else None,
        )
        return pb.RestartContainerResponse()

    async def KillContainer(
        self, request: pb.KillContainerRequest, context: Context
    ) -> pb.KillContainerResponse:
        await self._do.requests.kill(request.container, request.signal)
        return pb.KillContainerResponse()

    async def PauseContainer(
        self, request: pb.PauseContainerRequest, context: Context
    ) -> pb.PauseContainerResponse:
        await self._do.requests.pause(request.container, paused=request.paused)
        return pb.PauseContainerResponse()

    async def RenameContainer(
        self, request: pb.RenameContainerRequest, context: Context
    ) -> pb.RenameContainerResponse:
        await self._do.requests.rename(request.container, request.name)
        return pb.RenameContainerResponse()

    async def UpdateContainer(
        self, request: pb.UpdateContainerRequest, context: Context
    ) -> pb.UpdateContainerResponse:
        has = request.HasField
        for alias in request.unlinked:
            await self._do.requests.unlink(request.container, alias)
        if request.unlinked and not (has("limits") or has("shares") or has("restart")):
            return pb.UpdateContainerResponse()
        warnings = await self._do.requests.update(
            request.container,
            limits=from_message(Limits, request.limits) if has("limits") else None,
            shares=from_message(Shares, request.shares) if has("shares") else None,
            restart=from_message(ContainerRestart, request.restart) if has("restart") else None,
        )
        return pb.UpdateContainerResponse(warnings=warnings)

    async def RemoveContainer(
        self, request: pb.RemoveContainerRequest, context: Context
    ) -> pb.RemoveContainerResponse:
        await self._do.requests.remove(
            request.container, force=request.force, volumes=request.volumes
        )
        return pb.RemoveContainerResponse()

    async def PruneContainers(
        self, request: pb.PruneContainersRequest, context: Context
    ) -> pb.PruneContainersResponse:
        removed, freed = await self._do.requests.prune(request.containers)
        return pb.PruneContainersResponse(removed=removed, reclaimed_bytes=freed)

    async def WaitContainer(
        self, request: pb.WaitContainerRequest, context: Context
    ) -> AsyncIterator[pb.WaitContainerResponse]:
        ending = self._do.waiting.begin(request.container, request.condition)
        yield pb.WaitContainerResponse()
        ended = await ending
        yield pb.WaitContainerResponse(ended=True, exit_code=ended.exit_code, error=ended.error)

    async def ListContainers(
        self, request: pb.ListContainersRequest, context: Context
    ) -> pb.ListContainersResponse:
        found = await self._do.showing.all(sizes=request.sizes)
        return pb.ListContainersResponse(containers=found)

    async def InspectContainer(
        self, request: pb.InspectContainerRequest, context: Context
    ) -> pb.InspectContainerResponse:
        return await self._do.showing.one(request.container, size=request.size)

    async def ListContainerProcesses(
        self, request: pb.ListContainerProcessesRequest, context: Context
    ) -> pb.ListContainerProcessesResponse:
        shown = await self._do.tops.show(request.container, request.arguments)
        rows = [pb.ProcessRow(fields=each) for each in shown.rows]
        return pb.ListContainerProcessesResponse(titles=shown.titles, rows=rows)

    def WatchContainerStats(
        self, request: pb.WatchContainerStatsRequest, context: Context
    ) -> AsyncIterator[pb.ContainerStats]:
        return self._do.samples.watch(request)

    def ReadContainerLogs(
        self, request: pb.ReadContainerLogsRequest, context: Context
    ) -> AsyncIterator[control_pb2.LogBatch]:
        return self._do.logs.read(request)

    async def WatchNodeEvents(
        self, request: pb.WatchNodeEventsRequest, context: Context
    ) -> AsyncIterator[objects_pb2.Event]:
        with self._do.journal.listening(since=request.since) as queue:
            # Whoever asks may go by this: what happens from now on is told.
            await context.send_initial_metadata(())
            async for event in journal.told(queue, until=request.until):
                yield event

    def ExecInContainer(
        self, request_iterator: AsyncIterator[control_pb2.StreamInput], context: Context
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        return self._do.streams.exec(request_iterator)

    def AttachContainer(
        self, request_iterator: AsyncIterator[control_pb2.StreamInput], context: Context
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        return self._do.streams.attach(request_iterator)

    async def ResizeContainer(
        self, request: pb.ResizeContainerRequest, context: Context
    ) -> pb.ResizeContainerResponse:
        await self._do.streams.resize(request)
        return pb.ResizeContainerResponse()

    async def StatPath(self, request: pb.StatPathRequest, context: Context) -> pb.StatPathResponse:
        return await self._do.archives.stat(request)

    def ReadArchive(
        self, request: pb.ReadArchiveRequest, context: Context
    ) -> AsyncIterator[pb.ReadArchiveResponse]:
        return self._do.archives.read(request)

    async def WriteArchive(
        self, request_iterator: AsyncIterator[pb.WriteArchiveRequest], context: Context
    ) -> pb.WriteArchiveResponse:
        await self._do.archives.write(request_iterator)
        return pb.WriteArchiveResponse()

    async def DiffContainer(
        self, request: pb.DiffContainerRequest, context: Context
    ) -> pb.DiffContainerResponse:
        return await self._do.archives.diff(request)

    def ExportContainer(
        self, request: pb.ExportContainerRequest, context: Context
    ) -> AsyncIterator[pb.ExportContainerResponse]:
        return self._do.archives.export(request)

    async def CommitContainer(
        self, request: pb.CommitContainerRequest, context: Context
    ) -> pb.CommitContainerResponse:
        return await self._do.archives.commit(request)

    async def ConnectContainer(
        self, request: pb.ConnectContainerRequest, context: Context
    ) -> pb.ConnectContainerResponse:
        await self._do.connecting.connect(request)
        return pb.ConnectContainerResponse()

    async def DisconnectContainer(
        self, request: pb.DisconnectContainerRequest, context: Context
    ) -> pb.DisconnectContainerResponse:
        await self._do.connecting.disconnect(request)
        return pb.DisconnectContainerResponse()
