"""swarm-runtime and terminals: the caller's own, and those that are handed over a socket."""

import json
import os
import pty
import select
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.kernel.bundles import Bundles
from tests.kernel.machine import wait_for

pytestmark = pytest.mark.kernel


@contextmanager
def terminal(rows: int = 40, columns: int = 101) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    resize(theirs, rows, columns)
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


def resize(descriptor: int, rows: int, columns: int) -> None:
    words = ["stty", "rows", str(rows), "cols", str(columns)]
    subprocess.run(words, stdin=descriptor, check=True)


def settings(descriptor: int) -> bytes:
    return subprocess.run(["stty", "-a"], stdin=descriptor, capture_output=True, check=True).stdout


def read_until(descriptor: int, wanted: str) -> str:
    seen, deadline = b"", time.monotonic() + 20
    while wanted.encode() not in seen:
        assert time.monotonic() < deadline, seen
        if select.select((descriptor,), (), (), 0.1)[0]:
            seen += os.read(descriptor, 4096)
    return seen.decode()


@pytest.fixture
def console(bundles: Bundles) -> Iterator[socket.socket]:
    listener = socket.socket(socket.AF_UNIX)
    with listener:
        listener.bind(str(bundles.base / "console"))
        listener.listen()
        listener.settimeout(20)
        yield listener


def receive(listener: socket.socket) -> int:
    link, _ = listener.accept()
    with link:
        name, descriptors, _, _ = socket.recv_fds(link, 100, 1)
    assert name
    return descriptors[0]


def test_the_callers_terminal_becomes_the_programs(bundles: Bundles) -> None:
    # The size and what is typed come by different ways.
    resized = "until stty size | grep -q '50 102'; do sleep 0.01; done"
    script = f"tty; stty size; read line; echo got $line; {resized}; stty size; exit 3"
    name = bundles.bundle("sh", "-c", script, terminal=True)
    with terminal() as (ours, theirs):
        before = settings(theirs)
        words = ("run", "-b", str(bundles.path(name)), name)
        with bundles.start(*words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            assert "/dev/pts/0" in read_until(ours, "40 101")
            resize(theirs, 50, 102)
            process.send_signal(signal.SIGWINCH)
            os.write(ours, b"typed\r")

            assert "got typed" in read_until(ours, "50 102")
            assert process.wait(20) == 3
        resize(theirs, 40, 101)
        assert settings(theirs) == before


def test_keys_are_signals_inside_and_not_outside(bundles: Bundles) -> None:
    script = "trap 'echo interrupted; exit 5' INT; echo up; while :; do sleep 0.02; done"
    name = bundles.bundle("sh", "-c", script, terminal=True)
    with terminal() as (ours, theirs):
        words = ("run", "-b", str(bundles.path(name)), name)
        with bundles.start(*words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            read_until(ours, "up")
            os.write(ours, b"\x03")

            read_until(ours, "interrupted")
            assert process.wait(20) == 5


def test_a_detached_terminal_is_sent_to_the_console_socket(
    bundles: Bundles, console: socket.socket
) -> None:
    script = "stty size; while read line; do echo got $line; done"
    name = bundles.bundle(
        "sh", "-c", script, terminal=True, consoleSize={"height": 30, "width": 90}
    )
    bundles.create(name, "--console-socket", str(bundles.base / "console"))
    master = receive(console)
    try:
        bundles.run("start", name)
        read_until(master, "30 90")
        os.write(master, b"hello\n")
        read_until(master, "got hello")
        os.write(master, b"\x04")
        bundles.wait_for_status(name, "stopped")
    finally:
        os.close(master)


def test_exec_has_a_terminal_of_its_own(bundles: Bundles, console: socket.socket) -> None:
    name = bundles.launch("sleep", "1000")
    with terminal() as (ours, theirs):
        words = ("exec", "-t", name, "sh", "-c", "tty; stty size; exit 4")
        with bundles.start(*words, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            assert "/dev/pts/0" in read_until(ours, "40 101")
            assert process.wait(20) == 4

    process_file = bundles.base / "process.json"
    process_file.write_text(
        json.dumps({"args": ["cat"], "cwd": "/", "terminal": True, "env": ["PATH=/bin"]})
    )
    bundles.run(
        "exec", "-d", "--process", str(process_file), "--pid-file", str(bundles.base / "pid"),
        "--console-socket", str(bundles.base / "console"), name,
    )  # fmt: skip
    master = receive(console)
    try:
        os.write(master, b"echoed\n")
        assert read_until(master, "echoed\r\nechoed")
    finally:
        os.close(master)
    wait_for("it is hung up", lambda: len(json.loads(ps(bundles, name))) == 1)


def ps(bundles: Bundles, name: str) -> str:
    return bundles.run("ps", "-f", "json", name).stdout


@pytest.mark.parametrize(
    ("terminal_wanted", "flags", "said"),
    [
        (True, (), "process.terminal: a detached program's terminal needs --console-socket"),
        (True, ("--console-socket", "/nosuch"), "--console-socket: cannot connect to /nosuch"),
        (False, ("--console-socket", "/nosuch"), "--console-socket: only a terminal"),
    ],
)
def test_a_terminal_that_nobody_takes_is_refused(
    bundles: Bundles, terminal_wanted: bool, flags: tuple[str, ...], said: str
) -> None:
    name = bundles.bundle("true", terminal=terminal_wanted)

    assert said in bundles.create(name, *flags, ok=False).stderr
    assert not bundles.leaks()


def test_output_of_a_terminal_is_complete(bundles: Bundles) -> None:
    name = bundles.bundle("awk", "BEGIN { for (i = 1; i <= 30000; i++) print i }", terminal=True)

    lines = bundles.foreground(name).stdout.split()

    assert lines[-1] == "30000"
    assert len(lines) == 30000
