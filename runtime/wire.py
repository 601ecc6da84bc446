"""Frame what a client and a shim tell each other: JSON, one message a line.

A client hands its end of a fresh socket pair to the launcher and writes the spec as the first
line; the shim that the launcher forks answers on the other end, `Claimed` first. Later
clients connect to the shim's own socket and are told the state at once. Whoever reads end of
file knows that the other side is gone, since nobody else holds its end.
"""

from typing import Final

import msgspec
from msgspec import Struct

from runtime.outcome import ContainerState, Exited

# What the launcher is told, one datagram each.
RUN: Final = b"run"  # with one end of a socket pair
STOPPING: Final = b"stopping"  # the watched daemon means to end
YIELD: Final = b"yield"  # a new launcher takes over


class Claimed(Struct, frozen=True, tag="claimed"):
    """The shim owns the container's directory: from here on something may be left behind."""


class Running(Struct, frozen=True, tag="running"):
    """The container runs; `state.exited` is None."""

    state: ContainerState


class Refused(Struct, frozen=True, tag="refused"):
    """The container could not be started, and nothing of it is left."""

    step: str
    errno: int
    message: str
    hint: str = ""


class Ended(Struct, frozen=True, tag="ended"):
    """The container exited; its state is on disk and its control groups are gone."""

    exited: Exited


class Answered(Struct, frozen=True, tag="answered"):
    """The command with this number was carried out, or failed with `errno`."""

    number: int
    errno: int = 0


class Kill(Struct, frozen=True, tag="kill"):
    """Send a signal to process 1."""

    number: int
    signal: int


Report = Claimed | Running | Refused | Ended | Answered
Command = Kill

_REPORTS: Final[msgspec.json.Decoder[Report]] = msgspec.json.Decoder(Report)
_COMMANDS: Final = msgspec.json.Decoder(Command)


def encode(message: Struct) -> bytes:
    """One message as a line."""
    return msgspec.json.encode(message) + b"\n"


def running(state: bytes) -> bytes:
    """`Running` as a line, from a state that is encoded already."""
    return b'{"type":"running","state":' + state + b"}\n"


def decode_report(line: bytes) -> Report:
    """Read what a shim says. Raises `msgspec.DecodeError` on anything else."""
    return _REPORTS.decode(line)


def decode_command(line: bytes) -> Command:
    """Read what a client says. Raises `msgspec.DecodeError` on anything else."""
    return _COMMANDS.decode(line)


def split(buffered: bytes) -> tuple[list[bytes], bytes]:
    """Complete lines, and the beginning of the next one."""
    *lines, rest = buffered.split(b"\n")
    return lines, rest
