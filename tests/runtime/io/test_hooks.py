import os
import signal
import time
from pathlib import Path

import pytest

from runtime.io.hooks import run_hook
from runtime.oci.config import Hook
from swarm.errors import KernelRefused
from tests.liveness import is_alive

STATE = b'{"ociVersion":"1.2.1","id":"c1","status":"created","pid":7,"bundle":"/b"}'


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def shell(script: str, *, env: tuple[str, ...] = (), timeout: int | None = None) -> Hook:
    return Hook(path="/bin/sh", args=("sh", "-c", script), env=env, timeout=timeout)


def failure_of(hook: Hook) -> str:
    with pytest.raises(KernelRefused) as caught:
        run_hook(hook, STATE, kind="prestart")
    return caught.value.message


def test_a_hook_reads_the_state_and_has_its_own_arguments_and_environment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET", "of the runtime")
    script = 'cat > state; echo "$0 $1" > args; env > env; pwd > cwd'
    hook = Hook(path="/bin/sh", args=("sh", "-c", script, "zero", "one"), env=("A=1=2", "B="))

    run_hook(hook, STATE, kind="prestart", directory=str(tmp_path))

    assert (tmp_path / "state").read_bytes() == STATE
    assert (tmp_path / "args").read_text() == "zero one\n"
    env = set((tmp_path / "env").read_text().split())
    assert {"A=1=2", "B="} <= env
    assert not any(each.startswith(("SECRET", "PATH", "HOME")) for each in env)
    assert (tmp_path / "cwd").read_text() == f"{tmp_path}\n"


def test_a_hook_without_arguments_is_called_by_its_path(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f'#!/bin/sh\necho "$0 $#" > {tmp_path}/called\n')
    hook.chmod(0o755)

    run_hook(Hook(path=str(hook)), STATE, kind="poststop")

    assert (tmp_path / "called").read_text() == f"{hook} 0\n"


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("exit 3", "exit code 3"),
        ("echo not today >&2; exit 1", "exit code 1: not today"),
        ("kill -9 $$", "killed by signal 9"),
    ],
)
def test_a_failure_names_the_hook_and_says_how_it_ended(script: str, problem: str) -> None:
    assert failure_of(shell(script)) == f"prestart hook /bin/sh: {problem}"


def test_a_hook_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    text = failure_of(Hook(path=str(tmp_path / "none")))

    assert text == f"prestart hook {tmp_path}/none: exit code 127: no such file or directory"


def test_a_timeout_ends_the_hook_and_its_children(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script = f"sleep 60 & echo $! $$ > {pids}; wait"
    started = time.monotonic()

    text = failure_of(shell(script, env=("PATH=/bin:/usr/bin",), timeout=3))

    assert text == "prestart hook /bin/sh: still running after 3 s"
    assert time.monotonic() - started < 40
    for pid in pids.read_text().split():
        assert is_gone(int(pid))


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.005)
    return not is_alive(pid)


def test_what_a_hook_leaves_running_keeps_nobody_waiting(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    started = time.monotonic()

    run_hook(
        shell(f"sleep 60 & echo $! > {pids}", env=("PATH=/bin:/usr/bin",), timeout=30),
        STATE,
        kind="poststart",
    )

    try:
        assert time.monotonic() - started < 25
        assert Path(f"/proc/{pids.read_text().strip()}").exists()
    finally:
        os.kill(int(pids.read_text()), signal.SIGKILL)


def test_output_of_any_size_and_state_of_any_size_block_nobody() -> None:
    state = b'{"annotations":"' + b"x" * 2_000_000 + b'"}'

    run_hook(
        shell("head -c 3000000 /dev/zero", env=("PATH=/bin:/usr/bin",)), state, kind="prestart"
    )


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = open_descriptors()

    run_hook(
        shell(f"ls /proc/self/fd | wc -l > {tmp_path}/n", env=("PATH=/bin:/usr/bin",)),
        STATE,
        kind="prestart",
    )

    assert open_descriptors() == before
    assert int((tmp_path / "n").read_text()) <= 4  # its three, and what ls reads
