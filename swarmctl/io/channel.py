"""Call the node daemon over its Unix socket, blocking, one call at a time.

A deadline given here travels along, so everyone behind the daemon gives up when we do. A
connection that breaks in mid-call is a failure of that call and is never retried: only the
caller knows whether asking twice is harmless.
"""

import errno
import socket
from collections.abc import Callable, Iterable, Iterator
from select import select

from swarm.errors import Refused, Unavailable
from swarmctl.hosts import socket_path
from swarmctl.wire.ending import OK, Ended
from swarmctl.wire.faults import failure
from swarmctl.wire.grpc import Connection, Event, Message

Patience = Callable[[], float | None]

_GRACE_S = 1.0
_ROOM = 1 << 18


def is_listening(host: str) -> bool:
    """Whether anybody answers at `host`; `Refused` when we may not ask."""
    try:
        connect(socket_path(host)).close()
    except Unavailable:
        return False
    return True


class Channel:
    """A connection that is made by the first call."""

    def __init__(self, host: str) -> None:
        self.path = socket_path(host)
        self._socket: socket.socket | None = None
        self._connection = Connection()

    def close(self) -> None:
        """Hang up; a call that is under way is cancelled by that."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self._connection = None, Connection()

    def unary(self, method: str, request: bytes, *, timeout_s: float | None) -> bytes:
        """One message there, one back."""
        self._begin(method, timeout_s)
        self._connection.send(request, is_last=True)
        return _only(self._events())

    def stream(
        self, method: str, request: bytes, *, patience: Patience = lambda: None
    ) -> Iterator[bytes | None]:
        """One message there, many back. Closing the iterator cancels the call.

        Yields `None` when as many seconds as `patience` says went by without a message.
        """
        self._begin(method, None)
        self._connection.send(request, is_last=True)
        is_over = False
        try:
            for event in self._events(patience=patience):
                if event is None:
                    yield None
                elif isinstance(event, Ended):
                    is_over = True
                    _require_ok(event)
                    return
                else:
                    yield event.payload
        finally:
            if not is_over:
                self.close()

    def upload(self, method: str, requests: Iterable[bytes]) -> bytes:
        """Many messages there, one back. Stops early when the daemon has heard enough."""
        self._begin(method, None)
        early: list[Event] = []
        for request in requests:
            self._connection.send(request)
            while not early and self._connection.pending_bytes > _ROOM:
                early += self._exchange()
            if early:
                break
            self._write()
        self._connection.close_sending()
        return _only(self._events(early))

    def _begin(self, method: str, timeout_s: float | None) -> None:
        if self._connection.is_leaving:
            self.close()
        if self._socket is None:
            self._socket = connect(self.path)
        self._socket.settimeout(None if timeout_s is None else timeout_s + _GRACE_S)
        self._connection.begin(f"/swarm.api.v1.{method}", timeout_s=timeout_s)

    def _events(
        self, early: Iterable[Event] = (), *, patience: Patience = lambda: None
    ) -> Iterator[Event | None]:
        for event in early:
            yield event
            if isinstance(event, Ended):
                return
        while True:
            if not self._wait(patience()):
                yield None
                continue
            for event in self._exchange():
                yield event
                if isinstance(event, Ended):
                    return

    def _wait(self, seconds: float | None) -> bool:
        if seconds is None:
            return True
        self._write()
        assert self._socket is not None
        return bool(select([self._socket], [], [], max(seconds, 0.0))[0])

    def _exchange(self) -> list[Event]:
        self._write()
        assert self._socket is not None
        try:
            data = self._socket.recv(1 << 16)
        except TimeoutError as err:
            self.close()
            raise Unavailable("the daemon did not answer in time", hint="is it stopped?") from err
        except OSError as err:
            self.close()
            raise Unavailable(f"the connection to swarmd broke: {err.strerror}") from err
        if not data:
            self.close()
            raise Unavailable("swarmd hung up in mid-call", hint="see its log for the reason")
        try:
            events = self._connection.receive(data)
        except Unavailable:
            self.close()
            raise
        self._write()
        return events

    def _write(self) -> None:
        assert self._socket is not None
        data = self._connection.take()
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            # What the daemon said before it hung up is still to be read, and says why.
            return
        except TimeoutError as err:
            self.close()
            raise Unavailable("the daemon takes nothing in", hint="is it stopped?") from err


def connect(path: str) -> socket.socket:
    """A connection to the daemon at `path`; says what to do when there is none."""
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.connect(path)
    except OSError as err:
        connected.close()
        if err.errno in (errno.EACCES, errno.EPERM):
            raise Refused(
                f"you may not talk to swarmd at unix://{path}", hint="run swarmctl as root"
            ) from err
        raise Unavailable(
            f"cannot connect to swarmd at unix://{path}; is it running?",
            hint="`swarmctl init` or `swarmctl join` start it, so does `systemctl start swarmd`; "
            "--host or SWARM_HOST choose another socket",
        ) from err
    return connected


def _only(events: Iterator[Event | None]) -> bytes:
    answer: bytes | None = None
    for event in events:
        match event:
            case Message(payload):
                answer = payload
            case Ended():
                _require_ok(event)
            case None:
                pass
    if answer is None:
        raise Unavailable("swarmd ended the call without an answer")
    return answer


def _require_ok(ended: Ended) -> None:
    if ended.status != OK:
        raise failure(ended)
