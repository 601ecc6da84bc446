import os
import pty
import socket
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from swarmctl.io.sinks import Sink


@contextmanager
def sink(descriptor: int) -> Iterator[Sink]:
    found = Sink(descriptor)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def piped() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for each in ends:
            with suppress(OSError):
                os.close(each)


def drained(reading: int) -> bytes:
    os.set_blocking(reading, False)
    found = b""
    with suppress(BlockingIOError):
        while data := os.read(reading, 1 << 16):
            found += data
    return found


def test_a_full_pipe_is_not_waited_for_and_nothing_is_lost() -> None:
    data = os.urandom(300_000)
    with piped() as (reading, writing), sink(writing) as found:
        found.put(data)
        assert 0 < found.waiting_bytes < len(data)

        seen = b""
        while found.waiting_bytes:
            seen += drained(reading)
            found.write()
        seen += drained(reading)

    assert seen == data


def test_the_pipe_itself_still_blocks_for_those_who_share_it() -> None:
    with piped() as (_, writing), sink(writing) as found:
        found.put(bytes(1 << 20))

        assert os.get_blocking(writing)


def test_what_is_put_behind_a_backlog_stays_behind_it() -> None:
    with piped() as (reading, writing), sink(writing) as found:
        found.put(bytes(1 << 17))
        drained(reading)
        found.put(b"end")
        while found.waiting_bytes:
            found.write()
            seen = drained(reading)

    assert seen.endswith(b"end")


def test_a_reader_that_is_gone_is_an_error() -> None:
    with piped() as (reading, writing), sink(writing) as found:
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            found.put(b"x")


def test_a_file_takes_everything_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file, sink(file.fileno()) as found:
        found.put(bytes(3 << 20))

        assert not found.waiting_bytes
    assert (tmp_path / "out").stat().st_size == 3 << 20


def test_a_socket_is_not_waited_for() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, sink(ours.fileno()) as found:
        found.put(bytes(1 << 22))
        assert found.waiting_bytes

        seen = 0
        while found.waiting_bytes:
            seen += len(theirs.recv(1 << 20))
            found.write()
        ours.shutdown(socket.SHUT_WR)
        while chunk := theirs.recv(1 << 20):
            seen += len(chunk)

    assert seen == 1 << 22


def test_a_terminal_is_not_waited_for() -> None:
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        with sink(slave) as found:
            found.put(b"x" * (1 << 18))
            assert found.waiting_bytes

            seen = b""
            while found.waiting_bytes:
                seen += os.read(master, 1 << 16)
                found.write()
            while len(seen) < 1 << 18:  # the kernel hands it on when it finds the time
                seen += os.read(master, 1 << 16)
    finally:
        os.close(master)
        os.close(slave)

    assert seen == b"x" * (1 << 18)


def test_what_is_left_is_written_in_the_end(tmp_path: Path) -> None:
    with piped() as (reading, writing), sink(writing) as found:
        found.put(b"first ")
        found.finish()
        found.put(b"then")
        found.finish()

        assert drained(reading) == b"first then"


def test_an_output_that_others_made_non_blocking_is_written_whole() -> None:
    """A neighbour in the pipeline may have done that to the file that we share."""
    with piped() as (reading, writing), sink(writing) as found:
        os.set_blocking(writing, False)
        found.put(bytes(1 << 20))
        seen: list[bytes] = []
        draining = threading.Thread(target=lambda: seen.append(_all(reading, 1 << 20)))
        draining.start()
        found.finish()
        draining.join()

    assert seen == [bytes(1 << 20)]


def _all(reading: int, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += os.read(reading, 1 << 16)
    return found
