"""Output that goes to a log and to whoever is attached."""

import json
import os
import pty
import select
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runtime.io.output import Output
from runtime.io.polling import Poll
from runtime.spec import Log


class Printing:
    """A program's ends of the pipes, and an `Output` at the others."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.poll = Poll()
        self._stdout, self.stdout = os.pipe()
        self._stderr, self.stderr = os.pipe()
        log = msgspec.json.encode(Log(path=str(path)))
        self.output = Output(self.poll, log, stdout=self._stdout, stderr=self._stderr)
        self.output.begin()
        self.given_up: list[int] = []
        self._opened = [self._stdout, self._stderr, self.stdout, self.stderr]

    def attach(self, client: int, *, waited_for: bool = False) -> tuple[int, int]:
        """A client's reading ends."""
        stdout, out = os.pipe()
        stderr, err = os.pipe()
        given_up = None if waited_for else self.given_up.append
        self.output.attach(client, stdout=out, stderr=err, given_up=given_up)
        self._opened += [stdout, stderr]
        return stdout, stderr

    def print(self, text: bytes, descriptor: int) -> None:
        os.write(descriptor, text)
        self.poll.turn(5.0)

    def end(self, descriptor: int) -> None:
        self._opened.remove(descriptor)
        os.close(descriptor)
        self.poll.turn(5.0)

    def forget(self, descriptor: int) -> None:
        """It was closed in the test."""
        self._opened.remove(descriptor)

    def logged(self) -> list[tuple[str, str]]:
        records = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [(each["stream"], each["log"]) for each in records]

    def close(self) -> None:
        for descriptor in self._opened:
            os.close(descriptor)


@pytest.fixture
def printing(tmp_path: Path) -> Iterator[Printing]:
    made = Printing(tmp_path / "log")
    yield made
    made.close()


def test_output_is_logged_by_stream_and_copied_to_everyone(printing: Printing) -> None:
    first, second = printing.attach(1), printing.attach(2)

    printing.print(b"out\n", printing.stdout)
    printing.print(b"err\n", printing.stderr)

    assert printing.logged() == [("stdout", "out\n"), ("stderr", "err\n")]
    for stdout, stderr in (first, second):
        assert os.read(stdout, 99) == b"out\n"
        assert os.read(stderr, 99) == b"err\n"
    assert printing.given_up == []


def test_a_stream_that_ends_ends_for_everyone_now_and_later(printing: Printing) -> None:
    stdout, stderr = printing.attach(1)

    printing.end(printing.stdout)
    later, _ = printing.attach(2)

    assert os.read(stdout, 99) == b""
    assert os.read(later, 99) == b""
    printing.print(b"still\n", printing.stderr)
    assert os.read(stderr, 99) == b"still\n"


def test_a_slow_reader_is_given_up_once_and_alone(printing: Printing) -> None:
    slow, _ = printing.attach(1)
    quick, _ = printing.attach(2)
    piece, read = b"x" * 4095 + b"\n", 0

    for _ in range(32):
        printing.print(piece, printing.stdout)
        read += len(os.read(quick, 65536))

    assert printing.given_up == [1]
    assert read == 32 * len(piece)
    assert len(printing.logged()) == 32
    taken = b""
    while part := os.read(slow, 65536):  # up to the end of file
        taken += part
    assert taken == piece * (65536 // len(piece))


def test_one_that_is_waited_for_holds_its_stream_up_and_no_other(printing: Printing) -> None:
    slow, errors = printing.attach(1, waited_for=True)
    quick, _ = printing.attach(2, waited_for=True)
    for _ in range(2):
        printing.print(bytes(65536), printing.stdout)
        assert len(os.read(quick, 65536)) == 65536

    os.write(printing.stdout, b"more\n")
    printing.print(b"error\n", printing.stderr)  # nothing else is ready
    assert os.read(errors, 99) == b"error\n"
    assert not _is_ready(quick)

    taken = os.read(slow, 65536)
    for _ in range(2):
        printing.poll.turn(5.0)
    taken += os.read(slow, 65536)
    printing.poll.turn(5.0)
    taken += os.read(slow, 65536)
    assert taken == bytes(131072) + b"more\n"
    assert os.read(quick, 99) == b"more\n"
    assert printing.given_up == []


def test_one_that_is_waited_for_and_leaves_holds_nobody_up(printing: Printing) -> None:
    slow, _ = printing.attach(1, waited_for=True)
    quick, _ = printing.attach(2)
    for _ in range(2):
        printing.print(bytes(65536), printing.stdout)
        os.read(quick, 65536)

    os.close(slow)
    printing.forget(slow)
    os.write(printing.stdout, b"more\n")
    printing.poll.turn(5.0)
    printing.poll.turn(5.0)

    assert os.read(quick, 99) == b"more\n"


def test_one_that_detaches_takes_along_what_it_was_waited_for(printing: Printing) -> None:
    printing.attach(1, waited_for=True)
    for _ in range(2):
        printing.print(bytes(65536), printing.stdout)

    printing.output.detach(1)
    printing.print(b"more\n", printing.stdout)

    assert printing.logged()[-1][1].endswith("more\n")


def test_at_the_end_everything_fits_into_the_pipe_of_one_that_is_waited_for(
    printing: Printing,
) -> None:
    slow, errors = printing.attach(1, waited_for=True)
    for _ in range(2):
        printing.print(bytes(65536), printing.stdout)
    os.write(printing.stdout, bytes(65536))
    os.write(printing.stderr, b"last words")

    for end in (printing.stdout, printing.stderr):
        os.close(end)
        printing.forget(end)
    printing.output.drain()

    taken = b""
    while part := os.read(slow, 65536):
        taken += part
    assert len(taken) == 3 * 65536
    assert os.read(errors, 99) == b"last words"
    assert os.read(errors, 99) == b""


def test_whoever_catches_up_gets_what_is_not_logged_yet(printing: Printing) -> None:
    printing.print(b"one\ntw", printing.stdout)
    stdout, _ = printing.attach(1)

    inode, size = printing.output.catch_up(1)
    printing.print(b"o\n", printing.stdout)

    status = printing.path.stat()
    assert (inode, size < status.st_size) == (status.st_ino, True)
    assert printing.path.read_bytes()[:size].count(b"\n") == 1
    assert os.read(stdout, 99) == b"two\n"


def test_whoever_catches_up_before_anything_was_printed_is_behind_nothing(
    printing: Printing,
) -> None:
    printing.attach(1)

    assert printing.output.catch_up(1) == (0, 0)


def test_a_reader_that_closed_one_stream_gets_the_other(printing: Printing) -> None:
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    printing.output.attach(1, stdout=out, stderr=err, given_up=printing.given_up.append)
    os.close(stdout)

    printing.print(b"nobody\n", printing.stdout)
    printing.print(b"somebody\n", printing.stderr)

    assert os.read(stderr, 99) == b"somebody\n"
    assert printing.given_up == []
    printing.output.detach(1)
    printing.output.detach(1)
    assert os.read(stderr, 99) == b""
    os.close(stderr)


def test_what_is_left_in_the_pipes_is_passed_on_at_the_end(printing: Printing) -> None:
    stdout, _ = printing.attach(1)
    os.write(printing.stdout, b"one\ntw")
    os.write(printing.stderr, b"three")

    printing.output.drain()

    assert sorted(printing.logged()) == [("stderr", "three"), ("stdout", "one\n"), ("stdout", "tw")]
    assert os.read(stdout, 99) == b"one\ntw"
    assert os.read(stdout, 99) == b""


def test_a_terminal_that_everyone_has_closed_is_silent_and_not_at_its_end(tmp_path: Path) -> None:
    """Without our own hold on it the master would hang up, and a poll on it would spin."""
    master, slave = pty.openpty()
    name = os.ttyname(slave)
    poll, path = Poll(), tmp_path / "log"
    output = Output(poll, msgspec.json.encode(Log(path=str(path))), stdout=master, stderr=-1)
    before = _terminals()
    output.begin()
    held = _terminals() - before
    os.close(slave)

    poll.turn(0.0)
    slave = os.open(name, os.O_RDWR | os.O_NOCTTY)
    os.write(slave, b"again\n")
    os.close(slave)
    while not path.exists() or not path.read_text():  # the kernel may hand it on in pieces
        poll.turn(5.0)

    assert json.loads(path.read_text())["log"] == "again\r\n"
    assert poll.is_watched(master)
    output.drain()
    for descriptor in (master, *held):
        os.close(descriptor)


def _is_ready(descriptor: int) -> bool:
    return bool(select.select((descriptor,), (), (), 0)[0])


def _terminals() -> set[int]:
    found = Path("/proc/self/fd").iterdir()
    return {int(each.name) for each in found if str(_target(each)).startswith("/dev/pts/")}


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except FileNotFoundError:  # of the listing itself
        return Path()
