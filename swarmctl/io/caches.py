"""Ask this node's agent about what its builder remembers."""

from swarm.api.v1 import builds_pb2 as pb
from swarmctl.io.channel import Channel


class Caches:
    """The calls of `swarm.api.v1.Builds` that build nothing."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(self) -> tuple[pb.BuildCacheRecord, ...]:
        """What each step came to, the latest used first."""
        answer = self._call("ListBuildCache", pb.ListBuildCacheRequest().SerializeToString())
        return tuple(pb.ListBuildCacheResponse.FromString(answer).records)

    def prune(self, request: pb.PruneBuildCacheRequest) -> pb.PruneBuildCacheResponse:
        """Forget what is asked for."""
        answer = self._call("PruneBuildCache", request.SerializeToString())
        return pb.PruneBuildCacheResponse.FromString(answer)

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Builds/{method}", request, timeout_s=120.0)
