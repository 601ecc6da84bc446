"""Output that goes to a log and to whoever is attached."""

import json
import os
import pty
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

    def attach(self, client: int) -> tuple[int, int]:
        """A client's reading ends."""
        stdout, out = os.pipe()
        stderr, err = os.pipe()
        self.output.attach(client, stdout=out, stderr=err, given_up=self.given_up.append)
        self._opened += [stdout, stderr]
        return stdout, stderr

    def print(self, text: bytes, descriptor: int) -> None:
        os.write(descriptor, text)
        self.poll.turn(5.0)

    def end(self, descriptor: int) -> None:
        self._opened.remove(descriptor)
        os.close(descriptor)
        self.poll.turn(5.0)

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
    poll.turn(5.0)

    assert json.loads(path.read_text())["log"] == "again\r\n"
    assert poll.is_watched(master)
    output.drain()
    for descriptor in (master, *held):
        os.close(descriptor)


def _terminals() -> set[int]:
    found = Path("/proc/self/fd").iterdir()
    return {int(each.name) for each in found if str(_target(each)).startswith("/dev/pts/")}


def _target(link: Path) -> Path:
    try:
        return link.readlink()
    except FileNotFoundError:  # of the listing itself
        return Path()
