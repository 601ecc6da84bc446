"""Become a program in a running container: in a fork of its shim, from the request to the exec.

The shim forks into the container's pid namespace, so one fork is enough. Everything is done
here: what this process reads and imports is gone with its exec. Nobody in the container may
look into it before then, for it still holds what is the host's.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH115

import errno
import os
import select
import socket
from typing import Final, NoReturn

import msgspec

from runtime.cgroups.layout import Layout
from runtime.io import kernel
from runtime.io.inside.applying import Inside, carry_out
from runtime.io.planning import plan_program
from runtime.io.process import Surroundings
from runtime.io.program import ENTERED, REFUSED
from runtime.joining import ExecSpec
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState
from runtime.spec import ContainerSpec
from runtime.wire import Refused, decode_exec, encode
from swarm.errors import KernelRefused

_REQUEST_TIMEOUT_MS: Final = 10_000
_REQUEST_BYTES: Final = 1 << 18
_MAX_DESCRIPTOR: Final = 65536
_PAGE_BYTES: Final = 4096
_SPECS: Final = msgspec.json.Decoder(ContainerSpec)
_STATES: Final = msgspec.json.Decoder(ContainerState)


class Entrance:
    """The way into one container, for whoever is forked by its shim."""

    def __init__(self, directory: ContainerDir, around: Surroundings) -> None:
        self._directory = directory
        self._around = around

    @property
    def layout(self) -> Layout:
        """Where control groups are."""
        return self._around.layout

    def serve(self, report: int, client: int, streams: tuple[int, ...]) -> NoReturn:
        """Become the program that `client` asks for, with its streams."""
        self._become(report, None, client, streams)

    def check(self, report: int, program: ExecSpec, output: int) -> NoReturn:
        """Become a health check."""
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._become(report, program, -1, (null, output, output))

    def _become(
        self, report: int, program: ExecSpec | None, client: int, streams: tuple[int, ...]
    ) -> NoReturn:
        try:
            os.setsid()
            report, client, streams = _keep_only(report, client, streams)
            kernel.reset_signals()
            if program is None:
                program = decode_exec(_receive(client))
            raise _join(self._directory, self._around, program, report, streams)
        except KernelRefused as failure:
            no = failure
        except BaseException as bug:  # nobody above us: unsaid, it would look like a kill
            no = KernelRefused("exec", errno.EIO, f"bug: {bug!r}")
        os.write(report, REFUSED + encode(Refused(no.step, no.errno, no.message, no.hint)))
        os._exit(127)


def _keep_only(
    report: int, client: int, streams: tuple[int, ...]
) -> tuple[int, int, tuple[int, ...]]:
    """Hold on to nothing else of the shim's, and have three streams where they belong."""
    if len(streams) == 3:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        streams = ()
    kept = sorted({report, *streams, *((client,) if client >= 0 else ())})
    start = 3
    for descriptor in kept:
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, _MAX_DESCRIPTOR)
    return report, client, streams


def _read(path: str, most_bytes: int = 0) -> bytes:
    """All of a file, without the objects that open() makes: each is pages to copy.

    The kernel does not tell the size of its own.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, most_bytes or os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _receive(client: int) -> bytes:
    """The request. A client that goes away before its end takes this process along."""
    waiting = select.poll()
    waiting.register(client, select.POLLIN)
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        if not waiting.poll(_REQUEST_TIMEOUT_MS):
            os._exit(0)
        parts.append(os.read(client, _REQUEST_BYTES))
        if not parts[-1]:
            os._exit(0)
    return b"".join(parts)


class _Oversight:
    """How the shim learns that the program runs."""

    preserved = 0
    has_gate = False

    def __init__(self, report: int, streams: tuple[int, ...], title: tuple[int, int]) -> None:
        self.title = title
        self._report = report
        self._streams = streams
        self._pid = _own_pid()

    def continued(self) -> None:
        """It never is: our parent is the container's own already."""

    def created(self) -> None:
        """A program that joins runs no hooks."""

    def terminal(self, master: int) -> None:
        """The client holds it."""
        with socket.socket(fileno=os.dup(self._streams[0])) as link:
            socket.send_fds(link, [b"\n"], [master])

    def ready(self) -> None:
        """There is no gate."""

    def executing(self) -> None:
        """The last word, unless the exec fails."""
        os.write(self._report, ENTERED + b"%d\n" % self._pid)


def _own_pid() -> int:
    """/proc is the host's as yet."""
    return int(os.readlink("/proc/self"))


def _first_process(directory: ContainerDir) -> int:
    """The container's first process, by the number that it has where we are."""
    state = _STATES.decode(_read(directory.state_file))
    try:
        status = _read(f"/proc/{state.pid}/status", _PAGE_BYTES)
    except FileNotFoundError as err:
        raise KernelRefused("join container", errno.ESRCH, "the container is ending") from err
    (numbers,) = (each for each in status.splitlines() if each.startswith(b"NSpid:"))
    return int(numbers.split()[-1])


def _join(
    directory: ContainerDir,
    around: Surroundings,
    program: ExecSpec,
    report: int,
    streams: tuple[int, ...],
) -> KernelRefused:
    spec = _SPECS.decode(_read(directory.spec_file))
    plan = plan_program(
        spec,
        program,
        directory.path,
        run_root=around.run_root,
        layout=around.layout,
        last_capability=around.last_capability,
        default_filter=around.default_filter,
        pid=_first_process(directory) if spec.pid_namespace else 1,
    )
    return carry_out(plan, Inside(_Oversight(report, streams, around.title)))
