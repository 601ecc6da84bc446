"""Ask this node's agent about the networks that are its own."""

from google.protobuf.message import Message

from swarm.api.v1 import localnetworks_pb2 as pb
from swarm.codec import to_message
from swarm.specs import NetworkSpec
from swarmctl.io.channel import Channel


class LocalNetworks:
    """The calls of `swarm.api.v1.LocalNetworks`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, spec: NetworkSpec) -> pb.CreateLocalNetworkResponse:
        """Make one."""
        answer = self._call(
            "CreateLocalNetwork", pb.CreateLocalNetworkRequest(spec=to_message(spec))
        )
        return pb.CreateLocalNetworkResponse.FromString(answer)

    def list(self) -> tuple[pb.LocalNetwork, ...]:
        """All, those that every node has among them."""
        answer = self._call("ListLocalNetworks", pb.ListLocalNetworksRequest())
        return tuple(pb.ListLocalNetworksResponse.FromString(answer).networks)

    def find(self, name: str) -> pb.LocalNetwork | None:
        """The one that was made here and that `name` means: an id, the beginning of one, a name."""
        found = [each for each in self.list() if not is_built_in(each)]
        named = [each for each in found if each.network.spec.name == name]
        begun = [each for each in found if name and each.network.id.startswith(name)]
        return next(iter(named or (begun if len(begun) == 1 else ())), None)

    def remove(self, network_id: str) -> None:
        """Remove one that no container is in."""
        self._call("RemoveLocalNetwork", pb.RemoveLocalNetworkRequest(network=network_id))

    def _call(self, method: str, request: Message) -> bytes:
        data: bytes = request.SerializeToString()
        return self._channel.unary(f"LocalNetworks/{method}", data, timeout_s=30.0)


def is_built_in(network: pb.LocalNetwork) -> bool:
    """Whether it is one that every node has by itself."""
    return network.network.spec.name in ("bridge", "host", "none")
