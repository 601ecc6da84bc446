"""Run programs in the container for clients, one connection each.

The connection is the program's life line: when it closes, the program is killed with its
process group, unless it was asked to be detached. Its request is read by the forked child
alone, so until the program runs the connection is only watched for hanging up.
"""

import os
from collections.abc import Callable
from typing import NoReturn

import msgspec

from runtime import wire
from runtime.io.polling import Poll
from runtime.io.program import Program, fork_refused

_READ_BYTES = 4096
Become = Callable[[int, int, tuple[int, ...]], NoReturn]


class Execs:
    """All programs that clients have running in one container."""

    def __init__(self, poll: Poll, become: Become) -> None:
        """`become` is called in a fork: with its report, the connection and the streams."""
        self._poll = poll
        self._become = become
        self._running: set[_Exec] = set()

    def begin(self, client: int, streams: tuple[int, ...]) -> None:
        """Serve a client; its descriptors are ours to close."""
        try:
            self._running.add(_Exec(self._poll, client, streams, self._become, self._forget))
        except OSError as err:
            _send(client, fork_refused(err))
            os.close(client)
        for descriptor in streams:
            os.close(descriptor)

    def end(self) -> None:
        """Kill all of them."""
        for each in self._running:
            each.end()

    def _forget(self, ended: "_Exec") -> None:
        self._running.discard(ended)


class _Exec:
    """One program and the client that it belongs to."""

    def __init__(
        self,
        poll: Poll,
        client: int,
        streams: tuple[int, ...],
        become: Become,
        forget: Callable[["_Exec"], None],
    ) -> None:
        self._poll = poll
        self._client = client
        self._is_detached = not streams
        self._buffered = b""
        self._forget = forget
        self._program = Program(poll, self, lambda report: become(report, client, streams))
        poll.watch(client, self._hang_up, 0)

    def end(self) -> None:
        """Kill it."""
        self._program.end()

    def entered(self, pid: int) -> None:
        """Its exec succeeded."""
        if self._client >= 0:
            self._poll.watch(self._client, self._hear)
            _send(self._client, wire.encode(wire.Entered(pid)))

    def refused(self, no: bytes) -> None:
        """It could not start."""
        self._close(no)

    def left(self, exit_code: int) -> None:
        """It has ended."""
        self._close(wire.encode(wire.Left(exit_code)))

    def _close(self, last_words: bytes) -> None:
        if self._client >= 0:
            _send(self._client, last_words)
            self._let_go()
        self._forget(self)

    def _let_go(self) -> None:
        self._poll.forget(self._client)
        os.close(self._client)
        self._client = -1

    def _hang_up(self, _: int) -> None:
        """Nobody is there any more to whom the program could matter."""
        self._let_go()
        if not self._is_detached:
            self._program.end()

    def _hear(self, client: int) -> None:
        try:
            received = os.read(client, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        lines, self._buffered = wire.split(self._buffered + received)
        for line in lines:
            try:
                command = wire.decode_command(line)
            except msgspec.DecodeError:
                received = b""
                break
            if isinstance(command, wire.Kill):
                reason = self._program.kill(command.signal)
                _send(client, wire.encode(wire.Answered(command.number, reason)))
        if not received:
            self._hang_up(client)


def _send(client: int, report: bytes) -> None:
    """A client that is gone, or does not listen, is noticed when its connection is read."""
    try:
        os.write(client, report)
    except OSError:
        return
