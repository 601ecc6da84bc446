"""A node that is in no swarm, and containers of its own."""

import asyncio
import contextlib
import shutil
import signal
from collections.abc import Iterator

import grpc

from runtime.io.client import Runtime
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import containers_pb2_grpc
from swarm.codec import to_message
from swarm.specs import ContainerSpec
from swarm.standalone import StandaloneSpec
from tests.agent.node import TestNode, wait_for

IMAGE = "busybox:test"


class LoneNode(TestNode):
    """The processes of a node without a swarm, and what one may ask of its containers."""

    def __init__(self, **options: str) -> None:
        super().__init__("", **options)
        self.configure(node_id="", managers=[])

    def containers(self) -> containers_pb2_grpc.ContainersStub:
        return containers_of(self)

    def start(self) -> containers_pb2_grpc.ContainersStub:
        self.start_launcher()
        self.start_agent()
        self.load(IMAGE)
        return self.containers()

    def close(self) -> None:
        """Remove everything; a purge would keep containers that are no tasks."""
        if self.agent is not None:
            self.stop_agent(signal.SIGKILL)
        try:
            asyncio.run(self._delete_all())
            shutil.rmtree(self.data_root / "agent/standalone", ignore_errors=True)
        finally:
            super().close()

    async def _delete_all(self) -> None:
        runtime = Runtime(run_root=self.run_root, launcher_socket=self.run_root / "launcher.sock")
        try:
            for each in await runtime.adopt():
                await runtime.delete(each.container_id)
        finally:
            await runtime.close()

    def restart_agent(self, number: int) -> containers_pb2_grpc.ContainersStub:
        self.stop_agent(number)
        (self.run_root / "agent.sock").unlink(missing_ok=True)
        self.start_agent()
        return self.containers()


def containers_of(node: TestNode) -> containers_pb2_grpc.ContainersStub:
    """The containers of a node, in a swarm or not."""
    socket = node.run_root / "agent.sock"
    wait_for("the agent serves containers", socket.exists)
    channel = grpc.insecure_channel(f"unix:{socket}")
    grpc.channel_ready_future(channel).result(30)
    return containers_pb2_grpc.ContainersStub(channel)


def spec(*args: str, mode: str = "none", image: str = IMAGE, **fields: object) -> StandaloneSpec:
    """A container that runs `args`; what belongs to `container` goes there."""
    inner = {k: fields.pop(k) for k in tuple(fields) if k in ContainerSpec.__struct_fields__}
    container = ContainerSpec(image=image, args=args, **inner)  # type: ignore[arg-type]
    return StandaloneSpec(container=container, network_mode=mode, **fields)  # type: ignore[arg-type]


def create(calls: containers_pb2_grpc.ContainersStub, *args: str, **fields: object) -> str:
    request = pb.CreateContainerRequest(spec=to_message(spec(*args, **fields)))  # type: ignore[arg-type]
    return calls.CreateContainer(request, timeout=30).id


def run(calls: containers_pb2_grpc.ContainersStub, *args: str, **fields: object) -> str:
    container = create(calls, *args, **fields)
    calls.StartContainer(pb.StartContainerRequest(container=container), timeout=30)
    return container


@contextlib.contextmanager
def lone_node(**options: str) -> Iterator[LoneNode]:
    found = LoneNode(**options)
    try:
        yield found
    finally:
        found.close()
