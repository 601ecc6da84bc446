"""Tell how a build goes on, in the lines of JSON that Docker's clients print."""

from collections.abc import Iterator

from engine import progress
from engine.replies import JsonObject
from swarm.api.v1 import builds_pb2 as pb

# What a program writes to its standard error is red, as it always was.
_RED, _PLAIN = "\x1b[91m", "\x1b[0m"


def tell(said: pb.BuildImageResponse, *, quiet: bool) -> Iterator[JsonObject]:
    """What is printed for one message."""
    if said.text and not quiet:
        text = f"{_RED}{said.text}{_PLAIN}" if said.is_error_output else said.text
        yield {"stream": text}
    if said.layer and not quiet:
        yield progress.pulling(said.layer, said.status, said.current_bytes, said.total_bytes)
    if said.image_id:
        if quiet:
            yield {"stream": f"{said.image_id}\n"}
        else:
            yield {"aux": {"ID": said.image_id}}
