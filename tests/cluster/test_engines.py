"""podman and dockerd live with our runtime as they do with runc."""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.engines import Docker, Engine, Podman
from tests.cluster.hosts import wait_for
from tests.images import docker_archive

pytestmark = pytest.mark.cluster

RUNTIME = str(Path(sys.executable).parent / "swarm-runtime")
SERVE = ("sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.1; done")
MIB = 1024 * 1024


@pytest.fixture(scope="module", params=["podman", "docker"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """One of both, with an image; nothing may be left of its containers."""
    name: str = request.param
    programs = {"podman": ("podman", "conmon"), "docker": ("dockerd", "containerd", "docker")}
    if missing := [each for each in programs[name] if shutil.which(each) is None]:
        pytest.skip(f"{', '.join(missing)} cannot be found; make setup installs it")
    kinds: dict[str, Callable[[str], Engine]] = {"podman": Podman, "docker": Docker}
    made = kinds[name](RUNTIME)
    try:
        made.cli("load", "-i", str(docker_archive(made.base / "busy.tar", "busy:1", cmd=SERVE)))
        idle = len(made.left_behind())
        yield made
        wait_for(
            f"no more is left than before: {made.left_behind()}",
            lambda: len(made.left_behind()) <= idle, within_s=30,
        )  # fmt: skip
    finally:
        made.close()


def test_a_container_runs_to_its_end_and_its_exit_code_is_told(engine: Engine) -> None:
    assert engine.run("--rm", "busy:1", "echo", "hello").stdout == "hello\n"

    failed = engine.run("--rm", "busy:1", "sh", "-c", "exit 7", check=False)
    assert failed.returncode == 7


def test_a_missing_program_is_told_as_the_engine_tells_it(engine: Engine) -> None:
    """Both look for runc's words to answer 127; what was created is gone."""
    failed = engine.run("--rm", "busy:1", "/no/such", check=False)

    assert failed.returncode == 127, failed.stderr
    assert "no such file or directory" in failed.stderr


def test_a_program_has_a_terminal_if_it_asks(engine: Engine) -> None:
    done = engine.run("--rm", "-t", "busy:1", "sh", "-c", "test -t 0 && test -t 1 && echo yes")

    assert done.stdout.strip() == "yes"


def test_a_container_lives_the_whole_life(engine: Engine) -> None:
    """One container, every command.

    1. It runs under limits, and another program joins it.
    2. Its statistics and processes are seen.
    3. Paused, it is said to be; it goes on when unpaused.
    4. Its limit is changed while it runs.
    5. Stopped, it gets its signal, and its exit code is told.
    6. Removed, nothing of it is left.
    """
    engine.run("-d", "--name", "app", "--memory", "64m", "--pids-limit", "50", "busy:1")
    try:
        joined = engine.cli("exec", "-e", "A=b", "app", "sh", "-c", "echo $A; exit 5", check=False)
        assert (joined.stdout, joined.returncode) == ("b\n", 5)

        told = engine.cli("stats", "--no-stream", "--format", "{{.MemUsage}} {{.PIDs}}", "app")
        assert "/ 64MiB" in told.stdout or "/ 67.11MB" in told.stdout
        assert int(told.stdout.split()[-1]) >= 1
        assert "trap 'exit 3' TERM" in engine.cli("top", "app").stdout

        engine.cli("pause", "app")
        assert engine.inspect("app", "State.Status") == "paused"
        engine.cli("unpause", "app")
        assert engine.inspect("app", "State.Status") == "running"

        limit = engine.cli("exec", "app", "sh", "-c", _READ_LIMIT).stdout
        assert int(limit) == 64 * MIB

        engine.cli("stop", "-t", "10", "app")
        assert engine.inspect("app", "State.ExitCode") == "3"
    finally:
        engine.cli("rm", "-f", "app")
    assert engine.cli("ps", "-aq").stdout == ""


def test_a_container_is_killed_with_any_signal(engine: Engine) -> None:
    engine.run("-d", "--name", "victim", "busy:1")

    engine.cli("kill", "-s", "KILL", "victim")

    assert engine.cli("wait", "victim").stdout.strip() == "137"
    engine.cli("rm", "victim")


def test_a_limit_is_changed_while_the_container_runs(engine: Engine) -> None:
    engine.run("-d", "--name", "grows", "--memory", "64m", "--memory-swap", "64m", "busy:1")
    try:
        engine.cli("update", "--memory", "128m", "--memory-swap", "128m", "grows")

        assert int(engine.cli("exec", "grows", "sh", "-c", _READ_LIMIT).stdout) == 128 * MIB
    finally:
        engine.cli("rm", "-f", "grows")


_READ_LIMIT = (
    "cat /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max"
)
