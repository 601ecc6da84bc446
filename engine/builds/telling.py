"""Tell how a build goes on, in the lines of JSON that Docker's clients print."""

from collections.abc import Iterator

from engine import progress
from engine.replies import JsonObject
from swarm.api.v1 import builds_pb2 as pb

# What a program writes to its standard error is red, as it always was.
_RED, _PLAIN = "\x1b[91m", "\x1b[0m"


_LAST_WORDS = "Successfully "


class Telling:
    """What is printed for each message of a build, in order.

    Clients take the image's id from the line before the last words, so these wait for it.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._held: list[JsonObject] = []

    def tell(self, said: pb.BuildImageResponse) -> Iterator[JsonObject]:
        """The lines for one message."""
        if said.text.startswith(_LAST_WORDS) and not said.is_error_output:
            self._held.append({"stream": said.text})
            return
        if said.image_id and not self._quiet:
            yield {"aux": {"ID": said.image_id}}
        yield from self.rest()
        if said.image_id and self._quiet:
            yield {"stream": f"{said.image_id}\n"}
        if said.text:
            text = f"{_RED}{said.text}{_PLAIN}" if said.is_error_output else said.text
            yield {"stream": text}
        if said.layer:
            yield progress.pulling(said.layer, said.status, said.current_bytes, said.total_bytes)

    def rest(self) -> Iterator[JsonObject]:
        """What was held back."""
        held, self._held = self._held, []
        yield from held
