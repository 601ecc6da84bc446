"""Decide how somebody is attached to a container's own program, and what he gets of its log.

Viewers of containers that somebody runs are waited for, those of tasks' are not. Input that was
asked for ends with the first who brings it where the container says so, and never ends else, as
with Docker; a terminal has no end of input at all.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct
from msgspec.structs import replace

from agent.standalone.found import Found
from runtime.joining import ExecSpec
from runtime.logs import LogLine
from runtime.wire import Manner
from swarm import log_drivers
from swarm.errors import Invalid, Refused
from swarm.standalone import ContainerState

_CHUNK_BYTES = 1 << 16


class Viewing(Struct, frozen=True, kw_only=True):
    """How one is attached. `may_end`: the program reads the end of what he writes."""

    manner: Manner
    may_write: bool
    may_end: bool
    tty: bool = False
    has_log: bool = False


def viewing(found: Found, *, writes: bool, logs: bool) -> Viewing:
    """Of somebody who wants to write, and to see what was printed before.

    Raises `Refused` for a container in the wrong state, `Invalid` where nothing is kept.
    """
    record = found.record
    if record is None:
        if not found.is_running:
            raise Refused(f"container {found.name} is not running")
        return Viewing(manner=_behind(logs), may_write=writes, may_end=True, has_log=logs)
    if found.is_paused:
        raise Refused(
            f"container {found.id} is paused, unpause the container before attach",
        )
    if record.life.state is ContainerState.RESTARTING:
        raise Refused(
            f"container {found.id} is restarting, wait until the container is running",
        )
    if logs and record.spec.log_driver.name == log_drivers.NOTHING:
        raise Invalid("configured logging driver does not support reading")
    asked = record.spec.container
    ends = writes and asked.open_stdin and record.spec.stdin_once and not asked.tty
    manner = Manner.WAITED_FOR | _behind(logs and found.is_running)
    return Viewing(
        manner=manner | Manner.ENDS_INPUT if ends else manner,
        may_write=writes and asked.open_stdin,
        may_end=ends,
        tty=asked.tty,
        has_log=logs,
    )


def _behind(logs: bool) -> Manner:
    return Manner.BEHIND_LOG if logs else Manner.PLAIN


def joinable(found: Found) -> None:
    """Raise `Refused` if no program can be run in it now."""
    if not found.is_running:
        raise Refused(f"container {found.id} is not running")
    if found.is_paused:
        raise Refused(f"container {found.id} is paused, unpause the container before exec")


def terminal(found: Found, program: ExecSpec) -> ExecSpec:
    """The program with a type of its terminal, where nobody has named one."""
    known = found.record.spec.container.env + found.record.image.env if found.record else ()
    if not program.tty or any(each.startswith("TERM=") for each in (*known, *program.env)):
        return program
    return replace(program, env=("TERM=xterm", *program.env))


def chunks(lines: Iterable[LogLine]) -> Iterator[tuple[str, bytes]]:
    """What was printed, by stream, in pieces that are worth a message."""
    stream, held, size = "", list[bytes](), 0
    for line in lines:
        if held and (line.stream != stream or size >= _CHUNK_BYTES):
            yield stream, b"".join(held)
            held, size = [], 0
        data = line.text.encode(errors="surrogateescape")
        stream = line.stream
        held.append(data)
        size += len(data)
    if held:
        yield stream, b"".join(held)
