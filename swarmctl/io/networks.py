"""Ask the cluster about its networks."""

from collections.abc import Iterable, Iterator

from swarm.api.v1 import control_pb2 as pb
from swarm.codec import to_message
from swarm.errors import Missing
from swarm.specs import NetworkSpec
from swarmctl.io.channel import Channel

# Before a network is made nodes are asked whether they can have it; a check waits for all of them.
_TIMEOUT_S = 30.0


class Networks:
    """The calls about networks."""

    word = "network"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(self, spec: NetworkSpec) -> pb.NetworkView:
        """Make a network."""
        request = pb.CreateNetworkRequest(spec=to_message(spec)).SerializeToString()
        return pb.CreateNetworkResponse.FromString(self._call("CreateNetwork", request)).network

    def list(self, names: Iterable[str] = ()) -> list[pb.NetworkView]:
        """Those that are meant, or all."""
        request = pb.ListNetworksRequest(networks=names).SerializeToString()
        return [*pb.ListNetworksResponse.FromString(self._call("ListNetworks", request)).networks]

    def one(self, name: str) -> pb.NetworkView:
        """The one that `name` means."""
        found = self.list([name])
        if not found:
            raise Missing(f"no such network: {name}", hint="`swarmctl network ls` lists them")
        return found[0]

    def ids(self) -> dict[str, str]:
        """The ids of all networks by their names."""
        return {view.network.spec.name: view.network.id for view in self.list()}

    def inspect(self, name: str) -> pb.InspectNetworkResponse:
        """One of them with all that is in it."""
        request = pb.InspectNetworkRequest(network=name).SerializeToString()
        return pb.InspectNetworkResponse.FromString(self._call("InspectNetwork", request))

    def remove(self, network_id: str) -> None:
        """Remove one that nothing uses."""
        request = pb.RemoveNetworkRequest(network=network_id).SerializeToString()
        self._call("RemoveNetwork", request)

    def prune(self, request: pb.PruneNetworksRequest) -> tuple[str, ...]:
        """Remove those that nothing uses; their names."""
        answer = self._call("PruneNetworks", request.SerializeToString())
        return tuple(pb.PruneNetworksResponse.FromString(answer).removed)

    def connect(self, request: pb.ConnectNetworkRequest) -> pb.ConnectNetworkResponse:
        """Put a running task into one that is attachable."""
        answer = self._call("ConnectNetwork", request.SerializeToString())
        return pb.ConnectNetworkResponse.FromString(answer)

    def disconnect(self, network: str, task: str, *, force: bool) -> None:
        """Take a task out of one that it was put into."""
        request = pb.DisconnectNetworkRequest(network=network, task=task, force=force)
        self._call("DisconnectNetwork", request.SerializeToString())

    def check(self, network: str) -> Iterator[pb.NetworkReport]:
        """What each node finds of all others, as they come."""
        request = pb.CheckNetworkRequest(network=network).SerializeToString()
        for each in self._channel.stream("Control/CheckNetwork", request):
            if each is not None:
                yield pb.NetworkReport.FromString(each)

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Control/{method}", request, timeout_s=_TIMEOUT_S)
