"""Hold one netlink socket: send requests, read every answer, survive what gets lost.

The kernel does the work while we send, so answers are there when `send` returns and reading never
waits: where the buffer is empty, nothing more comes. Two things go wrong. There can be more
answers than the buffer holds (the rest is lost, ENOBUFS), and what is dumped can change
meanwhile. All requests may be repeated, so the answer to both is to begin anew. Sources:
netlink(7), linux/netlink.h, netdevice(7).
"""

import errno
import fcntl
import socket
import struct
from collections.abc import Iterator, Sequence
from typing import Final

from agent.network.io.namespaces import entered
from agent.network.wire.messages import (
    ERROR,
    OVERRUN,
    Refusal,
    Reply,
    Request,
    dumped,
    framed,
    refusal,
    split,
)
from swarm.errors import KernelRefused, Unavailable

_SOL_NETLINK: Final = 270
_OPTIONS: Final = (10, 11, 12)  # NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_RECEIVE_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 16  # more than any message of a dump
_AT_ONCE: Final = 256  # requests: many refusals of so many still fit into the buffer
_ATTEMPTS: Final = 5
_READINGS: Final = 20  # of what others change meanwhile: one in six may be in vain
_NUMBERS: Final = 1 << 32
_SIOCGIFNAME, _SIOCGIFINDEX = 0x8910, 0x8933
_LONGEST_NAME: Final = 15  # of IFNAMSIZ, the last is NUL; the kernel would cut off the rest
_NAMED: Final = struct.Struct("16si20x")  # struct ifreq


class _Lost(Exception):
    """Answers were lost, or are of two states; nobody outside sees this."""


class Channel:
    """A socket of `protocol` (NETLINK_*) in the namespace that is open as `netns`.

    Messages are numbered from `first` on; `buffer_bytes` is the room for answers. One thread at a
    time.
    """

    def __init__(
        self, protocol: int, netns: int, *, first: int = 1, buffer_bytes: int = _RECEIVE_BYTES
    ) -> None:
        self._protocol = protocol
        self._netns = netns
        self._buffer_bytes = buffer_bytes
        self._sequence = first
        self._room = 0
        self._socket = self._open()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def index_of(self, link: str) -> int | None:
        """The index of a link, None when there is none."""
        if len(link.encode()) > _LONGEST_NAME:
            return None
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFINDEX, _NAMED.pack(link.encode(), 0))
        except OSError as err:
            if err.errno != errno.ENODEV:
                raise
            return None
        return int(_NAMED.unpack(answer)[1])

    def name_of(self, index: int) -> str:
        """The name of a link by index; empty when it is just gone."""
        try:
            answer = fcntl.ioctl(self._socket, _SIOCGIFNAME, _NAMED.pack(b"", index))
        except OSError as err:
            if err.errno != errno.ENODEV:
                raise
            return ""
        name: bytes = _NAMED.unpack(answer)[0]
        return name.rstrip(b"\0").decode()

    def submit(self, requests: Sequence[Request]) -> tuple[list[Reply], dict[int, Refusal]]:
        """What is answered to independent requests, and which were refused, by position.

        Requests after a refused one are done all the same. The `sequence` of a reply is the
        position of its request.
        """
        replies: list[Reply] = []
        refused: dict[int, Refusal] = {}
        for start in range(0, len(requests), _AT_ONCE):
            part = requests[start : start + _AT_ONCE]
            for answer in self._persist(part, fence=len(part) - 1, is_fenced=True):
                position = answer.sequence + start
                if answer.kind != ERROR:
                    replies.append(answer._replace(sequence=position))
                elif (why := refusal(answer)).errno:
                    refused[position] = why
        return replies, refused

    def one(self, request: Request) -> Refusal:
        """Why a single request is refused; `errno` 0 when it is not."""
        return self.submit((request,))[1].get(0, Refusal(0))

    def transact(self, requests: Sequence[Request]) -> dict[int, Refusal]:
        """Send what is done as a whole or not at all; its last but one asks for the fence."""
        answers = self._persist(requests, fence=len(requests) - 2, is_fenced=False)
        refusals = {answer.sequence: refusal(answer) for answer in answers if answer.kind == ERROR}
        return {position: why for position, why in refusals.items() if why.errno}

    def dump(self, request: Request) -> tuple[list[Reply], Refusal]:
        """Everything that answers a request, as it was at one moment, or why there is nothing."""
        for _ in range(_READINGS):
            try:
                first = self._send((request,), is_fenced=False)
                found = dumped(self._datagrams(), first)
            except _Lost:
                found = None
            if found is not None:
                return found
            self._reopen()
        raise Unavailable("what the kernel holds changes faster than it can be read")

    def _datagrams(self) -> Iterator[list[Reply]]:
        while True:
            try:
                yield self._read()
            except BlockingIOError:
                return

    def _persist(self, requests: Sequence[Request], *, fence: int, is_fenced: bool) -> list[Reply]:
        for _ in range(_ATTEMPTS):
            try:
                first = self._send(requests, is_fenced=is_fenced)
                return self._answers(first, fence)
            except _Lost:
                self._reopen()
        raise Unavailable("the kernel's answers are lost: its buffer for them overflows")

    def _answers(self, first: int, fence: int) -> list[Reply]:
        """All answers up to that of the request at `fence`, numbered by position."""
        found: list[Reply] = []
        while True:
            try:
                received = self._read()
            except BlockingIOError:
                # A transaction that is refused as a whole is not told the rest.
                if any(answer.kind == ERROR for answer in found):
                    return found
                raise _Lost from None
            for reply in received:
                position = reply.sequence - first
                if position >= 0:
                    found.append(reply._replace(sequence=position))
                if position == fence and reply.kind == ERROR:
                    return found

    def _send(self, requests: Sequence[Request], *, is_fenced: bool) -> int:
        """Have the kernel do all of it now; returns the number of the first."""
        first = self._sequence if self._sequence + len(requests) < _NUMBERS else 1
        self._sequence = first + len(requests)
        buffer = framed(requests, first, is_fenced=is_fenced)
        if len(buffer) > self._room:
            self._room = len(buffer) * 2
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, self._room)
        try:
            self._socket.send(buffer)
        except OSError as err:
            raise KernelRefused(
                "send to netlink",
                err.errno or 0,
                f"the kernel takes no message of {len(buffer)} bytes: {err.strerror}",
            ) from err
        return first

    def _read(self) -> list[Reply]:
        """The messages of one datagram; `BlockingIOError` when there is none."""
        try:
            received = list(split(self._socket.recv(_READ_BYTES, socket.MSG_DONTWAIT)))
        except OSError as err:
            if err.errno == errno.ENOBUFS:
                raise _Lost from err
            raise
        if any(reply.kind == OVERRUN for reply in received):
            raise _Lost
        return received

    def _reopen(self) -> None:
        """Begin with an empty buffer, so that nothing old is taken for an answer."""
        self._socket.close()
        self._socket = self._open()

    def _open(self) -> socket.socket:
        try:
            with entered(self._netns):
                made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, self._protocol)
        except OSError as err:
            raise _unopened(err) from err
        try:
            for option in _OPTIONS:
                made.setsockopt(_SOL_NETLINK, option, 1)
            made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, self._buffer_bytes)
        except OSError as err:
            made.close()
            raise _unopened(err) from err
        self._room = made.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 2
        return made


def _unopened(err: OSError) -> KernelRefused:
    is_forbidden = err.errno == errno.EPERM
    return KernelRefused(
        "open netlink socket",
        err.errno or 0,
        f"no netlink socket can be opened in a network namespace: {err.strerror}",
        hint="swarmd must run as root, with CAP_NET_ADMIN and CAP_SYS_ADMIN" * is_forbidden,
    )
