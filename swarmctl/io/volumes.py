"""Ask this node's agent about its volumes."""

from collections.abc import Iterable, Mapping

from swarm.api.v1 import volumes_pb2 as pb
from swarmctl.io.channel import Channel

# Large volumes take their time to remove.
_TIMEOUT_S = 120.0


class Volumes:
    """The calls of `swarm.api.v1.Volumes`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def create(
        self, name: str, *, driver: str, labels: Mapping[str, str], options: Mapping[str, str]
    ) -> pb.Volume:
        """Make a volume, or find it."""
        request = pb.CreateVolumeRequest(name=name, driver=driver, labels=labels, options=options)
        answer = self._call("CreateVolume", request.SerializeToString())
        return pb.CreateVolumeResponse.FromString(answer).volume

    def list(self) -> tuple[pb.Volume, ...]:
        """All volumes of this node."""
        answer = self._call("ListVolumes", pb.ListVolumesRequest().SerializeToString())
        return tuple(pb.ListVolumesResponse.FromString(answer).volumes)

    def inspect(self, name: str) -> pb.Volume:
        """One volume."""
        request = pb.InspectVolumeRequest(name=name).SerializeToString()
        return pb.InspectVolumeResponse.FromString(self._call("InspectVolume", request)).volume

    def remove(self, name: str, *, force: bool) -> None:
        """Remove a volume that no task needs, with its content."""
        request = pb.RemoveVolumeRequest(name=name, force=force).SerializeToString()
        self._call("RemoveVolume", request)

    def prune(self, names: Iterable[str]) -> pb.PruneVolumesResponse:
        """Remove those of `names` that no task needs by then."""
        request = pb.PruneVolumesRequest(names=names).SerializeToString()
        return pb.PruneVolumesResponse.FromString(self._call("PruneVolumes", request))

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Volumes/{method}", request, timeout_s=_TIMEOUT_S)
