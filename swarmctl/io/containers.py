"""Ask this node's agent about the containers that run here."""

from collections.abc import Iterable, Iterator

from google.protobuf.message import Message

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.errors import Missing
from swarmctl.io.channel import Channel

_TIMEOUT_S = 30.0
_LONG_S = 600.0  # what a commit or a grace of minutes may take


class Containers:
    """The calls of `swarm.api.v1.Containers`, but for those that converse."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(self, *, sizes: bool = False) -> tuple[pb.ContainerView, ...]:
        """All containers of this node, the newest first."""
        answer = self._call("ListContainers", pb.ListContainersRequest(sizes=sizes))
        return tuple(pb.ListContainersResponse.FromString(answer).containers)

    def inspect(self, name: str, *, size: bool = False) -> pb.InspectContainerResponse:
        """One container in full."""
        request = pb.InspectContainerRequest(container=name, size=size)
        return pb.InspectContainerResponse.FromString(self._call("InspectContainer", request))

    def has(self, name: str) -> bool:
        """Whether there is a container of this name or id."""
        try:
            self.inspect(name)
        except Missing:
            return False
        return True

    def create(self, spec: pb.StandaloneSpec) -> pb.CreateContainerResponse:
        """Make a container."""
        answer = self._call("CreateContainer", pb.CreateContainerRequest(spec=spec))
        return pb.CreateContainerResponse.FromString(answer)

    def start(self, name: str) -> None:
        """Start it; fine if it runs."""
        self._call("StartContainer", pb.StartContainerRequest(container=name), _LONG_S)

    def stop(self, request: pb.StopContainerRequest) -> None:
        """Have it end; fine if it has."""
        self._call("StopContainer", request, None)

    def restart(self, request: pb.RestartContainerRequest) -> None:
        """Have it end, and start it again."""
        self._call("RestartContainer", request, None)

    def kill(self, name: str, signal: str) -> None:
        """Send its first process a signal."""
        self._call("KillContainer", pb.KillContainerRequest(container=name, signal=signal))

    def pause(self, name: str, *, paused: bool) -> None:
        """Hold it still, or let it go on."""
        self._call("PauseContainer", pb.PauseContainerRequest(container=name, paused=paused))

    def rename(self, name: str, new: str) -> None:
        """Give it another name."""
        self._call("RenameContainer", pb.RenameContainerRequest(container=name, name=new))

    def update(self, request: pb.UpdateContainerRequest) -> tuple[str, ...]:
        """Change limits or the restart policy; what there is to warn of."""
        answer = self._call("UpdateContainer", request)
        return tuple(pb.UpdateContainerResponse.FromString(answer).warnings)

    def remove(self, name: str, *, force: bool, volumes: bool) -> None:
        """Remove it with what it has written."""
        request = pb.RemoveContainerRequest(container=name, force=force, volumes=volumes)
        self._call("RemoveContainer", request, _LONG_S)

    def prune(self, ids: Iterable[str]) -> pb.PruneContainersResponse:
        """Remove these if they do not run."""
        request = pb.PruneContainersRequest(containers=ids)
        return pb.PruneContainersResponse.FromString(
            self._call("PruneContainers", request, _LONG_S)
        )

    def wait(self, name: str) -> int:
        """Wait until it does not run; its exit code."""
        request = pb.WaitContainerRequest(container=name).SerializeToString()
        for each in self._channel.stream("Containers/WaitContainer", request):
            answer = pb.WaitContainerResponse.FromString(each or b"")
            if answer.ended:
                return answer.exit_code
        raise Missing(f"container {name} is gone")

    def processes(self, name: str, arguments: Iterable[str]) -> pb.ListContainerProcessesResponse:
        """Its processes as ps(1) shows them."""
        request = pb.ListContainerProcessesRequest(container=name, arguments=arguments)
        answer = self._call("ListContainerProcesses", request)
        return pb.ListContainerProcessesResponse.FromString(answer)

    def sample(self, name: str) -> pb.ContainerStats:
        """What it uses now."""
        request = pb.WatchContainerStatsRequest(container=name, once=True, one_shot=True)
        answers = self._channel.stream(
            "Containers/WatchContainerStats", request.SerializeToString()
        )
        for each in answers:
            return pb.ContainerStats.FromString(each or b"")
        raise Missing(f"container {name} is gone")

    def logs(self, request: pb.ReadContainerLogsRequest) -> Iterator[control_pb2.LogBatch]:
        """What it wrote, in batches."""
        answers = self._channel.stream("Containers/ReadContainerLogs", request.SerializeToString())
        return (control_pb2.LogBatch.FromString(each) for each in answers if each is not None)

    def diff(self, name: str) -> tuple[pb.PathChange, ...]:
        """What it changed of its image's files."""
        answer = self._call("DiffContainer", pb.DiffContainerRequest(container=name), _LONG_S)
        return tuple(pb.DiffContainerResponse.FromString(answer).changes)

    def commit(self, request: pb.CommitContainerRequest) -> str:
        """Make an image of it; the image's id."""
        answer = self._call("CommitContainer", request, _LONG_S)
        return pb.CommitContainerResponse.FromString(answer).id

    def export(self, name: str) -> Iterator[bytes]:
        """Its files as a tar."""
        request = pb.ExportContainerRequest(container=name).SerializeToString()
        for each in self._channel.stream("Containers/ExportContainer", request):
            yield pb.ExportContainerResponse.FromString(each or b"").chunk

    def stat(self, name: str, path: str) -> pb.PathStat:
        """What is at a path of it; `Missing` if nothing is."""
        answer = self._call("StatPath", pb.StatPathRequest(container=name, path=path))
        return pb.StatPathResponse.FromString(answer).stat

    def read_archive(self, name: str, path: str) -> Iterator[bytes]:
        """A file or directory of it as a tar."""
        request = pb.ReadArchiveRequest(container=name, path=path).SerializeToString()
        for each in self._channel.stream("Containers/ReadArchive", request):
            yield pb.ReadArchiveResponse.FromString(each or b"").chunk

    def write_archive(self, first: pb.WriteArchiveRequest, chunks: Iterable[bytes]) -> None:
        """Unpack a tar in a directory of it."""

        def requests() -> Iterator[bytes]:
            yield first.SerializeToString()
            for chunk in chunks:
                yield pb.WriteArchiveRequest(chunk=chunk).SerializeToString()

        self._channel.upload("Containers/WriteArchive", requests())

    def connect(self, name: str, network: pb.ContainerNetwork) -> None:
        """Put it into a network."""
        request = pb.ConnectContainerRequest(container=name, network=network)
        self._call("ConnectContainer", request)

    def disconnect(self, name: str, network: str, *, force: bool) -> None:
        """Take it out of a network."""
        request = pb.DisconnectContainerRequest(container=name, network=network, force=force)
        self._call("DisconnectContainer", request)

    def _call(self, method: str, request: Message, timeout_s: float | None = _TIMEOUT_S) -> bytes:
        data: bytes = request.SerializeToString()
        return self._channel.unary(f"Containers/{method}", data, timeout_s=timeout_s)
