"""Roll out, roll back and drain on four real hosts, while somebody counts what runs."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarmctl.io.session import Session
from tests.cluster.conftest import Swarm
from tests.cluster.hosts import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

RUNNING = objects_pb2.TASK_STATE_RUNNING
CRASH = "sh -c 'exit 3'"
UPDATES = int(os.environ.get("UPDATES", "10"))


class Count:
    """How many tasks of a service were wanted and ran at each look; 0 are no looks."""

    def __init__(self) -> None:
        self.least = 1 << 30
        self.looks = 0

    def look(self, session: Session, service: str) -> None:
        views = session.control.tasks(control_pb2.ListTasksRequest(services=[service]))
        running = sum(
            view.task.desired <= RUNNING and view.observation.state == RUNNING for view in views
        )
        self.least = min(self.least, running)
        self.looks += 1


@contextmanager
def counting(swarm: Swarm, service: str) -> Iterator[Count]:
    """Count again and again, beside what the test does."""
    count, over = Count(), Event()
    failures: list[Exception] = []

    def run() -> None:
        session = Session(swarm.manager.url)
        try:
            while not over.is_set():
                count.look(session, service)
                over.wait(0.01)
        except Exception as err:
            failures.append(err)
        finally:
            session.close()

    thread = Thread(target=run)
    thread.start()
    try:
        yield count
    finally:
        over.set()
        thread.join(60)
    assert not failures
    assert count.looks > 10


@contextmanager
def service(swarm: Swarm, name: str, replicas: int, *flags: str) -> Iterator[None]:
    """A service of this name, as long as it is needed."""
    swarm.manager.ctl(
        "service", "create", "-q", "--name", name, "--replicas", str(replicas),
        "--network", "host", "--restart-delay", "0s", *flags, swarm.image,
    )  # fmt: skip
    try:
        yield
    finally:
        swarm.manager.ctl("service", "rm", name)
        wait_for("containers gone", lambda: not swarm.container_pids(), within_s=60)


def test_twenty_are_updated_five_at_a_time(swarm: Swarm) -> None:
    flags = ("--update-parallelism", "5", "--update-monitor", "100ms")
    with service(swarm, "web", 20, *flags), counting(swarm, "web") as count:
        before = {task["id"] for task in swarm.running("web")}
        start = time.monotonic()
        swarm.manager.ctl("service", "update", "-q", "--force", "web")
        print(f"20 tasks updated in {time.monotonic() - start:.2f} s")

        after = {task["id"] for task in swarm.running("web")}
    assert len(after) == 20
    assert not before & after
    assert count.least >= 15


def test_an_image_that_crashes_is_taken_back_and_the_floor_holds(swarm: Swarm) -> None:
    """The rollback is automatic, and the update says that it did not come to be."""
    flags = ("--update-parallelism", "5", "--update-monitor", "20s",
             "--update-failure-action", "rollback", "--rollback-parallelism", "5",
             "--rollback-monitor", "1s")  # fmt: skip
    with service(swarm, "web", 20, *flags), counting(swarm, "web") as count:
        before = {task["id"] for task in swarm.running("web")}
        start = time.monotonic()
        done = swarm.manager.ctl("service", "update", "-q", "--args", CRASH, "web", check=False)
        print(f"rolled back in {time.monotonic() - start:.2f} s")

        after = {task["id"] for task in swarm.running("web")}
        history = swarm.manager.ctl("service", "history", "web").stdout
    assert done.returncode == 1
    assert "rolled back: task " in done.stderr
    assert "non-zero exit (3)" in done.stderr
    assert len(after) == 20
    assert len(before & after) == 15  # those that were not updated are the same as before
    assert count.least >= 15
    assert "automatic rollback" in history


def test_a_paused_rollout_is_rolled_back_by_hand(swarm: Swarm) -> None:
    flags = ("--update-monitor", "20s", "--rollback-monitor", "1s")
    with service(swarm, "web", 4, *flags), counting(swarm, "web") as count:
        done = swarm.manager.ctl("service", "update", "-q", "--args", CRASH, "web", check=False)
        swarm.manager.ctl("service", "rollback", "-q", "web")

        swarm.wait_running("web", 4, within_s=30)
    assert done.returncode == 1
    assert "update paused: task " in done.stderr
    assert count.least >= 3


def test_a_canary_waits_for_its_promotion(swarm: Swarm) -> None:
    flags = ("--update-parallelism", "0", "--update-monitor", "100ms", "--update-canary", "1")
    with service(swarm, "web", 4, *flags), counting(swarm, "web") as count:
        told = swarm.manager.ctl("service", "update", "--force", "web").stdout
        alone = count.least
        swarm.manager.ctl("service", "promote", "-q", "web")

        swarm.wait_running("web", 4, within_s=30)
        status = swarm.manager.ctl("service", "inspect", "--pretty", "web").stdout
    assert "1 of 4 replicas are canaries" in told
    assert alone >= 3
    assert "completed" in status


@pytest.mark.timeout(120 + 20 * UPDATES)
def test_updates_behind_start_first_and_health_checks_leave_no_gap(swarm: Swarm) -> None:
    flags = ("--update-order", "start-first", "--update-parallelism", "2",
             "--update-monitor", "100ms", "--health-cmd", "true",
             "--health-interval", "100ms")  # fmt: skip
    with service(swarm, "web", 4, *flags), counting(swarm, "web") as count:
        start = time.monotonic()
        for _ in range(UPDATES):
            swarm.manager.ctl("service", "update", "-q", "--force", "web")
        print(f"{UPDATES} updates of 4 tasks in {time.monotonic() - start:.2f} s")
    assert count.least >= 4


def test_a_drained_node_gives_its_tasks_away_one_for_one(swarm: Swarm) -> None:
    with service(swarm, "web", 100, "--update-order", "start-first"):
        host = swarm.workers[0]
        assert len(host.containers()) == 25
        try:
            with counting(swarm, "web") as count:
                start = time.monotonic()
                swarm.manager.ctl("node", "update", "--availability", "drain", host.name)
                wait_for("an empty node", lambda: not host.containers(), within_s=60)
                print(f"25 tasks moved in {time.monotonic() - start:.2f} s")
        finally:
            swarm.manager.ctl("node", "update", "--availability", "active", host.name)
        swarm.wait_running("web", 100, within_s=30)
    assert count.least >= 100
