"""Write a container's output to its rotating log.

The file appears with the first line. When it cannot be written (a full disk, a removed
directory) the container must not notice: lines are counted as lost, and the log says how
many as soon as it works again.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH103, PTH104, PTH116, PTH120

import contextlib
import errno
import os

from runtime import logs
from runtime.spec import Log

_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class LogFile:
    """The log of one container; `feed` takes output as it comes."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._descriptor = -1
        self._size = 0
        self._rest: dict[str, bytes] = {}
        self._lost = 0
        self._lost_because = ""
        self._now_ns = 0

    def feed(self, stream: str, output: bytes, *, now_ns: int) -> None:
        """Take output; only complete lines and full pieces are written."""
        if self._log.max_files == 0:
            return
        self._now_ns = now_ns
        held = self._rest.get(stream, b"") + output
        whole = held.rfind(b"\n") + 1
        if whole and len(held) - whole <= logs.PIECE_BYTES and logs.are_short(held[:whole]):
            self._rest[stream] = held[whole:]
            self._write_lines(held[:whole], stream)
        else:
            pieces, self._rest[stream] = logs.frame(held)
            self._write([logs.encode(piece, stream, now_ns) for piece in pieces])

    def unwritten(self) -> list[tuple[str, bytes]]:
        """What has come of each stream since its last line, which may still grow."""
        return [(stream, rest) for stream, rest in self._rest.items() if rest]

    def extent(self) -> tuple[int, int]:
        """The inode and the size of what is written to; of nothing (0, 0)."""
        try:
            status = os.stat(self._log.path if self._descriptor < 0 else self._descriptor)
        except OSError:
            return 0, 0
        return status.st_ino, status.st_size

    def close(self, *, now_ns: int) -> None:
        """Write what had no newline."""
        self._now_ns = now_ns
        rests = [(stream, rest) for stream, rest in self._rest.items() if rest]
        self._rest.clear()
        self._write([logs.encode(rest, stream, now_ns) for stream, rest in rests])
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _write_lines(self, lines: bytes, stream: str) -> None:
        """All at once, unless the log rotates in between."""
        with contextlib.suppress(OSError):
            self._open()
        records = logs.encode_lines(lines, stream, self._now_ns)
        if 0 < self._log.max_bytes < self._size + len(records):
            self._write(records.splitlines(keepends=True))
        else:
            self._append([records], count=lines.count(b"\n"))

    def _write(self, records: list[bytes]) -> None:
        batch: list[bytes] = []
        size = 0
        for record in records:
            if logs.must_rotate(self._size + size, len(record), self._log.max_bytes):
                self._append(batch)
                self._rotate()
                batch, size = [], 0
            batch.append(record)
            size += len(record)
        self._append(batch)

    def _append(self, batch: list[bytes], count: int = 0) -> None:
        if not batch:
            return
        try:
            self._open()
            self._put((self._confession() if self._lost else b"") + b"".join(batch))
            self._lost = 0
        except OSError as err:
            self._lost += count or len(batch)
            self._lost_because = os.strerror(err.errno or errno.EIO).lower()

    def _put(self, content: bytes) -> None:
        """Write all of it or, when the disk fills up in the middle, nothing."""
        written = 0
        try:
            while written < len(content):
                written += os.write(self._descriptor, content[written:])
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
            raise
        self._size += written

    def _confession(self) -> bytes:
        text = f"[swarmd: {self._lost} lines lost: {self._lost_because}]\n"
        return logs.encode(text.encode(), "stderr", self._now_ns)

    def _open(self) -> None:
        if self._descriptor < 0:
            os.makedirs(os.path.dirname(self._log.path), 0o700, exist_ok=True)
            self._descriptor = os.open(self._log.path, _FLAGS, 0o640)
            self._size = os.fstat(self._descriptor).st_size

    def _rotate(self) -> None:
        """Move every file up by one; with a single file, start it anew."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        moves = logs.rotation(self._log.path, self._log.max_files)
        for old, new in moves:
            with contextlib.suppress(OSError):
                os.rename(old, new)
        if not moves:
            with contextlib.suppress(OSError):
                os.truncate(self._log.path, 0)
        self._size = 0
