"""Read a container's log back, from its rotated files, and follow it while it grows.

Following sleeps on inotify and ends when `stop` is set and all that was written is read; a
rotation in between loses nothing, since the old file is read to its end before the next one
is opened.
"""

import asyncio
import contextlib
import math
import os
import struct
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

from runtime import logs
from runtime.io import kernel
from runtime.logs import LogLine

_BLOCK = 1 << 16
_MODIFY, _MOVED_FROM, _MOVED_TO, _CREATE, _DELETE_SELF = 0x2, 0x40, 0x80, 0x100, 0x400
_CHANGES = _MODIFY | _MOVED_FROM | _MOVED_TO | _CREATE | _DELETE_SELF


async def read_logs(
    path: Path | str,
    *,
    follow: bool = False,
    tail: int = -1,
    since: float = 0.0,
    stop: asyncio.Event | None = None,
) -> AsyncIterator[LogLine]:
    """The log at `path`, oldest line first, with what was rotated away.

    `tail` -1 is everything, else the last lines of output; `since` is in seconds since the
    epoch. With `follow`, go on until `stop` is set; without `stop`, for ever.
    """
    with contextlib.ExitStack() as stack:
        watch = _Watch(Path(path), stop) if follow else None
        if watch is not None:
            stack.callback(watch.close)
        reader = _Reader(Path(path))
        stack.callback(reader.close)
        for line in reader.start(tail):
            if line.time >= since:
                yield line
        while True:
            is_last = watch is None or watch.is_stopped
            for line in reader.more():
                if line.time >= since:
                    yield line
            if watch is None or is_last:
                return
            await watch.changed()


def extent(path: Path | str) -> tuple[int, int]:
    """The inode and the size of the file that is written to now; (0, 0) if there is none."""
    try:
        status = Path(path).stat()
    except OSError:
        return 0, 0
    return status.st_ino, status.st_size


def read_until(
    path: Path | str, inode: int, size_bytes: int, *, at: float = math.inf
) -> Generator[LogLine]:
    """The log at `path`, with what was rotated away, up to where it was once (`extent`).

    If the file that was written to then is gone, so is all that came before it. Nothing is later
    than `at`: a file may have been begun anew, or another one may have its inode.
    """
    reader = _Reader(Path(path))
    try:
        yield from (line for line in reader.until(inode, size_bytes) if line.time <= at)
    finally:
        reader.close()


class _Reader:
    """Where we are in the files, of which any may be renamed, truncated or removed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1
        self._rest = b""

    def start(self, tail: int) -> Iterator[LogLine]:
        """What is there now; `more` goes on behind it."""
        files = self._open_all()
        try:
            if tail < 0:
                for file in reversed(files):
                    yield from self._enter(os.dup(file))
            else:
                ends = [os.fstat(file).st_size for file in files]
                yield from _tail(files, ends, tail)
                if files:
                    self._file = os.dup(files[0])
                    os.lseek(self._file, _end_of_lines(files[0], ends[0]), os.SEEK_SET)
        finally:
            for file in files:
                os.close(file)

    def until(self, inode: int, size_bytes: int) -> Iterator[LogLine]:
        """What there was when the file `inode` had this size."""
        files = self._open_all()
        try:
            inodes = [os.fstat(file).st_ino for file in files]
            if inode not in inodes:
                return
            last = inodes.index(inode)
            for file in reversed(files[last + 1 :]):
                yield from self._enter(os.dup(file))
            self._rest = b""
            for block in _blocks(files[last], size_bytes):
                yield from self._decoded(block)
        finally:
            for file in files:
                os.close(file)

    def more(self) -> Iterator[LogLine]:
        """What was written since; through every rotation in between."""
        yield from self._drain()
        for file in self._newer():
            yield from self._drain()
            yield from self._enter(file)

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _enter(self, file: int) -> Iterator[LogLine]:
        self.close()
        self._file, self._rest = file, b""
        yield from self._drain()

    def _drain(self) -> Iterator[LogLine]:
        if self._file < 0:
            return
        if os.fstat(self._file).st_size < os.lseek(self._file, 0, os.SEEK_CUR):
            os.lseek(self._file, 0, os.SEEK_SET)  # a single file is truncated to rotate
            self._rest = b""
        while block := os.read(self._file, _BLOCK):
            yield from self._decoded(block)

    def _decoded(self, block: bytes) -> Iterator[LogLine]:
        *lines, self._rest = (self._rest + block).split(b"\n")
        yield from (line for each in lines if (line := logs.decode(each)) is not None)

    def _newer(self) -> list[int]:
        """Files that came after the one we are in, the oldest first."""
        files = self._open_all()
        mine = _identity(self._file) if self._file >= 0 else None
        newer: list[int] = []
        for file in files:
            if _identity(file) == mine:
                break
            newer.append(file)
        for file in files[len(newer) :]:
            os.close(file)
        return newer[::-1]

    def _open_all(self) -> list[int]:
        """The newest first, each once, however many renames happen meanwhile."""
        files: list[int] = []
        seen: set[tuple[int, int]] = set()
        number = 0
        while True:
            name = f"{self._path}.{number}" if number else str(self._path)
            try:
                file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                if number:
                    return files
            else:
                if _identity(file) in seen:
                    os.close(file)
                else:
                    seen.add(_identity(file))
                    files.append(file)
            number += 1


def _blocks(file: int, size_bytes: int) -> Iterator[bytes]:
    offset = 0
    while offset < size_bytes:
        block = os.pread(file, min(_BLOCK, size_bytes - offset), offset)
        if not block:
            return
        offset += len(block)
        yield block


def _identity(file: int) -> tuple[int, int]:
    status = os.fstat(file)
    return status.st_dev, status.st_ino


def _tail(files: list[int], ends: list[int], count: int) -> list[LogLine]:
    newest_first = (
        line
        for file, end in zip(files, ends, strict=True)
        for line in _backwards(file, _end_of_lines(file, end))
    )
    found = [logs.decode(line) for line in logs.last(newest_first, count)]
    return [line for line in reversed(found) if line is not None]


def _backwards(file: int, end: int) -> Iterator[bytes]:
    """The lines of `file` before `end`, the last one first."""
    rest = b""
    while end > 0:
        begin = max(0, end - _BLOCK)
        first, *lines = (os.pread(file, end - begin, begin) + rest).split(b"\n")
        yield from (line for line in reversed(lines) if line)
        rest, end = first, begin
    if rest:
        yield rest


def _end_of_lines(file: int, size: int) -> int:
    """Behind the last newline before `size`: a line may be half written."""
    end = size
    while end > 0:
        begin = max(0, end - _BLOCK)
        found = os.pread(file, end - begin, begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


class _Watch:
    """Wakes up when something happens in the log's directory, or when told to stop."""

    def __init__(self, path: Path, stop: asyncio.Event | None) -> None:
        self._path = path
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._inotify = kernel.inotify_init()
        self._happened = asyncio.Event()
        self._watched: Path | None = None
        self._follow_directory()
        self._loop.add_reader(self._inotify, self._readable)
        self._stopping = self._loop.create_task(self._wait_stop()) if stop else None

    @property
    def is_stopped(self) -> bool:
        return self._stop is not None and self._stop.is_set()

    async def changed(self) -> None:
        """Wait for a change that came after the last call."""
        await self._happened.wait()
        self._happened.clear()
        self._follow_directory()

    def close(self) -> None:
        if self._stopping is not None:
            self._stopping.cancel()
        self._loop.remove_reader(self._inotify)
        os.close(self._inotify)

    async def _wait_stop(self) -> None:
        assert self._stop is not None
        await self._stop.wait()
        self._happened.set()

    def _follow_directory(self) -> None:
        """Watch the log's directory or, until it is made, the nearest one above."""
        directory = self._path.parent
        while directory != self._watched:
            try:
                kernel.inotify_add_watch(self._inotify, str(directory), _CHANGES)
            except FileNotFoundError:
                directory = directory.parent
            else:
                self._watched = directory
                self._happened.set()  # something may have been made before we watched

    def _readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if self._concerns_us(os.read(self._inotify, _BLOCK)):
                self._happened.set()

    def _concerns_us(self, events: bytes) -> bool:
        """Other logs may be written in the same directory."""
        if self._watched != self._path.parent:
            return True
        name, offset = self._path.name.encode(), 0
        while offset < len(events):
            _, mask, _, length = struct.unpack_from("iIII", events, offset)
            offset += 16 + length
            if events[offset - length : offset].startswith(name) or mask & _DELETE_SELF:
                return True
        return False
