"""Ask this node's agent about its images."""

from collections.abc import Iterable, Iterator

from swarm.api.v1 import images_pb2 as pb
from swarmctl.io.channel import Channel


class Images:
    """The calls of `swarm.api.v1.Images`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def load(self, chunks: Iterable[bytes]) -> pb.LoadImageResponse:
        """Send an archive; the names of what was in it come back."""
        requests = (pb.LoadImageRequest(chunk=chunk).SerializeToString() for chunk in chunks)
        return pb.LoadImageResponse.FromString(self._channel.upload("Images/LoadImage", requests))

    def import_rootfs(
        self, first: pb.ImportImageRequest, chunks: Iterable[bytes]
    ) -> pb.ImportImageResponse:
        """Send the tar of a root file system, described by `first`."""
        requests = _requests(first, chunks)
        answer = self._channel.upload("Images/ImportImage", requests)
        return pb.ImportImageResponse.FromString(answer)

    def pull(self, request: pb.PullImageRequest) -> Iterator[pb.PullImageResponse]:
        """Fetch an image; progress comes first, the image last."""
        answers = self._channel.stream("Images/PullImage", request.SerializeToString())
        return (pb.PullImageResponse.FromString(each) for each in answers if each is not None)

    def list(self) -> tuple[pb.Image, ...]:
        """All images of this node."""
        answer = self._call("ListImages", pb.ListImagesRequest().SerializeToString())
        return tuple(pb.ListImagesResponse.FromString(answer).images)

    def inspect(self, name: str) -> pb.InspectImageResponse:
        """One image by name or id."""
        request = pb.InspectImageRequest(name=name).SerializeToString()
        return pb.InspectImageResponse.FromString(self._call("InspectImage", request))

    def remove(self, name: str, *, force: bool) -> pb.RemoveImageResponse:
        """Untag `name`, and delete the image with its last name."""
        request = pb.RemoveImageRequest(name=name, force=force).SerializeToString()
        return pb.RemoveImageResponse.FromString(self._call("RemoveImage", request))

    def tag(self, source: str, target: str) -> None:
        """Give the image `source` the name `target` too."""
        request = pb.TagImageRequest(source=source, target=target).SerializeToString()
        self._call("TagImage", request)

    def push(self, request: pb.PushImageRequest) -> Iterator[pb.PushImageResponse]:
        """Give an image to its registry; progress comes first, the digest last."""
        answers = self._channel.stream("Images/PushImage", request.SerializeToString())
        return (pb.PushImageResponse.FromString(each) for each in answers if each is not None)

    def save(self, names: Iterable[str]) -> Iterator[bytes]:
        """An archive of these images."""
        request = pb.SaveImagesRequest(names=names).SerializeToString()
        for each in self._channel.stream("Images/SaveImages", request):
            yield pb.SaveImagesResponse.FromString(each or b"").chunk

    def prune(self, names: Iterable[str]) -> pb.PruneImagesResponse:
        """Remove these, as far as nothing needs them."""
        request = pb.PruneImagesRequest(names=names).SerializeToString()
        return pb.PruneImagesResponse.FromString(self._call("PruneImages", request))

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Images/{method}", request, timeout_s=120.0)


def _requests(first: pb.ImportImageRequest, chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield first.SerializeToString()
    for chunk in chunks:
        yield pb.ImportImageRequest(chunk=chunk).SerializeToString()
