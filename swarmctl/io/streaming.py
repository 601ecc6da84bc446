"""Be the far end of a program's standard streams: one loop over descriptors, no threads.

Input is read only while the call has room for it, and the daemon may send only as much ahead
as one window, so a gigabyte passes through in constant memory, both ways at once. A terminal
is raw from the first message until the last byte is written, and then as it was before.
"""

import os
import select
import signal
from collections.abc import Callable
from contextlib import ExitStack

from google.protobuf.message import DecodeError
from msgspec import Struct

from swarm.api.v1 import control_pb2 as pb
from swarm.errors import Unavailable
from swarmctl.detaching import Watch
from swarmctl.io.duplex import Duplex
from swarmctl.io.sinks import Sink
from swarmctl.io.terminal import Signals, raw, size
from swarmctl.wire.ending import OK, Ended
from swarmctl.wire.faults import failure

STDIN, STDOUT, STDERR = 0, 1, 2
_CHUNK_BYTES = 1 << 18
_WAITING_BYTES = 1 << 18
_FAREWELL_MS = 2000
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PASSED_ON = (*_ENDING, signal.SIGUSR1, signal.SIGUSR2)


class Detached(Struct, frozen=True):
    """The user left by the detach keys; the program goes on."""


class Interrupted(Struct, frozen=True):
    """A signal ended us; the program is ended by that unless it was only joined."""

    signal: int


class Finished(Struct, frozen=True):
    """The program ended."""

    exit_code: int


Outcome = Detached | Interrupted | Finished


class Manner(Struct, frozen=True, kw_only=True):
    """How streams are treated. `keys` are the detach keys, which only a terminal has.

    `passes_signals`: signals go to the program instead of ending us. `is_silent`: what it writes
    is not shown.
    """

    open_stdin: bool
    keys: bytes = b""
    passes_signals: bool = False
    is_exec: bool = True
    is_silent: bool = False


def converse(
    path: str,
    method: str,
    begin: pb.StreamInput,
    manner: Manner,
    begun: Callable[[], None] = lambda: None,
) -> Outcome:
    """Make the call `method` at the socket `path` and be its streams until it ends.

    `begun` is called once the other side listens, and before anything else is done.

    Raises what the other side failed with, `Unavailable` when it is lost, and
    `BrokenPipeError` when nobody reads our output any more.
    """
    with ExitStack() as stack:
        wanted = (*(_PASSED_ON if manner.passes_signals else _ENDING), signal.SIGWINCH)
        signals = Signals(wanted)
        stack.callback(signals.close)
        call = Duplex(path, method)
        stack.callback(call.close)
        sinks = {"stdout": Sink(STDOUT), "stderr": Sink(STDERR)}
        for sink in sinks.values():
            stack.callback(sink.close)
        loop = _Loop(call, signals, sinks, manner, stack, begun=begun)
        call.send(begin.SerializeToString())
        return loop.run()


class _Loop:
    """One conversation."""

    def __init__(
        self,
        call: Duplex,
        signals: Signals,
        sinks: dict[str, Sink],
        manner: Manner,
        stack: ExitStack,
        *,
        begun: Callable[[], None],
    ) -> None:
        self._call = call
        self._signals = signals
        self._sinks = sinks
        self._manner = manner
        self._stack = stack
        self._begun = begun
        self._is_reading = False
        self._is_tty = False
        self._watch: Watch | None = None
        self._is_detaching = False
        self._is_over = False
        self._outcome: Outcome | None = None

    def run(self) -> Outcome:
        while not self._is_over:
            ready = self._poll()
            if self._signals.fileno() in ready:
                self._hear_signals()
            if self._call.fileno() in ready:
                self._exchange(ready[self._call.fileno()])
            if STDIN in ready and self._is_reading:
                self._read_input()
            for sink in self._sinks.values():
                if sink.waiting_bytes and sink.fileno() in ready:
                    sink.write()
            if not any(sink.waiting_bytes for sink in self._sinks.values()):
                self._call.make_room()
        assert self._outcome is not None
        return self._outcome

    def _poll(self) -> dict[int, int]:
        poll = select.poll()
        poll.register(self._signals.fileno(), select.POLLIN)
        room = select.POLLOUT if self._call.wants_to_write else 0
        poll.register(self._call.fileno(), select.POLLIN | room)
        if self._is_reading and self._call.waiting_bytes < _WAITING_BYTES:
            poll.register(STDIN, select.POLLIN)
        for sink in self._sinks.values():
            if sink.waiting_bytes:
                poll.register(sink.fileno(), select.POLLOUT)
        ready = dict(poll.poll(None if self._outcome is None else _FAREWELL_MS))
        if self._outcome is not None and not ready:
            self._is_over = True  # whoever should say goodbye does not; all else was said
        return ready

    def _exchange(self, ready: int) -> None:
        if ready & select.POLLOUT:
            self._call.write()
        if ready & ~select.POLLOUT:
            for event in self._call.read():
                if isinstance(event, Ended):
                    self._over(event)
                else:
                    self._take(event.payload)

    def _take(self, payload: bytes) -> None:
        try:
            output = pb.StreamOutput.FromString(payload)
        except DecodeError as err:
            raise Unavailable(
                "swarmd sent what is no answer", hint="do the versions agree?"
            ) from err
        match output.WhichOneof("message"):
            case "started":
                self._begin(output.started)
            case "stdout":
                self._show("stdout", output.stdout)
            case "stderr":
                self._show("stderr", output.stderr)
            case "ended":
                self._finish()
                code = output.ended.exit_code
                self._outcome = Detached() if self._is_detaching else Finished(code)
                self._is_reading = False
                self._call.close_sending()
            case _:
                pass

    def _show(self, name: str, data: bytes) -> None:
        if not self._manner.is_silent:
            self._sinks[name].put(data)

    def _over(self, ended: Ended) -> None:
        self._finish()
        self._is_over = True
        if self._outcome is not None:
            return
        if ended.status != OK:
            raise failure(ended)
        raise Unavailable("the call ended before the program did", hint="try again")

    def _finish(self) -> None:
        for sink in self._sinks.values():
            sink.finish()

    def _begin(self, started: pb.StreamStarted) -> None:
        """The program runs, or is about to: connect our terminal with its terminal."""
        self._begun()
        self._is_tty = started.tty
        self._is_reading = self._manner.open_stdin and started.open_stdin
        if not (self._is_reading and started.tty and os.isatty(STDIN)):
            return
        self._stack.enter_context(raw(STDIN))
        self._watch = Watch(self._manner.keys) if self._manner.keys else None
        self._resize()

    def _read_input(self) -> None:
        try:
            data = os.read(STDIN, _CHUNK_BYTES)
        except OSError:
            data = b""  # a terminal that hung up, or no standard input at all
        if not data:
            self._is_reading = False
            self._send(pb.StreamInput(stdin_end=pb.StdinEnd()))
            return
        is_leaving = False
        if self._watch is not None:
            data, is_leaving = self._watch.feed(data)
        if data:
            self._send(pb.StreamInput(stdin=data))
        if is_leaving:
            self._detach()

    def _detach(self) -> None:
        """Leave the program as it is. An exec has to be told, or it would be ended."""
        self._is_reading = False
        if self._manner.is_exec:
            self._is_detaching = True
            self._send(pb.StreamInput(detach=pb.Detach()))
        else:
            self._leave(Detached())

    def _leave(self, outcome: Outcome) -> None:
        """Go without waiting for anybody."""
        self._outcome, self._is_over = outcome, True

    def _hear_signals(self) -> None:
        for number in self._signals.take():
            if number == signal.SIGWINCH:
                self._resize()
            elif self._manner.passes_signals and not self._is_tty:
                self._send(pb.StreamInput(signal=number))
            else:
                self._leave(Interrupted(number))

    def _resize(self) -> None:
        found = size(STDIN, STDOUT) if self._is_tty else None
        if found is not None:
            rows, columns = found
            self._send(pb.StreamInput(size=pb.TerminalSize(rows=rows, columns=columns)))

    def _send(self, message: pb.StreamInput) -> None:
        self._call.send(message.SerializeToString())
