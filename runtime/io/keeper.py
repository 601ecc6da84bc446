"""Keep a running container: its output, its signals, its end.

A loop over descriptors without timers: while nothing happens, nothing runs. What it knows is
on disk before anyone is told, so an exit that nobody heard is found by whoever comes next.
"""

import contextlib
import errno
import os
import select
import socket
import time
from collections.abc import Callable

import msgspec
from msgspec import Struct

from runtime import wire
from runtime.cgroups import memory
from runtime.io import host
from runtime.io.logfile import LogFile
from runtime.io.process import Upkeep
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState, Exited

_READ_BYTES = 65536


class Process(Struct, frozen=True):
    """Process 1, the reading ends of its output, and its `ContainerState`, encoded."""

    pid: int
    stdout: int
    stderr: int
    state: bytes


class Keeper:
    """A running container and those who watch it.

    Clients are bare descriptors: a socket object each would cost more than all the rest.
    """

    def __init__(
        self, directory: ContainerDir, upkeep: Upkeep, process: Process, listener: socket.socket
    ) -> None:
        self._directory = directory
        self._upkeep = upkeep
        self._process = process
        self._listener = listener
        self._log: LogFile | None = None
        self._buffered: dict[int, bytes] = {}
        self._poll = select.poll()
        self._ready: dict[int, Callable[[int], object]] = {}
        self._ended = False
        host.replace_file(directory.state_file, process.state)

    def adopt(self, client: int) -> None:
        """Have one more client, which is told the state."""
        os.set_blocking(client, False)
        self._buffered[client] = b""
        self._watch(client, self._hear)
        self._send(client, wire.running(self._process.state))

    def serve(self) -> None:
        """Go on until the container has ended and everyone knows."""
        self._listener.setblocking(False)
        self._watch(os.pidfd_open(self._process.pid), self._reap)
        self._watch(self._process.stdout, self._copy)
        self._watch(self._process.stderr, self._copy)
        self._watch(self._listener.fileno(), self._accept)
        while not self._ended:
            for descriptor, _ in self._poll.poll():
                ready = self._ready.get(descriptor)
                if ready is not None and not self._ended:
                    ready(descriptor)

    def _watch(self, descriptor: int, ready: Callable[[int], object]) -> None:
        self._ready[descriptor] = ready
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        del self._ready[descriptor]
        self._poll.unregister(descriptor)

    def _copy(self, descriptor: int) -> bool:
        """Log what there is to read; whether there may be more."""
        output = os.read(descriptor, _READ_BYTES)
        if not output:
            self._forget(descriptor)
            return False
        if self._log is None:
            self._log = LogFile(self._upkeep.log)
        stream = "stdout" if descriptor == self._process.stdout else "stderr"
        self._log.feed(stream, output, now_ns=time.time_ns())
        return True

    def _accept(self, _: int) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionAbortedError):
            self.adopt(self._listener.accept()[0].detach())

    def _hear(self, client: int) -> None:
        try:
            received = os.read(client, _READ_BYTES)
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
            reason = self._kill(command.signal)
            self._send(client, wire.encode(wire.Answered(command.number, reason)))

    def _kill(self, number: int) -> int:
        """0 or the kernel's reason. Process 1 is our unreaped child, so the pid is still its."""
        try:
            os.kill(self._process.pid, number)
        except OSError as err:
            return err.errno or errno.EIO
        return 0

    def _send(self, client: int, report: bytes) -> None:
        """A client that does not listen is dropped: it must not hold the container up."""
        try:
            sent = os.write(client, report)
        except OSError:
            sent = 0
        if sent < len(report):
            self._drop(client)

    def _drop(self, client: int) -> None:
        if self._buffered.pop(client, None) is not None:
            self._forget(client)
            os.close(client)

    def _reap(self, _: int) -> None:
        _, status = os.waitpid(self._process.pid, 0)
        self._drain()
        state = msgspec.json.decode(self._process.state, type=ContainerState)
        exited = self._exit(status, time.time())  # not before its last line
        ended = msgspec.structs.replace(state, exited=exited)
        host.replace_file(self._directory.state_file, msgspec.json.encode(ended))
        host.revert(self._upkeep.groups)
        for client in list(self._buffered):
            self._send(client, wire.encode(wire.Ended(exited)))
        self._ended = True

    def _drain(self) -> None:
        """Whoever could write is dead, so what is in the pipes is all there will be."""
        for descriptor in (self._process.stdout, self._process.stderr):
            os.set_blocking(descriptor, False)
            with contextlib.suppress(BlockingIOError):
                while descriptor in self._ready and self._copy(descriptor):
                    pass
        if self._log is not None:
            self._log.close(now_ns=time.time_ns())

    def _exit(self, status: int, now: float) -> Exited:
        code = os.waitstatus_to_exitcode(status)
        return Exited(
            container_id=self._directory.container_id,
            exit_code=code if code >= 0 else 128 - code,
            signal=max(0, -code),
            oom_killed=memory.oom_kills(host.read(self._upkeep.oom_file)) > 0,
            finished_at=now,
        )
