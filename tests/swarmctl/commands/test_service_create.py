"""`service create` sends what was asked for, and waits until it is so."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Invalid, Missing, Unavailable
from swarm.specs import (
    ContainerSpec,
    Device,
    Global,
    Healthcheck,
    Limits,
    Mount,
    Replicated,
    ServiceSpec,
)
from tests.networks import attached
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

ID = "s" * 25
DONE = control_pb2.ServiceProgress(wanted=3, running=3, states={"running": 3})


def sent(swarm: FakeSwarm) -> ServiceSpec:
    [request] = swarm.asked(control_pb2.CreateServiceRequest)
    return from_message(ServiceSpec, request.spec)


def progress(running: int, *problems: str) -> control_pb2.ServiceProgress:
    return control_pb2.ServiceProgress(
        wanted=3, running=running, states={"running": running}, problems=problems
    )


def test_it_prints_the_id_then_how_far_it_is(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [progress(0), progress(2), DONE]

    ran = run(
        socket, "service", "create", "--name", "web", "--replicas", "3", "busybox", "sleep", "9"
    )

    assert ran.out == (f"{ID}\noverall progress: 3 out of 3 tasks\nverify: Service web converged\n")
    assert (ran.status, ran.err) == (0, "")
    spec = sent(swarm)
    assert (spec.name, spec.mode) == ("web", Replicated(replicas=3))
    assert (spec.task.container.image, spec.task.container.args) == ("busybox", ("sleep", "9"))


def test_a_container_that_dies_at_once_has_not_converged(swarm: FakeSwarm, socket: Path) -> None:
    """All replicas run for a moment; then the reason for their end is pushed."""
    swarm.progress = [DONE, progress(1, "task: non-zero exit (3)")]
    swarm.progress.append(control_pb2.ServiceProgress(removed=True))

    ran = run(socket, "service", "create", "--name", "web", "busybox")

    assert ran.status == 1
    assert "1 out of 3 tasks: task: non-zero exit (3)" in ran.out
    assert "converged" not in ran.out


def test_it_stops_watching_as_soon_as_all_is_well(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [DONE]

    assert run(socket, "service", "create", "--name", "web", "busybox").status == 0


def test_reasons_are_told_while_tasks_fail(swarm: FakeSwarm, socket: Path) -> None:
    reason = "no suitable node (insufficient resources on 3 nodes)"
    swarm.progress = [progress(0), progress(1, reason), progress(2, reason)]
    swarm.progress.append(control_pb2.ServiceProgress(removed=True))

    ran = run(socket, "service", "create", "--name", "web", "busybox")

    assert ran.out.count(reason) == 1
    assert (ran.status, ran.err) == (1, "Error: service web was removed meanwhile\n")


def test_a_manager_that_goes_away_is_looked_for_again(swarm: FakeSwarm, socket: Path) -> None:
    """The manager that we watch dies.

    1. The stream ends although the service has not converged.
    2. The next manager says that everything runs.
    """
    swarm.progress_of_calls = [[progress(1)], [DONE]]

    ran = run(socket, "service", "create", "--name", "web", "busybox")

    assert (ran.status, ran.err) == (0, "")
    assert len(swarm.asked(control_pb2.WatchServiceRequest)) == 2


@pytest.mark.parametrize("flag", ["-d", "--detach", "--detach=true"])
def test_detached_it_does_not_watch(swarm: FakeSwarm, socket: Path, flag: str) -> None:
    ran = run(socket, "service", "create", flag, "busybox")

    assert (ran.status, ran.out) == (0, f"{ID}\n")
    assert swarm.asked(control_pb2.WatchServiceRequest) == []


def test_quiet_it_waits_and_prints_the_id_only(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [progress(0), DONE]

    assert run(socket, "service", "create", "-q", "busybox").out == f"{ID}\n"
    assert len(swarm.asked(control_pb2.WatchServiceRequest)) == 1


def test_a_service_without_a_name_gets_one(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "service", "create", "-d", "busybox")

    assert re.fullmatch(r"[a-z]+_[a-z]+", sent(swarm).name)


def test_flags_after_the_image_belong_to_the_container(swarm: FakeSwarm, socket: Path) -> None:
    words = ("--init=false", "--read-only=true", "busybox", "sh", "-c", "--init", "--detach=false")
    run(socket, "service", "create", "-d", *words)

    container = sent(swarm).task.container
    assert container.args == ("sh", "-c", "--init", "--detach=false")
    assert (container.init, container.read_only) == (False, True)


def test_environment_comes_from_files_then_flags(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FROM_HERE", "yes")
    file = tmp_path / "env"
    file.write_text("A=1\nB=2\nFROM_HERE\n")

    run(socket, "service", "create", "-d", "-e", "B=3", "--env-file", str(file), "busybox")

    assert sent(swarm).task.container.env == ("A=1", "B=3", "FROM_HERE=yes")


def test_images_are_pinned_unless_told_otherwise(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "service", "create", "-d", "busybox")
    run(socket, "service", "create", "-d", "--no-resolve-image", "busybox")

    resolved = [x.resolve_image for x in swarm.asked(control_pb2.CreateServiceRequest)]
    assert resolved == [True, False]


def test_every_kind_of_flag_arrives(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(
        socket, "service", "create", "-d", "--mode", "global", "--limit-cpu", "0.5",
        "--limit-memory", "64m", "--reserve-memory=32MiB", "--restart-delay", "500ms",
        "--restart-condition", "on-failure", "--stop-grace-period", "1m30s",
        "--mount", "source=data,target=/data", "--constraint", "node.role == worker",
        "--network", "host", "--label", "a=b", "-u", "1000", "-w", "/srv", "busybox",
    )  # fmt: skip

    assert (ran.status, ran.err) == (0, "")
    spec = sent(swarm)
    task = spec.task
    assert isinstance(spec.mode, Global)
    assert (task.limits.cpu_millis, task.limits.memory_bytes) == (500, 64 << 20)
    assert (task.reservations.memory_bytes, task.restart.delay_s) == (32 << 20, 0.5)
    assert (task.container.stop_grace_s, task.container.user) == (90.0, "1000")
    assert task.container.mounts == (Mount(source="data", target="/data"),)
    assert (task.networks, spec.labels) == (attached("host"), {"a": "b"})


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (["--mode", "global", "--replicas", "3"], ["--replicas contradicts --mode global"]),
        (["--limit-memory", "8m", "--reserve-memory", "16m"], ["--limit-memory", "16MiB"]),
        (["--network", "host", "--network", "none"], ["--network", "host excludes others"]),
        (["--network", "name=a,alias=x,alias=X"], ["--network: alias: X is given twice"]),
        (["--endpoint-mode", "dnsrr", "-p", "80:80", "--network", "a"], ["--publish", "dnsrr"]),
        (["-p", "8080:80", "-p", "8080:81"], ["--publish: published: 8080/tcp is already"]),
        (["--mount", "type=bind,source=x,target=/y"], ["--mount", "must be absolute"]),
        (
            ["--mount", "source=a,target=/y", "--mount", "source=b,target=/y/"],
            ["--mount", "already the target"],
        ),
        (["--constraint", "node.zone==east"], ["--constraint", "no attribute"]),
        (["--stop-signal", "SIGNOPE"], ["--stop-signal", "SIGNOPE"]),
        (["--env-file", "/nonexistent"], ["--env-file /nonexistent", "No such file"]),
        (["--name", "-bad-"], ["--name"]),
        (["--user", "a b", "--hostname", "-x"], ["2 problems", "--user", "--hostname"]),
        (["--sysctl", "kernel.panic=1"], ["--sysctl", "own"]),
        (["--ulimit", "files=1"], ["--ulimit", "files"]),
        (["--ulimit", "nofile=2:1"], ["--ulimit", "hard limit"]),
        (["--host", "db"], ["--host", "NAME:IP"]),
    ],
)
def test_what_makes_no_sense_is_refused_by_flag_and_not_sent(
    swarm: FakeSwarm, socket: Path, words: list[str], texts: list[str]
) -> None:
    ran = run(socket, "service", "create", *words, "busybox")

    assert (ran.status, ran.out) == (1, "")
    assert all(text in ran.err for text in texts), ran.err
    assert swarm.requests == []


def test_a_bad_line_of_an_env_file_is_named(swarm: FakeSwarm, socket: Path, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("A=1\nB C=2\n")

    ran = run(socket, "service", "create", "--env-file", str(file), "busybox")

    assert f"{file}:2: 'B C' contains a space" in ran.err
    assert swarm.requests == []


@pytest.mark.parametrize(
    "error",
    [
        Missing("image nope:1 not found", hint="check the name"),
        Invalid("2 problems", problems=("task.limits.cpu_millis: above the largest node", "x: y")),
        Unavailable("no leader"),
    ],
)
def test_a_refusal_by_the_manager_is_passed_on(
    swarm: FakeSwarm, socket: Path, error: Missing | Invalid | Unavailable
) -> None:
    swarm.refuse("CreateService", error)

    ran = run(socket, "service", "create", "busybox")

    assert (ran.status, ran.out) == (1, "")
    assert error.message in ran.err
    assert error.hint in ran.err
    assert "task.limits" not in ran.err
    assert ("--limit-cpu: above" in ran.err) == isinstance(error, Invalid)


def test_a_terminal_sees_a_bar_that_is_repainted(swarm: FakeSwarm, socket: Path) -> None:
    swarm.progress = [progress(0), progress(2), DONE]
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        child = subprocess.Popen(
            [sys.executable, "-m", "swarmctl.main", "-H", f"unix://{socket}",
             "service", "create", "--name", "web", "busybox"],
            stdout=theirs,
        )  # fmt: skip
        os.close(theirs)
        shown = b""
        try:
            while chunk := screen.read(1 << 16):
                shown += chunk
        except OSError:
            pass  # how Linux says that nobody writes to a terminal any more
        assert child.wait() == 0

    text = shown.decode()
    assert "overall progress: 2 out of 3 tasks" in text
    assert re.search(r"\[=+>? *\] +66%", text)
    assert re.search(r"\x1b\[\d+A", text)
    assert text.endswith("verify: Service web converged\r\n")


def test_rights_and_health_travel_with_the_service(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text('{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n')
    swarm.progress = [DONE]

    ran = run(
        socket, "service", "create", "--name", "web", "--cap-drop", "all", "--cap-add", "kill",
        "--privileged", "--device", "/dev/fuse:r", "--security-opt", f"seccomp={profile}",
        "--security-opt", "no-new-privileges:false", "--userns", "host", "-t", "-i",
        "--health-cmd", "true", "--health-retries", "2", "--limit-memory", "1g", "--memory-swap",
        "-1", "busybox",
    )  # fmt: skip

    assert (ran.status, ran.err) == (0, "")
    task = sent(swarm).task
    assert task.limits == Limits(memory_bytes=1 << 30, swap_bytes=-1)
    assert task.container == ContainerSpec(
        image="busybox",
        cap_add=("CAP_KILL",),
        cap_drop=("ALL",),
        privileged=True,
        devices=(Device(source="/dev/fuse", target="/dev/fuse", access="r"),),
        seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}',
        allow_new_privileges=True,
        host_user_namespace=True,
        tty=True,
        open_stdin=True,
        health=Healthcheck(test=("CMD-SHELL", "true"), retries=2),
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        ('{\n "defaultAction" "x"}', "line 2, column 18"),
        ('{"defaultAction": "ALLOW"}', "SCMP_ACT_ALLOW"),
    ],
)
def test_a_seccomp_file_that_cannot_be_used_is_refused_by_name(
    swarm: FakeSwarm, socket: Path, tmp_path: Path, content: str | None, words: str
) -> None:
    profile = tmp_path / "profile.json"
    if content is not None:
        profile.write_text(content)

    ran = run(socket, "service", "create", "--security-opt", f"seccomp={profile}", "busybox")

    assert ran.status == 1
    assert f"--security-opt seccomp={profile}: " in ran.err
    assert words in ran.err
    assert not swarm.asked(control_pb2.CreateServiceRequest)
