"""Decide how a client joins a container's own program."""

from msgspec import Struct

from engine import detaching, replies
from engine.containers import states
from engine.queries import Query
from engine.versions import Version
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Refused
from swarm.standalone import ContainerState

_FRAMES_NAMED = Version(1, 42)


class Joining(Struct, frozen=True, kw_only=True):
    """What a client sees of it and may do with it.

    `stream` without which it sees the past only (`logs`). Input ends with this client where the
    container wants that (`stdin_once`). Outputs are `framed` unless there is a terminal.
    """

    container_id: str
    tty: bool
    framed: bool
    stdin: bool
    stdout: bool
    stderr: bool
    logs: bool
    stream: bool
    stdin_once: bool
    keys: bytes

    def content_type(self, version: Version) -> str:
        """What the stream is called."""
        return content_type(framed=self.framed, version=version)


def content_type(*, framed: bool, version: Version) -> str:
    """What a stream of a program's output is called."""
    return replies.MULTIPLEXED if framed and version >= _FRAMES_NAMED else replies.RAW


def read_joining(query: Query, view: pb.ContainerView, *, framed: bool = True) -> Joining:
    """What a client asks for; `Invalid` when its keys are none."""
    tty, spec = view.spec.container.tty, view.spec
    return Joining(
        container_id=view.id,
        tty=tty,
        framed=framed and not tty,
        stdin=query.flag("stdin") and query.flag("stream") and spec.container.open_stdin,
        stdout=query.flag("stdout") or tty,
        stderr=query.flag("stderr"),
        logs=query.flag("logs"),
        stream=query.flag("stream"),
        stdin_once=spec.stdin_once,
        keys=detaching.parse_keys(query.text("detachKeys")),
    )


def check_joinable(view: pb.ContainerView) -> None:
    """Refuse to join what would not answer."""
    match states.state_of(view):
        case ContainerState.PAUSED:
            raise Refused(f"container {view.id} is paused, unpause the container before attach")
        case ContainerState.RESTARTING:
            raise Refused(f"container {view.id} is restarting, wait until the container is running")
        case _:
            pass
