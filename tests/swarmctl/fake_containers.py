# ruff: noqa: N802 - gRPC names the methods
"""The part of the pretended swarm that is one host's: its containers, builds and networks."""

import io
import tarfile
from collections.abc import Iterator
from typing import Any

from swarm.api.v1 import (
    builds_pb2,
    builds_pb2_grpc,
    containers_pb2,
    containers_pb2_grpc,
    control_pb2,
    images_pb2,
    localnetworks_pb2,
    localnetworks_pb2_grpc,
    objects_pb2,
    specs_pb2,
)
from swarm.errors import Missing, SwarmError

GO_DIRECTORY = 1 << 31


class FakeContainers(
    containers_pb2_grpc.ContainersServicer,
    builds_pb2_grpc.BuildsServicer,
    localnetworks_pb2_grpc.LocalNetworksServicer,
):
    """Mixed into `FakeSwarm`, whose `_take`, `_fail` and `_played` it uses.

    `files` are what containers have at a path: content, or None for a directory.
    """

    def __init__(self) -> None:
        self.containers: list[containers_pb2.ContainerView] = []
        self.container_logs: list[control_pb2.LogBatch] = []
        self.samples: list[containers_pb2.ContainerStats] = []
        self.changes: list[containers_pb2.PathChange] = []
        self.files: dict[str, bytes | None] = {}
        self.written = b""
        self.local_networks: list[localnetworks_pb2.LocalNetwork] = []
        self.built: list[builds_pb2.BuildImageResponse] = []
        self.cached: list[builds_pb2.BuildCacheRecord] = []
        self.context = b""
        self.pushes: list[images_pb2.PushImageResponse] = []
        self.is_image_here = True

    def _take(self, method: str, request: Any, context: Any) -> None:
        raise NotImplementedError

    def _fail(self, context: Any, error: SwarmError) -> None:
        raise NotImplementedError

    def _played(self, requests: Any, context: Any) -> Iterator[Any]:
        raise NotImplementedError

    def add_container(self, name: str, **fields: Any) -> containers_pb2.ContainerView:
        """One that runs unless it is told otherwise."""
        number = len(self.containers) + 1
        spec = containers_pb2.StandaloneSpec(name=name)
        spec.container.image = fields.pop("image", "busy:1")
        view = containers_pb2.ContainerView(
            id=f"{number:x}" * 64,
            name=name,
            spec=spec,
            image_id="sha256:" + "a" * 64,
            created_at=1e9 + number,
            started_at=1e9 + number,
            finished_at=1e9 + number,
            args=["sleep", "1000"],
            state=fields.pop("state", containers_pb2.CONTAINER_STATE_RUNNING),
        )
        view.MergeFrom(containers_pb2.ContainerView(**fields))
        self.containers.insert(0, view)
        return view

    def _container(self, name: str, context: Any) -> containers_pb2.ContainerView:
        for view in self.containers:
            if name and (name == view.name or view.id.startswith(name)):
                return view
        self._fail(context, Missing(f"No such container: {name}"))
        raise AssertionError("a failure ends the call")

    def CreateContainer(self, request: Any, context: Any) -> Any:
        self._take("CreateContainer", request, context)
        if not self.is_image_here:
            self._fail(context, Missing(f"No such image: {request.spec.container.image}"))
        view = self.add_container(request.spec.name or "made_up", state=0)
        view.spec.CopyFrom(request.spec)
        return containers_pb2.CreateContainerResponse(id=view.id, warnings=["beware"])

    def StartContainer(self, request: Any, context: Any) -> Any:
        self._take("StartContainer", request, context)
        self._container(request.container, context)
        return containers_pb2.StartContainerResponse(changed=True)

    def StopContainer(self, request: Any, context: Any) -> Any:
        self._take("StopContainer", request, context)
        self._container(request.container, context)
        return containers_pb2.StopContainerResponse(changed=True)

    def RestartContainer(self, request: Any, context: Any) -> Any:
        self._take("RestartContainer", request, context)
        return containers_pb2.RestartContainerResponse()

    def KillContainer(self, request: Any, context: Any) -> Any:
        self._take("KillContainer", request, context)
        return containers_pb2.KillContainerResponse()

    def PauseContainer(self, request: Any, context: Any) -> Any:
        self._take("PauseContainer", request, context)
        return containers_pb2.PauseContainerResponse()

    def RenameContainer(self, request: Any, context: Any) -> Any:
        self._take("RenameContainer", request, context)
        return containers_pb2.RenameContainerResponse()

    def UpdateContainer(self, request: Any, context: Any) -> Any:
        self._take("UpdateContainer", request, context)
        return containers_pb2.UpdateContainerResponse(warnings=["no swap here"])

    def RemoveContainer(self, request: Any, context: Any) -> Any:
        self._take("RemoveContainer", request, context)
        self._container(request.container, context)
        return containers_pb2.RemoveContainerResponse()

    def PruneContainers(self, request: Any, context: Any) -> Any:
        self._take("PruneContainers", request, context)
        return containers_pb2.PruneContainersResponse(
            removed=request.containers, reclaimed_bytes=5000
        )

    def WaitContainer(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("WaitContainer", request, context)
        yield containers_pb2.WaitContainerResponse()
        yield containers_pb2.WaitContainerResponse(ended=True, exit_code=7)

    def ListContainers(self, request: Any, context: Any) -> Any:
        self._take("ListContainers", request, context)
        return containers_pb2.ListContainersResponse(containers=self.containers)

    def InspectContainer(self, request: Any, context: Any) -> Any:
        self._take("InspectContainer", request, context)
        view = self._container(request.container, context)
        return containers_pb2.InspectContainerResponse(container=view)

    def ListContainerProcesses(self, request: Any, context: Any) -> Any:
        self._take("ListContainerProcesses", request, context)
        row = containers_pb2.ProcessRow(fields=["1", "sleep 1000"])
        return containers_pb2.ListContainerProcessesResponse(titles=["PID", "CMD"], rows=[row])

    def WatchContainerStats(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("WatchContainerStats", request, context)
        yield self.samples.pop(0)

    def ReadContainerLogs(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("ReadContainerLogs", request, context)
        yield from self.container_logs

    def ExecInContainer(self, requests: Any, context: Any) -> Iterator[Any]:
        self._take("ExecInContainer", next(requests), context)
        return self._played(requests, context)

    def AttachContainer(self, requests: Any, context: Any) -> Iterator[Any]:
        self._take("AttachContainer", next(requests), context)
        return self._played(requests, context)

    def StatPath(self, request: Any, context: Any) -> Any:
        self._take("StatPath", request, context)
        self._container(request.container, context)
        path = request.path.removesuffix("/.").rstrip("/") or "/"
        if path not in self.files:
            self._fail(context, Missing(f"Could not find the file {request.path}"))
        mode = GO_DIRECTORY if self.files[path] is None else 0o644
        return containers_pb2.StatPathResponse(stat=containers_pb2.PathStat(mode=mode))

    def ReadArchive(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("ReadArchive", request, context)
        base = request.path.removesuffix("/.").rstrip("/")
        parent = base.rpartition("/")[0]
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as tar:
            for path, content in self.files.items():
                if path == base or path.startswith(f"{base}/"):
                    entry = tarfile.TarInfo(path.removeprefix(f"{parent}/"))
                    entry.mode = 0o755
                    if content is None:
                        entry.type = tarfile.DIRTYPE
                    else:
                        entry.size = len(content)
                    tar.addfile(entry, io.BytesIO(content or b""))
        for start in range(0, len(raw.getvalue()), 700):
            yield containers_pb2.ReadArchiveResponse(chunk=raw.getvalue()[start : start + 700])

    def WriteArchive(self, requests: Any, context: Any) -> Any:
        self._take("WriteArchive", next(requests), context)
        self.written = b"".join(each.chunk for each in requests)
        return containers_pb2.WriteArchiveResponse()

    def DiffContainer(self, request: Any, context: Any) -> Any:
        self._take("DiffContainer", request, context)
        return containers_pb2.DiffContainerResponse(changes=self.changes)

    def ExportContainer(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("ExportContainer", request, context)
        yield containers_pb2.ExportContainerResponse(chunk=b"a ")
        yield containers_pb2.ExportContainerResponse(chunk=b"tar")

    def CommitContainer(self, request: Any, context: Any) -> Any:
        self._take("CommitContainer", request, context)
        return containers_pb2.CommitContainerResponse(id="sha256:" + "c" * 64)

    def ConnectContainer(self, request: Any, context: Any) -> Any:
        self._take("ConnectContainer", request, context)
        return containers_pb2.ConnectContainerResponse()

    def DisconnectContainer(self, request: Any, context: Any) -> Any:
        self._take("DisconnectContainer", request, context)
        return containers_pb2.DisconnectContainerResponse()

    # Builds and images

    def BuildImage(self, requests: Any, context: Any) -> Iterator[Any]:
        self._take("BuildImage", next(requests), context)
        self.context = b"".join(each.chunk for each in requests)
        yield from self.built
        yield builds_pb2.BuildImageResponse(image_id="sha256:" + "b" * 64)

    def ListBuildCache(self, request: Any, context: Any) -> Any:
        self._take("ListBuildCache", request, context)
        return builds_pb2.ListBuildCacheResponse(records=self.cached)

    def PruneBuildCache(self, request: Any, context: Any) -> Any:
        self._take("PruneBuildCache", request, context)
        gone = [each.id for each in self.cached]
        return builds_pb2.PruneBuildCacheResponse(removed=gone, reclaimed_bytes=5000)

    def PushImage(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("PushImage", request, context)
        yield from self.pushes
        yield images_pb2.PushImageResponse(digest="sha256:" + "d" * 64, total_bytes=527)

    def SaveImages(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("SaveImages", request, context)
        yield images_pb2.SaveImagesResponse(chunk=b"an archive")

    def PruneImages(self, request: Any, context: Any) -> Any:
        self._take("PruneImages", request, context)
        return images_pb2.PruneImagesResponse(deleted=request.names, reclaimed_bytes=5000)

    # Networks of this host

    def CreateLocalNetwork(self, request: Any, context: Any) -> Any:
        self._take("CreateLocalNetwork", request, context)
        network = self.add_local_network(request.spec)
        return localnetworks_pb2.CreateLocalNetworkResponse(network=network)

    def ListLocalNetworks(self, request: Any, context: Any) -> Any:
        self._take("ListLocalNetworks", request, context)
        return localnetworks_pb2.ListLocalNetworksResponse(networks=self.local_networks)

    def RemoveLocalNetwork(self, request: Any, context: Any) -> Any:
        self._take("RemoveLocalNetwork", request, context)
        return localnetworks_pb2.RemoveLocalNetworkResponse()

    def add_local_network(self, spec: specs_pb2.NetworkSpec) -> localnetworks_pb2.LocalNetwork:
        """A network of this host alone."""
        number = len(self.local_networks) + 1
        network = objects_pb2.Network(id=f"{number:x}" * 64, spec=spec, created_at=1e9)
        made = localnetworks_pb2.LocalNetwork(network=network, driver="bridge")
        self.local_networks.append(made)
        return made
