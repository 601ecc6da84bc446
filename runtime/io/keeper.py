"""Keep a running container: its output, its signals, who joins it, its health, its end.

A loop over descriptors, without timers but for health checks: while nothing happens, nothing
runs. What it knows is on disk before anyone is told, so an exit that nobody heard is found by
whoever comes next.
"""

import contextlib
import errno
import os
import signal
import socket
import sys
import time
from typing import Final

import msgspec
from msgspec import Struct

from runtime import wire
from runtime.cgroups import memory
from runtime.io import cgroups, freezing, host
from runtime.io.checking import Checking
from runtime.io.entering import Entrance
from runtime.io.execs import Execs
from runtime.io.output import Output
from runtime.io.polling import Poll
from runtime.io.process import Burial
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState, Exited
from runtime.spec import Health

_READ_BYTES: Final = 65536
_ENDING_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.001
_BACKLOG: Final = 128
_STREAMS: Final = 3  # the most that a newcomer passes
_PASSED_BYTES: Final = socket.CMSG_SPACE(4 * _STREAMS)
# Made once, by the launcher: making one costs a shim more than all that it decodes.
_STATES: Final = msgspec.json.Decoder(ContainerState)
_BURIALS: Final = msgspec.json.Decoder(Burial)
_HEALTHS: Final = msgspec.json.Decoder(Health)


class Process(Struct, frozen=True):
    """Process 1, our ends of its streams, and its `ContainerState`, encoded.

    `stdin` is -1 where nobody can write. With a terminal `stdin` and `stdout` are both its
    master, and `stderr` is -1.
    """

    pid: int
    stdout: int
    stderr: int
    state: bytes
    stdin: int = -1


class Upkeep(Struct, frozen=True):
    """How to keep the container, as JSON, for most of it is needed late or never.

    Of a `Log`, a `Burial`, and a `Health` or nothing; and the path of its control groups.
    """

    log: bytes
    burial: bytes
    health: bytes
    group: bytes


class Keeper:
    """A running container and those who watch it.

    Clients are bare descriptors: a socket object each would cost more than all the rest.
    """

    def __init__(
        self,
        directory: ContainerDir,
        upkeep: Upkeep,
        process: Process,
        listener: socket.SocketType,
        entrance: Entrance,
    ) -> None:
        self._directory = directory
        self._upkeep = upkeep
        self._process = process
        self._listener = listener
        self._stdin = process.stdin
        self._feeding: set[int] = set()  # clients without whom there is no input
        self._buffered: dict[int, bytes] = {}
        self._poll = Poll()
        self._output = Output(self._poll, upkeep.log, stdout=process.stdout, stderr=process.stderr)
        self._execs = Execs(self._poll, entrance.serve)
        self._checking: Checking | None = None
        self._is_reaped = self._ended = False
        if upkeep.health:
            group = upkeep.group.decode()
            self._checking = Checking(
                self._poll,
                directory,
                _HEALTHS.decode(upkeep.health),
                become=entrance.check,
                is_paused=lambda: freezing.is_pausing(entrance.layout, group),
                changed=self._tell,
            )

    def begin(self, client: int, viewers: tuple[int, ...] = ()) -> None:
        """The program runs, as `client` wanted; viewers are connections that came with it."""
        host.replace_file(self._directory.state_file, self._process.state)
        for viewer in viewers:
            os.set_blocking(viewer, False)
            self._greet(viewer)
        self.adopt(client)

    def adopt(self, client: int) -> None:
        """Have one more client, which is told how things stand."""
        self._admit(client)
        self._send(client, wire.running(self._process.state))
        if self._checking is not None:
            self._send(client, self._checking.state())

    def serve(self) -> None:
        """Go on until the container has ended and everyone knows."""
        listener = self._listener
        os.set_blocking(listener.fileno(), False)
        listener.listen(_BACKLOG)
        self._poll.watch(os.pidfd_open(self._process.pid), self._reap)
        self._poll.watch(listener.fileno(), self._accept)
        self._output.begin()
        while not self._ended:
            if self._checking is None:
                self._poll.turn(None)
            else:
                self._poll.turn(self._checking.timeout_s)
                self._checking.wake()

    # --- who comes ------------------------------------------------------------------------------

    def _accept(self, descriptor: int) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        try:
            newcomer = listener.accept()[0].detach()
        except (BlockingIOError, ConnectionAbortedError):
            return
        finally:
            listener.detach()
        os.set_blocking(newcomer, False)
        self._poll.watch(newcomer, self._greet)

    def _greet(self, newcomer: int) -> None:
        """The first byte says what for; what follows it is not ours to read yet."""
        try:
            purpose, passed = _receive(newcomer)
        except BlockingIOError:
            return
        except OSError:
            purpose, passed = b"", ()
        self._poll.forget(newcomer)
        match purpose, len(passed):
            case wire.WATCH, 0:
                self.adopt(newcomer)
            case wire.EXEC, 0 | 1 | 3:
                self._execs.begin(newcomer, passed)
            case _, 3 if wire.manner_of(purpose) >= 0:
                self._attach(newcomer, wire.manner_of(purpose), *passed)
            case _:
                for descriptor in (newcomer, *passed):
                    os.close(descriptor)

    def _attach(self, client: int, manner: int, stdout: int, stderr: int, hand: int) -> None:
        self._admit(client)
        given_up = None if manner & wire.Manner.WAITED_FOR else self._give_up
        self._output.attach(client, stdout=stdout, stderr=stderr, given_up=given_up)
        has_input = self._stdin >= 0 and _hand_over(hand, self._stdin)
        os.close(hand)
        if manner & wire.Manner.ENDS_INPUT:
            self._feeding.add(client)
        log = (0, 0, 0.0)
        if manner & wire.Manner.BEHIND_LOG:
            log = (*self._output.catch_up(client), time.time())
        tty = self._stdin >= 0 and self._stdin == self._process.stdout
        self._send(client, wire.encode(wire.Attached(tty, has_input, *log)))

    def _give_up(self, client: int) -> None:
        self._send(client, wire.encode(wire.Dropped()))
        self._drop(client)

    def _admit(self, client: int) -> None:
        os.set_blocking(client, False)
        self._buffered[client] = b""
        self._poll.watch(client, self._hear)

    # --- what they want -------------------------------------------------------------------------

    def _hear(self, client: int) -> None:
        try:
            received = os.read(client, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if received:
            self._obey(client, received)
        else:
            self._drop(client)

    def _obey(self, client: int, received: bytes) -> None:
        lines, self._buffered[client] = wire.split(self._buffered[client] + received)
        for line in lines:
            try:
                command = wire.decode_command(line)
            except msgspec.DecodeError:
                self._drop(client)
                return
            reason = self._carry_out(command)
            self._send(client, wire.encode(wire.Answered(command.number, reason)))

    def _carry_out(self, command: wire.Command) -> int:
        """0 or the kernel's reason. As long as process 1 is not reaped, its pid is its own."""
        match command:
            case wire.Kill() if self._is_reaped:
                return errno.ESRCH
            case wire.Kill(signal=number):
                try:
                    os.kill(self._process.pid, number)
                except OSError as err:
                    return err.errno or errno.EIO
            case wire.EndInput():
                self._end_input()
        return 0

    def _end_input(self) -> None:
        """A terminal has no such end."""
        if self._stdin >= 0 and self._stdin != self._process.stdout:
            os.close(self._stdin)
            self._stdin = -1
            self._tell(wire.encode(wire.InputEnded()))

    def _tell(self, report: bytes) -> None:
        for client in list(self._buffered):
            self._send(client, report)

    def _send(self, client: int, report: bytes) -> None:
        """A client that does not listen is dropped: it must not hold the container up."""
        if client not in self._buffered:
            return
        try:
            sent = os.write(client, report)
        except OSError:
            sent = 0
        if sent < len(report):
            self._drop(client)

    def _drop(self, client: int) -> None:
        if self._buffered.pop(client, None) is not None:
            self._output.detach(client)
            self._poll.forget(client)
            os.close(client)
            if client in self._feeding:
                self._feeding.discard(client)
                self._end_input()

    # --- the end --------------------------------------------------------------------------------

    def _reap(self, pidfd: int) -> None:
        """All others in its pid namespace are dead and reaped: the kernel had it wait for them.

        In one that is not its own they live on, and are killed.
        """
        self._poll.forget(pidfd)
        _, status = os.waitpid(self._process.pid, 0)
        self._is_reaped = True
        state = _STATES.decode(self._process.state)
        burial = _BURIALS.decode(self._upkeep.burial)
        if burial.procs_file:
            self._end_others(burial)
        self._output.drain()
        exited = self._exit(status, burial, time.time())  # not before its last line
        ended = msgspec.structs.replace(state, exited=exited)
        host.replace_file(self._directory.state_file, msgspec.json.encode(ended))
        host.revert(burial.groups)
        self._tell(wire.encode(wire.Ended(exited)))
        self._ended = True

    def _end_others(self, burial: Burial) -> None:
        """Some may be programs that joined it: their ends are told as ever."""
        deadline = time.monotonic() + _ENDING_S
        while (pids := cgroups.read(burial.procs_file).split()) and time.monotonic() < deadline:
            cgroups.kill(burial.kill_file)
            for pid in pids:
                with contextlib.suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)
            self._poll.turn(_LOOK_AGAIN_S)

    def _exit(self, status: int, burial: Burial, now: float) -> Exited:
        code = os.waitstatus_to_exitcode(status)
        return Exited(
            container_id=self._directory.container_id,
            exit_code=code if code >= 0 else 128 - code,
            signal=max(0, -code),
            oom_killed=memory.oom_kills(host.read(burial.oom_file)) > 0,
            finished_at=now,
        )


def _receive(newcomer: int) -> tuple[bytes, tuple[int, ...]]:
    """One byte, and the descriptors that came with it."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, newcomer)
    try:
        purpose, passed, _, _ = link.recvmsg(1, _PASSED_BYTES, socket.MSG_CMSG_CLOEXEC)
    finally:
        link.detach()
    raw = b"".join(each for _, _, each in passed)
    return purpose, tuple(
        int.from_bytes(raw[start : start + 4], sys.byteorder)
        for start in range(0, len(raw) - len(raw) % 4, 4)
    )


def _hand_over(hand: int, descriptor: int) -> bool:
    """Send `descriptor` through the socket `hand`; whether that was possible."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, hand)
    try:
        right = (socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor.to_bytes(4, sys.byteorder))
        link.sendmsg([b"."], [right], socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
    except OSError:
        return False
    finally:
        link.detach()
    return True
