"""Commands that are killed, and commands that meet.

Whatever moment a command dies at, the next one finds its way. The moments are those in which a
command can be held: in its hooks, at the gate, or anywhere at all after a while.
"""

import contextlib
import os
import re
import signal
import subprocess
import time
from functools import partial

import pytest

from tests.kernel.bundles import Bundles, Config
from tests.kernel.machine import wait_for
from tests.liveness import children

pytestmark = pytest.mark.kernel


def holding_hook(bundles: Bundles, kind: str, name: str) -> str:
    """A bundle whose hook says that it runs and then waits for a file."""
    reached, go = bundles.base / "reached", bundles.base / "go"
    script = f"echo > {reached}; while ! test -e {go}; do sleep 0.01; done"

    def change(config: Config) -> None:
        made = {"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}
        config["hooks"] = {kind: [made]}

    return bundles.bundle("sleep", "1000", name=name, change=change)


def kill_in_hook(bundles: Bundles, *words: str) -> None:
    """Kill a command once its hook runs; the hook, which is nobody's, ends by itself."""
    with bundles.start(*words, stderr=subprocess.DEVNULL) as process:
        wait_for("the hook runs", (bundles.base / "reached").exists)
        process.kill()
    (bundles.base / "go").touch()
    wait_for("the hook ends", lambda: not any("go" in each for each in hooks_of(bundles)))
    (bundles.base / "go").unlink()
    (bundles.base / "reached").unlink()


def hooks_of(bundles: Bundles) -> list[str]:
    return [each for each in bundles.leaks() if "while ! test" in each]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@pytest.mark.parametrize("remedy", ["delete", "list", "create"])
def test_what_a_killed_create_leaves_is_undone_by_the_next_command(
    bundles: Bundles, kind: str, remedy: str
) -> None:
    name = holding_hook(bundles, kind, "half")
    kill_in_hook(bundles, "create", "-b", str(bundles.path(name)), name)
    assert bundles.status(name) == "stopped"
    assert "stopped" in bundles.run("start", name, ok=False).stderr

    if remedy == "delete":
        bundles.run("delete", "--force", name)
    elif remedy == "list":
        assert bundles.run("list", "-q").stdout == ""
    else:
        (bundles.base / "go").touch()
        bundles.create(name)
        assert bundles.status(name) == "created"
        bundles.run("delete", name)

    wait_for(f"nothing is left: {bundles.leaks()}", lambda: not bundles.leaks())


def test_a_killed_start_leaves_a_container_that_runs(bundles: Bundles) -> None:
    name = holding_hook(bundles, "poststart", "started")
    bundles.create(name)

    kill_in_hook(bundles, "start", name)

    assert bundles.status(name) == "running"
    assert "already running" in bundles.run("start", name, ok=False).stderr
    bundles.run("delete", "--force", name)


def test_a_killed_delete_can_be_repeated(bundles: Bundles) -> None:
    name = holding_hook(bundles, "poststop", "deleted")
    bundles.create(name)

    kill_in_hook(bundles, "delete", "--force", name)

    assert "does not exist" in bundles.run("delete", name, ok=False).stderr
    assert bundles.run("delete", "--force", name).returncode == 0
    assert not bundles.leaks()


@pytest.mark.parametrize("percent", range(10, 100, 16))
@pytest.mark.parametrize("command", ["create", "start", "delete"])
def test_a_command_killed_at_any_time_leaves_what_the_next_cleans(
    bundles: Bundles, command: str, percent: int
) -> None:
    """How long the command takes is measured first; then it dies after a part of that."""
    whole_s = 0.0
    for name in ("measured", "killed"):
        bundles.bundle("sleep", "1000", name=name)
        if command != "create":
            bundles.create(name)
        words = (command, *(("-b", str(bundles.path(name))) if command == "create" else ()), name)
        began = time.monotonic()
        with bundles.start(*words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            if name == "killed":
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(whole_s * percent / 100)
                process.kill()
            process.wait()
        whole_s = time.monotonic() - began
        if command == "delete" and name == "measured":
            continue
        bundles.run("delete", "--force", name)

    bundles.run("delete", "--force", "killed")
    assert bundles.run("list", "-q").stdout == ""
    wait_for(f"nothing is left: {bundles.leaks()}", lambda: not bundles.leaks())


def test_a_killed_run_leaves_a_container_to_be_deleted(bundles: Bundles) -> None:
    name = bundles.bundle("sleep", "1000")
    with bundles.start("run", "-b", str(bundles.path(name)), name) as process:
        wait_for("it runs", lambda: name in bundles.run("list", "-q").stdout)
        bundles.wait_for_status(name, "running")
        process.kill()

    assert bundles.status(name) == "running"
    bundles.run("delete", "--force", name)


def test_a_killed_exec_leaves_its_program_and_nothing_else(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    with bundles.start("exec", name, "sleep", "998") as process:
        wait_for("it runs", lambda: sleeps(bundles, name))
        process.kill()

    assert sleeps(bundles, name)
    bundles.run("delete", "--force", name)


def sleeps(bundles: Bundles, name: str) -> bool:
    """Whether the program runs; the command and whoever becomes the program have its words, too."""
    return bool(re.search(r":\d\d sleep 998$", bundles.run("ps", name).stdout, re.MULTILINE))


def test_process_1_killed_at_the_gate_is_a_stopped_container(bundles: Bundles) -> None:
    name = bundles.bundle("true")
    bundles.create(name)

    os.kill(bundles.state(name)["pid"], signal.SIGKILL)

    bundles.wait_for_status(name, "stopped")
    assert "has stopped" in bundles.run("start", name, ok=False).stderr
    bundles.run("delete", name)


def test_of_many_creates_one_wins(bundles: Bundles) -> None:
    name = bundles.bundle("sleep", "1000")
    words = ("create", "-b", str(bundles.path(name)), name)
    processes = [
        bundles.start(*words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for _ in range(4)
    ]

    codes = sorted(each.wait(30) for each in processes)

    assert codes == [0, 1, 1, 1]
    assert bundles.status(name) == "created"


def test_of_many_starts_one_wins(bundles: Bundles) -> None:
    name = bundles.bundle("sleep", "1000")
    bundles.create(name)
    processes = [bundles.start("start", name, stderr=subprocess.DEVNULL) for _ in range(4)]

    codes = sorted(each.wait(30) for each in processes)

    assert codes == [0, 1, 1, 1]
    assert bundles.status(name) == "running"


def test_kills_and_deletes_that_meet_agree(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "1000")
    commands = (("kill", name, "KILL"), ("delete", "-f", name), ("delete", "-f", name))
    processes = [bundles.start(*each, stderr=subprocess.DEVNULL) for each in commands]

    codes = [each.wait(30) for each in processes]

    assert codes[1:] == [0, 0]
    assert not bundles.leaks()


def test_delete_force_ends_a_start_that_hangs(bundles: Bundles) -> None:
    """Deleting kills process 1, so that whoever waits for it lets go of the container."""

    def change(config: Config) -> None:
        made = {"path": "/bin/sleep", "args": ["sleep", "1000"], "env": ["PATH=/bin"]}
        config["hooks"] = {"startContainer": [made]}

    name = bundles.bundle("true", change=change)
    bundles.create(name)
    with bundles.start("start", name, stderr=subprocess.DEVNULL) as process:
        wait_for("the hook runs", partial(children, bundles.state(name)["pid"]))

        bundles.run("delete", "--force", name)

        assert process.wait(20) == 1
