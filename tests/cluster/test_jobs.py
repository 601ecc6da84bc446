"""Jobs on four hosts: to the end once, by a schedule, and after what they depend on."""

import time

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

JOB = ("--network", "host", "--restart-delay", "0s")
PS = "{{.Name}}|{{.CurrentState}}|{{.Error}}"


def tasks(swarm: Swarm, service: str) -> list[list[str]]:
    """Name, state and error of every task."""
    shown = swarm.manager.ctl("service", "ps", service, "--no-trunc", "--format", PS).stdout
    return [line.removeprefix(r" \_ ").split("|") for line in shown.splitlines()]


def completed(swarm: Swarm, service: str) -> list[str]:
    """The names of those tasks that came to a good end."""
    return sorted(name for name, state, _ in tasks(swarm, service) if state.startswith("Complete"))


def replicas(swarm: Swarm, service: str) -> str:
    """What `service ls` says of it."""
    return swarm.manager.ctl(
        "service", "ls", "-f", f"name={service}", "--format", "{{.Replicas}}"
    ).stdout.strip()


def test_a_job_of_ten_completes_three_at_a_time(swarm: Swarm) -> None:
    """Creating it waits until it is done; in between no more than three run."""
    swarm.manager.ctl(
        "service", "create", "-d", "--name", "ten", "--mode", "replicated-job", "--replicas", "10",
        "--max-concurrent", "3", *JOB, swarm.image, "sh", "-c", "sleep 1",
    )  # fmt: skip
    most = 0
    start = time.monotonic()

    def is_done() -> bool:
        nonlocal most
        running = [state for _, state, _ in tasks(swarm, "ten") if state.startswith("Running")]
        most = max(most, len(running))
        return len(completed(swarm, "ten")) == 10

    wait_for("ten completed", is_done, within_s=60, every_s=0.05)
    print(f"done after {time.monotonic() - start:.2f} s")

    assert 1 <= most <= 3
    assert completed(swarm, "ten") == sorted(f"ten.{slot}" for slot in range(1, 11))
    assert replicas(swarm, "ten").endswith("(10/10 completed)")


def test_creating_a_job_waits_for_its_end_and_tells_how_it_went(swarm: Swarm) -> None:
    well = swarm.manager.ctl(
        "service", "create", "--name", "well", "--mode", "global-job", *JOB, swarm.image,
        "sh", "-c", "exit 0",
    )  # fmt: skip
    assert well.returncode == 0
    assert len(completed(swarm, "well")) == 4

    ill = swarm.manager.ctl(
        "service", "create", "--name", "ill", "--mode", "replicated-job", *JOB,
        "--restart-max-attempts", "1", swarm.image, "sh", "-c", "exit 3",
        check=False,
    )  # fmt: skip
    assert ill.returncode == 1
    assert "service ill can never converge: ill.1 failed after 2 attempts" in ill.stderr


def test_a_cron_job_fires_at_its_minute_across_a_killed_manager_once(swarm: Swarm) -> None:
    """The manager is killed just before the minute, and again just after it has fired.

    Whoever leads then fires what is due, and nobody fires it twice.
    """
    wait_for("the minute is young enough", lambda: time.time() % 60.0 < 40.0, within_s=40)
    swarm.manager.ctl(
        "service", "create", "-d", "--name", "cron", "--mode", "replicated-job", *JOB,
        "--schedule", "* * * * *", swarm.image, "sh", "-c", "exit 0",
    )  # fmt: skip
    minute = (time.time() // 60.0 + 1.0) * 60.0
    wait_for("the schedule counts", lambda: "Next run" in next_run(swarm), within_s=15)
    wait_for("some moments are left", lambda: minute - time.time() < 5.0, within_s=60)
    assert runs(swarm) == []
    wait_for("a moment is left", lambda: minute - time.time() < 1.0, within_s=60)

    kill_manager(swarm)
    wait_for("it fired", lambda: runs(swarm) == ["1"], within_s=20, every_s=0.1)
    print(f"told {time.time() - minute:.2f} s after the minute")
    kill_manager(swarm)
    wait_for(
        "it completed",
        lambda: runs(swarm, "{{.State}} {{.Tasks}}") == ["Complete 1/1"],
        within_s=20,
        every_s=0.1,
    )

    assert completed(swarm, "cron") == ["cron.1"]
    due, started = runs(swarm, "{{.Due}} {{.StartedAt}}")[0].split()
    assert due == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(minute)) + due[19:]
    assert started[:19] >= due[:19]
    swarm.manager.ctl("service", "rm", "cron")


def kill_manager(swarm: Swarm) -> None:
    """Kill the process that leads; swarmd starts another one."""
    swarm.manager.kill("manager.main")


def runs(swarm: Swarm, form: str = "{{.Run}}") -> list[str]:
    """The runs of the cron job, newest first; none while no manager answers."""
    shown = swarm.manager.ctl("service", "runs", "cron", "--format", form, check=False)
    return shown.stdout.splitlines()


def next_run(swarm: Swarm) -> str:
    return swarm.manager.ctl("service", "runs", "cron", check=False).stderr


def test_a_run_by_hand_comes_at_once(swarm: Swarm) -> None:
    swarm.manager.ctl(
        "service", "create", "-d", "--name", "yearly", "--mode", "replicated-job", *JOB,
        "--schedule", "@yearly", swarm.image, "sh", "-c", "exit 0",
    )  # fmt: skip

    assert swarm.manager.ctl("service", "trigger", "yearly").stdout.strip() == "1"

    wait_for("it completed", lambda: completed(swarm, "yearly") == ["yearly.1"], within_s=60)


def test_what_depends_on_another_starts_after_it_and_says_so(swarm: Swarm) -> None:
    swarm.manager.ctl(
        "service", "create", "-d", "-q", "--name", "web", "--depends-on", "db=running", *JOB,
        swarm.image,
    )  # fmt: skip
    wait_for(
        "web waits",
        lambda: [
            each for *_, each in tasks(swarm, "web") if "waits for db to run: there is" in each
        ],
        within_s=30,
    )

    swarm.manager.ctl("service", "create", "-q", "--name", "db", *JOB, swarm.image)
    swarm.wait_running("web", 1, within_s=30)

    circle = swarm.manager.ctl("service", "update", "--depends-on-add", "web", "db", check=False)
    assert circle.returncode == 1
    assert "db -> web -> db would wait for each other for ever" in circle.stderr
