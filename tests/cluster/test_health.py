"""Health checks in the life of a service, on a real host."""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.hosts import BIN, Host, Lan, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

PROBE = (
    "--health-cmd", "cat /tmp/well || { echo no file; false; }", "--health-interval", "100ms",
    "--health-timeout", "5s",
)  # fmt: skip
SLEEP = "trap 'exit 0' TERM; while :; do sleep 3600 & wait; done"


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A swarm of one host, with an image that has no check and one that has."""
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=1)
    try:
        [only] = lan.hosts
        only.start()
        only.ctl("init", "--advertise-addr", only.ip)
        for name, config in (
            ("plain:1", {}),
            (
                "probed:1",
                {"Healthcheck": {"Test": ["CMD-SHELL", "false"], "Interval": 100_000_000,
                                 "Retries": 1000}},
            ),
        ):  # fmt: skip
            archive = docker_archive(
                lan.base / "image.tar", name, cmd=("sh", "-c", SLEEP), config=config
            )
            only.ctl("image", "load", "-i", str(archive))
        yield only
    finally:
        lan.close()


@pytest.fixture(autouse=True)
def services_end(host: Host) -> Iterator[None]:
    yield
    names = host.ctl("service", "ls", "--format", "{{.Name}}").stdout.split()
    if names:
        host.ctl("service", "rm", *names)
    wait_for("containers gone", lambda: not host.containers(), within_s=60)


def tasks(host: Host, name: str) -> list[dict[str, Any]]:
    """What `service ps` shows; nothing while there is no such service."""
    done = host.ctl(
        "service", "ps", name, "--no-trunc", "--format", "{{json .}}", check=False
    )  # fmt: skip
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_create_waits_until_the_container_is_healthy(host: Host, tmp_path: Path) -> None:
    """The program does not work until it is told to.

    1. Its container runs at once, but the task is starting, and says so.
    2. `service create` returns once the check has succeeded, and the task runs.
    """
    script = f"until test -e /told/now; do sleep 0.1; done; touch /tmp/well; {SLEEP}"
    creating = subprocess.Popen(
        [str(BIN / "swarmctl"), "-H", host.url, "service", "create", "-q", "--name", "slow", *PROBE,
         "--mount", f"type=bind,source={tmp_path},target=/told,readonly",
         "--health-retries", "1000", "plain:1", "sh", "-c", script],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    seen = wait_for(
        "starting",
        lambda: (found := tasks(host, "slow")) and "(health:" in found[0]["CurrentState"] and found,
        within_s=30,
    )

    assert creating.poll() is None
    (tmp_path / "now").touch()
    assert creating.wait(60) == 0
    assert seen[0]["CurrentState"].startswith("Starting")
    [task] = tasks(host, "slow")
    assert task["CurrentState"].startswith("Running")
    assert task["CurrentState"].endswith("(healthy)")
    assert task["Health"] == "healthy"


def test_an_unhealthy_task_fails_and_is_replaced(host: Host) -> None:
    """A program runs well for a moment, then hangs; its process lives on.

    1. The service converges.
    2. The check fails twice: the container is stopped, and its task fails with what it printed.
    3. Another task takes its slot.
    """
    script = f"touch /tmp/well; sleep 1; rm /tmp/well; {SLEEP}"
    host.ctl(
        "service", "create", "-q", "--name", "hangs", "--restart-delay", "0s", *PROBE,
        "--health-retries", "2", "plain:1", "sh", "-c", script,
    )  # fmt: skip

    failed = wait_for(
        "failed and replaced",
        lambda: len(found := tasks(host, "hangs")) > 1 and found[-1],
        within_s=60,
    )

    assert failed["CurrentState"].startswith("Failed")
    assert "container is unhealthy: " in failed["Error"]
    assert "no file" in failed["Error"]
    [inspected] = host.json("task", "inspect", failed["ID"])
    health = inspected["Status"]["Health"]
    assert (health["Status"], health["FailingStreak"]) == ("unhealthy", 2)
    assert [each["ExitCode"] for each in health["Log"][-2:]] == [1, 1]
    assert "no file" in health["Log"][-1]["Output"]


def test_failures_in_the_start_period_do_not_count(host: Host) -> None:
    script = f"sleep 1; touch /tmp/well; {SLEEP}"
    host.ctl(
        "service", "create", "-q", "--name", "late", *PROBE, "--health-retries", "1",
        "--health-start-period", "20s", "--health-start-interval", "50ms",
        "plain:1", "sh", "-c", script,
    )  # fmt: skip

    [task] = tasks(host, "late")
    assert task["Health"] == "healthy"


def test_a_rollout_goes_on_when_the_new_task_is_healthy(host: Host) -> None:
    """Two replicas that need a second until they work, replaced one at a time.

    At no moment is there none that works.
    """
    host.ctl(
        "service", "create", "-q", "--name", "rolled", "--replicas", "2", *PROBE,
        "--health-retries", "1000", "plain:1", "sh", "-c", f"sleep 1; touch /tmp/well; {SLEEP}",
    )  # fmt: skip
    before = {task["ID"] for task in tasks(host, "rolled")}

    host.ctl("service", "update", "-q", "-d", "--env-add", "COLOR=blue", "rolled")
    least, found = 2, set[str]()
    while len(found - before) < 2:
        healthy = [task for task in tasks(host, "rolled") if task["Health"] == "healthy"]
        found = {task["ID"] for task in healthy}
        least = min(least, len(found))

    assert least >= 1


def test_an_images_own_check_counts_unless_it_is_silenced(host: Host) -> None:
    host.ctl("service", "create", "-d", "-q", "--name", "probed", "probed:1")
    host.ctl("service", "create", "-q", "--name", "silent", "--no-healthcheck", "probed:1")

    [silent] = tasks(host, "silent")
    assert (silent["CurrentState"].split()[0], silent["Health"]) == ("Running", "")
    [probed] = wait_for(
        "probed",
        lambda: (found := tasks(host, "probed")) and found[0]["Health"] and found,
        within_s=30,
    )
    assert (probed["CurrentState"].split()[0], probed["Health"]) == ("Starting", "starting")


def test_an_agent_that_was_killed_goes_on_where_checks_stand(host: Host) -> None:
    """The agent dies while one container is not healthy yet; it becomes so meanwhile or later."""
    host.ctl(
        "service", "create", "-d", "-q", "--name", "watched", *PROBE, "--health-retries", "1000",
        "plain:1", "sh", "-c", f"sleep 1; touch /tmp/well; {SLEEP}",
    )  # fmt: skip
    [before] = wait_for("its container", host.containers, within_s=30).values()

    host.kill("agent.main")

    [task] = wait_for(
        "healthy",
        lambda: (found := tasks(host, "watched")) and found[0]["Health"] == "healthy" and found,
        within_s=60,
    )
    assert task["CurrentState"].startswith("Running")
    assert list(host.containers().values()) == [before]
