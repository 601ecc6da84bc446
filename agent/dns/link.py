"""Frame what the agent and the name service tell each other.

Each message is a length in four bytes, and JSON. The service begins with `Welcome`, which says
what it is and whom it answers, and a `Holding` for each of those; then it replies to `Count` and
to nothing else. With `Serve` and with `Holding` travel the sockets that a container's questions
arrive at, UDP's and TCP's, in the order of the messages: both sides have them, so that whichever
dies gets them from the other, with the questions that wait in them. Whatever a message says may
have been said before, and is right again.
"""

import struct
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from agent.dns.asking import Asker
from agent.dns.counts import Counts
from swarm.errors import Invalid
from swarm.ids import NetworkId, TaskId
from swarm.topology import Topology

SOCKET: Final = "dns.sock"
PROTOCOL: Final = "2"
"""Changes with every change of this module, or of how containers are served."""

_Message = TypeVar("_Message")
_LENGTH: Final = struct.Struct("!I")
_LONGEST: Final = 256 * 1024 * 1024


class Take(Struct, frozen=True, tag="take"):
    """The networks, or what has changed of them.

    With `is_local` a complete topology is all that there is of the node's own networks.
    """

    topology: Topology
    is_local: bool = False


class Serve(Struct, frozen=True, tag="serve"):
    """Answer a container from now on; two sockets come along."""

    asker: Asker


class Release(Struct, frozen=True, tag="release"):
    """Let go of a container."""

    task_id: TaskId


class Keep(Struct, frozen=True, tag="keep"):
    """Let go of all other containers."""

    task_ids: tuple[TaskId, ...]


class Count(Struct, frozen=True, tag="count"):
    """Say what was counted."""


class Leave(Struct, frozen=True, tag="leave"):
    """End: another version takes over."""


class Welcome(Struct, frozen=True, tag="welcome"):
    """Who answers here."""

    protocol: str
    version: str
    pid: int
    askers: tuple[Asker, ...] = ()


class Holding(Struct, frozen=True, tag="holding"):
    """These are a container's sockets; two descriptors come along."""

    task_id: TaskId


class Counted(Struct, frozen=True, tag="counted"):
    """What was counted, by network."""

    networks: dict[NetworkId, Counts]
    names: dict[NetworkId, str]
    containers: int = 0


Order = Take | Serve | Release | Keep | Count | Leave
Report = Welcome | Holding | Counted

_ENCODER: Final = msgspec.json.Encoder()
_ORDERS: Final = msgspec.json.Decoder(Order)
_REPORTS: Final = msgspec.json.Decoder(Report)


def encode(message: Order | Report) -> bytes:
    """One message with its length."""
    body = _ENCODER.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """What has arrived of a stream of messages."""

    def __init__(self) -> None:
        self._held = bytearray()

    def orders(self, received: bytes) -> Iterator[Order]:
        """The orders that are complete now. Raises `Invalid`, after which nothing can be read."""
        return (_read(_ORDERS, each) for each in self._bodies(received))

    def reports(self, received: bytes) -> Iterator[Report]:
        """The reports that are complete now. Raises `Invalid` likewise."""
        return (_read(_REPORTS, each) for each in self._bodies(received))

    def _bodies(self, received: bytes) -> Iterator[bytes]:
        self._held += received
        while len(self._held) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._held)
            if length > _LONGEST:
                raise Invalid(f"a message of {length} bytes")
            end = _LENGTH.size + length
            if len(self._held) < end:
                return
            body = bytes(self._held[_LENGTH.size : end])
            del self._held[:end]
            yield body


def _read(decoder: "msgspec.json.Decoder[_Message]", body: bytes) -> _Message:
    try:
        return decoder.decode(body)
    except (msgspec.ValidationError, msgspec.DecodeError) as err:
        raise Invalid(f"not a message: {err}") from err
