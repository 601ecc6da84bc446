"""Hold one call with messages both ways, for a loop that polls its socket.

Nothing here waits. What is sent beyond the peer's room is counted, so that whoever reads
input can stop reading it; what is received makes room for more only once it was dealt with.
"""

from swarm.errors import Unavailable
from swarmctl.io.channel import connect
from swarmctl.wire.grpc import Connection, Event

WINDOW_BYTES = 1 << 20
_READ_BYTES = 1 << 18


class Duplex:
    """A call on a connection of its own. Closing it cancels the call."""

    def __init__(self, path: str, method: str) -> None:
        self._socket = connect(path)
        self._socket.setblocking(False)
        self._connection = Connection(window_bytes=WINDOW_BYTES, is_eager=False)
        self._connection.begin(f"/swarm.api.v1.{method}")
        self._outgoing = bytearray()

    def fileno(self) -> int:
        """The descriptor to poll."""
        return self._socket.fileno()

    @property
    def waiting_bytes(self) -> int:
        """What was sent and has not left yet."""
        return self._connection.pending_bytes + len(self._outgoing)

    @property
    def wants_to_write(self) -> bool:
        """Whether to poll for room as well."""
        self._outgoing += self._connection.take()
        return bool(self._outgoing)

    def send(self, payload: bytes) -> None:
        """Queue one message."""
        self._connection.send(payload)

    def close_sending(self) -> None:
        """Nothing more will be sent after what waits."""
        self._connection.close_sending()

    def make_room(self) -> None:
        """All that was received has been dealt with."""
        self._connection.make_room()

    def write(self) -> None:
        """Write what there is room for."""
        self._outgoing += self._connection.take()
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing)
                del self._outgoing[:sent]
        except BlockingIOError:
            return
        except (BrokenPipeError, ConnectionResetError):
            # What the daemon said before it hung up is still to be read, and says why.
            self._outgoing.clear()

    def read(self) -> list[Event]:
        """What has arrived; `Unavailable` when nothing can any more."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError as err:
            raise Unavailable(f"the connection to swarmd broke: {err.strerror}") from err
        if not data:
            raise Unavailable("swarmd hung up in mid-call", hint="see its log for the reason")
        return self._connection.receive(data)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()
