"""Each case runs in a process of its own, since signals and streams are a process's."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[4]
WAITING = """
import os, sys
from runtime.io.command import foreground, terminal
pid = os.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
signals = foreground.Signals()
sys.stderr.write("ready\\n")
sys.stderr.flush()
sys.exit(foreground.wait(pid, signals))
"""
TERMINAL = """
import os, pty, sys
from runtime.io.command import foreground
signals = foreground.Signals()
pid, master = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
sys.exit(foreground.wait(pid, signals, master))
"""


def start(script: str, *words: str, **streams: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", script, *words], cwd=REPOSITORY, **streams)


@contextmanager
def waiting(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    process = start(WAITING, *words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_status_is_the_programs(script: str, status: int) -> None:
    with waiting("sh", "-c", script) as process:
        assert process.wait(60) == status


def test_signals_are_passed_on() -> None:
    script = "trap 'echo heard; exit 5' USR1; echo up; while :; do sleep 0.01; done"
    with waiting("sh", "-c", script) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == b"ready\n"
        assert process.stdout.readline() == b"up\n"
        process.send_signal(signal.SIGUSR1)
        assert process.stdout.readline() == b"heard\n"
        assert process.wait(60) == 5


def read_until(descriptor: int, wanted: bytes) -> bytes:
    seen, deadline = b"", time.monotonic() + 60
    while wanted not in seen:
        assert time.monotonic() < deadline, seen
        if select.select((descriptor,), (), (), 0.1)[0]:
            seen += os.read(descriptor, 4096)
    return seen


def test_a_terminal_is_tied_to_the_callers_and_that_is_put_back() -> None:
    """A size is told while the program runs already, and a signal while keys are typed."""
    ours, theirs = pty.openpty()
    told = "until stty size | grep '{}'; do sleep 0.01; done"
    script = f"{told.format('40 101')}; read line; echo got $line; {told.format('50 102')}; exit 3"
    subprocess.run(["stty", "rows", "40", "cols", "101"], stdin=theirs, check=True)
    before = subprocess.run(["stty", "-a"], stdin=theirs, capture_output=True, check=True).stdout
    process = start(TERMINAL, "sh", "-c", script, stdin=theirs, stdout=theirs, stderr=theirs)
    try:
        read_until(ours, b"40 101")
        subprocess.run(["stty", "rows", "50", "cols", "102"], stdin=theirs, check=True)
        process.send_signal(signal.SIGWINCH)
        os.write(ours, b"typed\r")
        seen = read_until(ours, b"102")
        assert b"got typed" in seen
        assert b"50 102" in seen
        assert process.wait(60) == 3
        subprocess.run(["stty", "rows", "40", "cols", "101"], stdin=theirs, check=True)
        after = subprocess.run(["stty", "-a"], stdin=theirs, capture_output=True, check=True)
        assert after.stdout == before
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_output_after_the_last_read_is_not_lost() -> None:
    process = start(
        TERMINAL, "sh", "-c", "seq 1 20000", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        output, _ = process.communicate(timeout=60)
        assert output.split()[-1] == b"20000"
        assert len(output.split()) == 20000
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
