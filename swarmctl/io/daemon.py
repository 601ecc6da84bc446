"""Ask this host's node daemon about itself."""

from swarm.api.v1 import daemon_pb2 as pb
from swarmctl.io.channel import Channel

# A first start makes a certificate authority and brings up etcd and a manager.
_SLOW_S = 120.0


class Daemon:
    """The calls of `swarm.api.v1.Daemon`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def status(self) -> pb.GetStatusResponse:
        """What the daemon is and looks after."""
        request = pb.GetStatusRequest().SerializeToString()
        answer = self._channel.unary("Daemon/GetStatus", request, timeout_s=10.0)
        return pb.GetStatusResponse.FromString(answer)

    def init(self, request: pb.InitRequest) -> pb.InitResponse:
        """Make a swarm with this node as its first manager."""
        answer = self._channel.unary("Daemon/Init", request.SerializeToString(), timeout_s=_SLOW_S)
        return pb.InitResponse.FromString(answer)

    def join(self, request: pb.JoinRequest) -> pb.JoinResponse:
        """Make this node part of a swarm."""
        answer = self._channel.unary("Daemon/Join", request.SerializeToString(), timeout_s=_SLOW_S)
        return pb.JoinResponse.FromString(answer)

    def leave(self, *, force: bool) -> None:
        """Stop this node's tasks and forget the swarm."""
        request = pb.LeaveRequest(force=force).SerializeToString()
        self._channel.unary("Daemon/Leave", request, timeout_s=_SLOW_S)
