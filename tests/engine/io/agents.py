"""An agent for tests: containers that are rows of a table, and programs that echo."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import grpc.aio
from google.protobuf.message import Message

from engine.config import Config
from engine.io.backends import Backends
from engine.io.dispatch import Dispatch
from engine.io.routes import ROUTES
from engine.io.server import Server
from swarm.api.v1 import (
    containers_pb2 as pb,
)
from swarm.api.v1 import (
    containers_pb2_grpc,
    control_pb2,
    images_pb2,
    images_pb2_grpc,
)
from swarm.errors import Missing, Refused
from swarm.io.log import configure
from swarm.io.rpc import ErrorInterceptor

Servicer = TypeVar("Servicer")
LOG = configure("test")
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))


def view(
    container_id: str = "a" * 64, name: str = "web", *, state: int = pb.CONTAINER_STATE_RUNNING,
    **fields: Any,
) -> pb.ContainerView:  # fmt: skip
    """A container that runs."""
    found = pb.ContainerView(
        id=container_id,
        name=name,
        image_id="sha256:" + "1" * 64,
        created_at=1_700_000_000.0,
        state=pb.ContainerState.ValueType(state),
        pid=4711 if state == pb.CONTAINER_STATE_RUNNING else 0,
        started_at=time.time() - 7200,
        args=["sleep", "1000"],
        hostname=container_id[:12],
        **fields,
    )
    found.spec.name = name
    found.spec.container.image = "busybox"
    return found


def refusing_the_rest(kind: type[Servicer]) -> type[Servicer]:
    """A servicer that says no to calls that it does not know, where generated code breaks."""

    def refuse(*_: object) -> None:
        raise Refused("this agent does not know how")

    for name in {name for base in kind.__bases__ for name in vars(base) if name[0] != "_"}:
        if name not in vars(kind):
            setattr(kind, name, refuse)
    return kind


@refusing_the_rest
class Agent(containers_pb2_grpc.ContainersServicer, images_pb2_grpc.ImagesServicer):
    """Remembers what it was asked (`asked`); `answers` has what it says instead of the usual."""

    def __init__(self, *views: pb.ContainerView) -> None:
        self.views = list(views)
        self.images: list[images_pb2.Image] = []
        self.asked: list[Message] = []
        self.answers: dict[str, Callable[[Any], Any]] = {}
        self.streams = 0
        self.ended = asyncio.Event()

    def find(self, text: str) -> pb.ContainerView:
        """What `text` means."""
        for each in self.views:
            if text and (each.id.startswith(text) or each.name == text):
                return each
        raise Missing(f"No such container: {text}")

    async def _usual(self, request: Any, answer: Any) -> Any:
        self.asked.append(request)
        made = self.answers.get(type(request).__name__)
        if made is not None:
            return made(request)
        if "container" in request.DESCRIPTOR.fields_by_name:
            self.find(request.container)
        return answer

    async def CreateContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.CreateContainerResponse(id="c" * 64))

    async def StartContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.StartContainerResponse(changed=True))

    async def StopContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.StopContainerResponse(changed=False))

    async def RestartContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.RestartContainerResponse())

    async def KillContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.KillContainerResponse())

    async def PauseContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.PauseContainerResponse())

    async def RenameContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.RenameContainerResponse())

    async def UpdateContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.UpdateContainerResponse())

    async def RemoveContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.RemoveContainerResponse())

    async def PruneContainers(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.PruneContainersResponse(removed=request.containers))

    async def ListContainers(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.ListContainersResponse(containers=self.views))

    async def InspectContainer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return pb.InspectContainerResponse(container=self.find(request.container))

    async def ResizeContainer(self, request: Any, context: Any) -> Any:
        return await self._usual(request, pb.ResizeContainerResponse())

    async def ListImages(self, request: Any, context: Any) -> Any:
        return images_pb2.ListImagesResponse(images=self.images)

    async def WaitContainer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        self.find(request.container)
        yield pb.WaitContainerResponse()
        await self.ended.wait()
        yield pb.WaitContainerResponse(ended=True, exit_code=3)

    async def ReadContainerLogs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.asked.append(request)
        lines = (
            control_pb2.LogLine(at=1_700_000_000.5, data=b"out\n"),
            control_pb2.LogLine(at=1_700_000_001.5, data=b"err\n", stderr=True),
        )
        yield control_pb2.LogBatch(lines=[each for each in lines if each.at >= request.since])
        if request.follow:
            await self._hold()

    async def ExecInContainer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._talk(requests, "exec"):
            yield answer

    async def AttachContainer(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for answer in self._talk(requests, "attach"):
            yield answer

    async def WriteArchive(self, requests: Any, context: Any) -> Any:
        size = 0
        async for request in requests:
            if request.container:
                self.asked.append(request)
                self.find(request.container)
            size += len(request.chunk)
        self.written_bytes = size
        return pb.WriteArchiveResponse()

    async def ExportContainer(self, request: Any, context: Any) -> AsyncIterator[Any]:
        self.find(request.container)
        chunk = b"x" * (1 << 18)
        for _ in range(int(self.answers.get("chunks", lambda _: 4)(None))):
            yield pb.ExportContainerResponse(chunk=chunk)

    async def _hold(self) -> None:
        self.streams += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.streams -= 1

    async def _talk(self, requests: Any, kind: str) -> AsyncIterator[Any]:
        """Echo input on stdout, and say on stderr what else is said; the end of input ends it."""
        first = await anext(aiter(requests))
        self.asked.append(first)
        start = getattr(first, kind)
        if (made := self.answers.get(kind)) is not None:
            made(start)
        self.find(start.task)
        self.streams += 1
        try:
            yield _said(started=control_pb2.StreamStarted(pid=42))
            if not start.open_stdin:
                yield _said(stdout=b"hello\n")
                await self.ended.wait()
                yield _said(ended=control_pb2.StreamEnded(exit_code=7))
                return
            async for request in requests:
                match request.WhichOneof("message"):
                    case "stdin":
                        yield _said(stdout=request.stdin)
                    case "size":
                        size = f"{request.size.rows}x{request.size.columns}"
                        yield _said(stderr=size.encode())
                    case "stdin_end":
                        yield _said(stderr=b"end")
                        yield _said(ended=control_pb2.StreamEnded(exit_code=7))
                        return
                    case other:
                        self.asked.append(request)
                        if other == "detach":
                            return
        finally:
            self.streams -= 1


def _said(**message: Any) -> control_pb2.StreamOutput:
    return control_pb2.StreamOutput(**message)


def refuse(_: object) -> None:
    """An answer that is none."""
    raise Refused("not now")


@contextlib.asynccontextmanager
async def listening(agent: Agent, path: Path) -> AsyncIterator[grpc.aio.Server]:
    """The agent on a socket."""
    server = grpc.aio.server(interceptors=(ErrorInterceptor(LOG),), options=UNLIMITED)
    containers_pb2_grpc.add_ContainersServicer_to_server(agent, server)
    images_pb2_grpc.add_ImagesServicer_to_server(agent, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


class Engine:
    """An engine that serves `path`."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "docker.sock")
        self.agent_path = directory / "agent.sock"
        config = Config(
            swarmd_socket=str(directory / "swarmd.sock"),
            agent_socket=str(self.agent_path),
            identity=str(directory / "identity"),
            data_root=str(directory),
            run_root=str(directory),
            hostname="host1",
        )
        self.backends = Backends(
            swarmd_socket=config.swarmd_socket, agent_socket=config.agent_socket
        )
        self.dispatch = Dispatch(ROUTES, config=config, backends=self.backends, log=LOG)
        self.server = Server(self.dispatch.answer, log=LOG)

    def listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen(512)
        self.server.listen(listener)

    async def close(self) -> None:
        await self.server.close()
        await self.dispatch.close()
        await self.backends.close()


@contextlib.asynccontextmanager
async def serving(agent: Agent, directory: Path) -> AsyncIterator[Engine]:
    """An engine with its agent."""
    engine = Engine(directory)
    async with listening(agent, engine.agent_path):
        engine.listen()
        try:
            yield engine
        finally:
            await engine.close()


async def until(condition: Callable[[], bool], *, within_s: float = 30.0) -> None:
    """Wait for `condition`."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)
