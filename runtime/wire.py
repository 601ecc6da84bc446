"""Frame what a client and a shim tell each other: JSON, one message a line.

A client hands its end of a fresh socket pair to the launcher and writes the spec as the first
line; the shim that the launcher forks answers on the other end, `Claimed` first. Whoever
connects to the shim's own socket later says with one byte what for; descriptors travel with
that byte. `WATCH` is told the state at once. `EXEC` brings the program's ends (three, or with
a terminal one socket that is sent its master) and then an `ExecSpec` as a line; the program
lives as long as this connection. `ATTACH`, with what `Manner` adds to it, brings what output is
copied to, and a socket that is sent where input goes. Connections for that may also come with
the spec: such a viewer sees what the program writes from its first byte on. Whoever reads end
of file knows that the other side is gone, since nobody else holds its end.
"""

from enum import IntFlag
from typing import Final

import msgspec
from msgspec import Struct

from runtime.joining import ExecSpec
from runtime.outcome import ContainerState, Exited, HealthChanged

# What the launcher is told, one datagram each.
RUN: Final = b"run"  # with one end of a socket pair
RUN_APART: Final = b"run apart"  # the same, where the shim does not make the pid namespace
STOPPING: Final = b"stopping"  # the watched daemon means to end
YIELD: Final = b"yield"  # a new launcher takes over

# The first byte on a connection to a shim.
WATCH: Final = b"w"
EXEC: Final = b"x"  # with stdin, stdout and stderr, or one end of a socket pair, or nothing
ATTACH: Final = b"a"  # with stdout, stderr, and one end of a socket pair
MOST_VIEWERS: Final = 32  # that may come with a spec


class Manner(IntFlag):
    """How one is attached, beyond seeing what is printed from now on."""

    PLAIN = 0
    WAITED_FOR = 1  # the container does not go on before we have taken what it printed
    ENDS_INPUT = 2  # the container's input ends with our connection
    BEHIND_LOG = 4  # first comes what is printed and not logged yet, so that we can read the log


_EVERY_MANNER: Final = int(Manner.WAITED_FOR | Manner.ENDS_INPUT | Manner.BEHIND_LOG)


def attaching(manner: Manner) -> bytes:
    """The first byte of whoever attaches in this `manner`."""
    return bytes((ATTACH[0] + int(manner),))


def manner_of(purpose: bytes) -> int:
    """The `Manner` of whoever attaches; -1 if the purpose is another one."""
    number = purpose[0] - ATTACH[0] if purpose else -1
    return number if 0 <= number <= _EVERY_MANNER else -1


class Claimed(Struct, frozen=True, tag="claimed"):
    """The shim owns the container's directory: from here on something may be left behind."""


class Offered(Struct, frozen=True, tag="offered"):
    """Process 1 has a network to be connected.

    Two descriptors come along: the namespace, and the end of a pipe to write one byte to once
    it is connected. If that is closed with nothing written, the container gives up.
    """


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


class Examined(Struct, frozen=True, tag="examined"):
    """A health check has found out something new."""

    health: HealthChanged


class Entered(Struct, frozen=True, tag="entered"):
    """The program of this connection runs in the container; `pid` is the host's number."""

    pid: int


class Left(Struct, frozen=True, tag="left"):
    """The program of this connection ended; `exit_code` is 128 more than a signal's number."""

    exit_code: int


class Attached(Struct, frozen=True, tag="attached"):
    """From here on output is copied. With `input` the socket was sent where to write to.

    `log_inode` and `log_bytes` are the file of the log that was being written then, and how
    much of it; 0 is none. What is written later is later than `log_at`.
    """

    tty: bool
    input: bool
    log_inode: int = 0
    log_bytes: int = 0
    log_at: float = 0.0


class Dropped(Struct, frozen=True, tag="dropped"):
    """Output was not read in time, so no more of it comes: the container waits for nobody."""


class InputEnded(Struct, frozen=True, tag="input_ended"):
    """The program is to read the end of its input: whoever could write to it lets go of that."""


class Answered(Struct, frozen=True, tag="answered"):
    """The command with this number was carried out, or failed with `errno`."""

    number: int
    errno: int = 0


class Kill(Struct, frozen=True, tag="kill"):
    """Send a signal to process 1, or to the program of this connection."""

    number: int
    signal: int


class EndInput(Struct, frozen=True, tag="end_input"):
    """Let the container's program read end of file, once nobody can write to it any more."""

    number: int


Report = (
    Claimed
    | Offered
    | Running
    | Refused
    | Ended
    | Examined
    | Entered
    | Left
    | Attached
    | Dropped
    | InputEnded
    | Answered
)
Command = Kill | EndInput

_REPORTS: Final[msgspec.json.Decoder[Report]] = msgspec.json.Decoder(Report)
_COMMANDS: Final[msgspec.json.Decoder[Command]] = msgspec.json.Decoder(Command)
_JOINING: Final = msgspec.json.Decoder(ExecSpec)


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


def decode_exec(line: bytes) -> ExecSpec:
    """Read what is to run in a container. Raises `msgspec.DecodeError` on anything else."""
    return _JOINING.decode(line)


def split(buffered: bytes) -> tuple[list[bytes], bytes]:
    """Complete lines, and the beginning of the next one."""
    *lines, rest = buffered.split(b"\n")
    return lines, rest
