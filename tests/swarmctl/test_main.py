"""Whatever goes wrong ends in one line, a hint and the right status."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.errors import Invalid, Unavailable
from swarm.specs import ServiceSpec
from swarmctl.main import told
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

SWARMCTL = (sys.executable, "-m", "swarmctl.main")


@pytest.mark.parametrize(
    ("words", "status", "text"),
    [
        (["service", "ls", "--foo"], 125, "unknown flag: --foo"),
        (["service", "create", "--nme", "x", "busybox"], 125, "did you mean --name?"),
        (["service", "create", "--name"], 125, "--name"),
        (["service", "create", "--replicas", "-1", "busybox"], 125, "--replicas: '-1'"),
        (["service", "create", "--replicas=x", "busybox"], 125, "--replicas: 'x'"),
        (["service", "create", "--detach=maybe", "busybox"], 125, "--detach: 'maybe'"),
        (["node", "update", "--availability", "off", "n"], 125, "--availability"),
        (["join", "10.0.0.1:2377"], 125, "missing --token"),
        (["init", "--advertise-addr", "0.0.0.0"], 125, "--advertise-addr: 0.0.0.0 names no host"),
        (["init", "--listen-addr", "x:99999"], 125, "--listen-addr"),
        (["service", "create"], 1, "missing IMAGE"),
        (["service", "nope"], 1, "no such command 'nope'"),
        (["nope"], 1, "no such command 'nope'"),
        (["servce", "ls"], 1, "no such command 'servce'; did you mean service?"),
        (["service", "ls", "extra"], 1, "unexpected extra argument"),
        (["join-token", "boss"], 1, "'boss'"),
    ],
)
def test_misuse_is_explained_and_sends_nothing(
    swarm: FakeSwarm, socket: Path, words: list[str], status: int, text: str
) -> None:
    ran = run(socket, *words)

    assert (ran.status, ran.out) == (status, "")
    assert ran.err.startswith("Error: ")
    assert text in ran.err
    assert "Usage: swarmctl" in ran.err
    assert "--help' for more" in ran.err
    assert swarm.requests == []


def test_a_failure_has_its_hint_and_no_traceback(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("RemoveService", Unavailable("no leader", hint="wait a moment"))
    swarm.refuse("ListServices", Unavailable("no leader", hint="wait a moment"))

    ran = run(socket, "service", "rm", "web")

    assert (ran.status, ran.out, ran.err) == (1, "", "Error: no leader\nHint: wait a moment\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["secret", "create", "-l", "a=\udcff", "key", "/etc/hostname"], 1),
        (["service", "create", "-d", "--user", "a\udcff", "busybox"], 1),
        (["plan", "create", "--user", "a\udcff", "busybox"], 255),
    ],
)
def test_an_argument_that_is_no_text_is_named(
    swarm: FakeSwarm, socket: Path, words: list[str], status: int
) -> None:
    ran = run(socket, *words)

    assert (ran.status, ran.out) == (status, "")
    assert "\\udcff" in ran.err
    assert "is not UTF-8 text\nHint: write the argument in UTF-8\n" in ran.err
    assert not swarm.requests


def test_output_that_has_no_such_letters_is_a_failure(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_service(ServiceSpec(name="web", labels={"a": "\u2603"}), service_id="id-web")
    ran = subprocess.run(
        [
            *SWARMCTL,
            "-H",
            f"unix://{socket}",
            "service",
            "inspect",
            "-f",
            "{{.Spec.Labels}}",
            "web",
        ],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout) == (1, "")
    assert "the output is in ascii, which has no '\\u2603'" in ran.stderr


def test_all_problems_are_told() -> None:
    error = Invalid("3 problems", hint="mend them", problems=("a: 1", "b: 2"))

    assert told(error) == "Error: 3 problems\n  a: 1\n  b: 2\nHint: mend them"
    assert told(Invalid("just one")) == "Error: just one"


def test_groups_without_a_command_show_their_help(socket: Path) -> None:
    for words in ([], ["service"], ["node"], ["image"], ["swarm"]):
        ran = run(socket, *words)
        assert (ran.status, ran.err) == (0, "")
        assert "Commands:" in ran.out


def test_the_version_is_printed_without_a_daemon(socket: Path) -> None:
    assert run(socket, "--version").out.startswith("swarmctl ")


def test_the_host_comes_from_the_environment(swarm: FakeSwarm, socket: Path) -> None:
    ran = subprocess.run(
        [*SWARMCTL, "service", "ls", "-q"],
        env=os.environ | {"SWARM_HOST": f"unix://{socket}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert len(swarm.requests) == 1


def test_output_that_cannot_be_written_is_a_failure() -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [*SWARMCTL, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ran.returncode == 1
    assert ran.stderr.startswith("Error: ")


def test_a_reader_that_has_seen_enough_is_no_trouble() -> None:
    read, write = os.pipe()
    os.close(read)
    ran = subprocess.run(
        [*SWARMCTL, "service", "create", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(write)

    assert ran.stderr == b""


def test_an_interrupt_leaves_the_service_running_and_says_so(
    swarm: FakeSwarm, socket: Path
) -> None:
    child = subprocess.Popen(
        [*SWARMCTL, "-H", f"unix://{socket}", "service", "create", "--name", "web", "busybox"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == f"{'s' * 25}\n"
        swarm.wait_for("WatchService")
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()

    assert child.returncode == 130
    assert "Service web goes on in the background." in err
    assert "swarmctl service ps web" in err
    assert "Traceback" not in err


def test_help_costs_less_than_150_ms_of_cpu() -> None:
    """The least of some runs, since other work on the machine also heats the caches."""
    spent = [1.0]
    while min(spent) >= 0.150 and len(spent) < 50:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([*SWARMCTL, "--help"], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(spent) < 0.150
