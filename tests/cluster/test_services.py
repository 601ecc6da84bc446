"""What a service may ask for, on four real hosts."""

import json
import subprocess
import time
from collections import Counter
from typing import Any

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import BIN, CONTROLLERS, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]


def create(swarm: Swarm, *flags: str) -> None:
    swarm.manager.ctl("service", "create", "-q", "--restart-delay", "0s", *flags)


def remove(swarm: Swarm, name: str) -> None:
    swarm.manager.ctl("service", "rm", name)
    wait_for("its tasks are gone", lambda: not swarm.running(name), within_s=60)


def logs(swarm: Swarm, name: str) -> str:
    return swarm.manager.ctl("service", "logs", "--raw", name).stdout


def tasks(swarm: Swarm, name: str) -> list[dict[str, Any]]:
    lines = swarm.manager.ctl("service", "ps", name, "--no-trunc", "--format", "{{json .}}").stdout
    return [json.loads(line) for line in lines.splitlines()]


def test_a_global_service_runs_once_on_every_node(swarm: Swarm) -> None:
    create(swarm, "--name", "everywhere", "--mode", "global", swarm.image)
    try:
        swarm.wait_running("everywhere", 4, within_s=30)

        assert len({task["node"] for task in swarm.running("everywhere")}) == 4
    finally:
        remove(swarm, "everywhere")


def test_constraints_choose_the_nodes(swarm: Swarm) -> None:
    swarm.manager.ctl("node", "update", "--label-add", "disk=fast", "host3")
    create(
        swarm, "--name", "picky", "--replicas", "3", "--constraint", "node.labels.disk==fast",
        "--constraint", "node.role==worker", swarm.image,
    )  # fmt: skip
    try:
        assert {task["node"] for task in swarm.running("picky")} == {"host3"}
    finally:
        remove(swarm, "picky")


def test_a_task_that_fits_nowhere_says_why(swarm: Swarm) -> None:
    create(
        swarm, "-d", "--name", "nowhere", "--constraint", "node.labels.disk==none", swarm.image
    )  # fmt: skip
    try:
        found = wait_for(
            "pending",
            lambda: [
                task
                for task in tasks(swarm, "nowhere")
                if task["CurrentState"].startswith("Pending") and task["Error"]
            ],
            within_s=30,
        )

        assert "no suitable node" in found[0]["Error"]
        assert "node.labels.disk" in found[0]["Error"]
    finally:
        remove(swarm, "nowhere")


def test_a_drained_node_gives_its_tasks_away_and_takes_none(swarm: Swarm) -> None:
    create(swarm, "--name", "movable", "--replicas", "8", swarm.image)
    try:
        swarm.manager.ctl("node", "update", "--availability", "drain", "host2")
        wait_for(
            "moved",
            lambda: (
                Counter(task["node"] for task in swarm.running("movable")).total() == 8
                and "host2" not in {task["node"] for task in swarm.running("movable")}
            ),
            within_s=60,
        )
    finally:
        swarm.manager.ctl("node", "update", "--availability", "active", "host2")
        remove(swarm, "movable")


def test_the_container_is_as_its_service_says(swarm: Swarm) -> None:
    env_file = swarm.lan.base / "env"
    env_file.write_text("# a comment\nFROM_FILE=yes\n")
    script = (
        "id -u; id -g; pwd; hostname; echo $FROM_FILE $FROM_FLAG; cat /proc/self/cgroup; sleep 1000"
    )
    create(
        swarm, "--name", "shape", "--user", "1000:1001", "--workdir", "/tmp", "--hostname", "me",
        "--env-file", str(env_file), "--env", "FROM_FLAG=too", "--limit-memory", "32m",
        "--limit-cpu", "0.5", "--limit-pids", "20", "--network", "none",
        swarm.image, "sh", "-c", script,
    )  # fmt: skip
    try:
        words = wait_for(
            "its words",
            lambda: len(found := logs(swarm, "shape").splitlines()) >= 5 and found,
            within_s=30,
        )

        assert words[:5] == ["1000", "1001", "/tmp", "me", "yes too"]
        [task] = swarm.running("shape")
        group = f"{swarm.host(task['node']).cgroup_parent}/{task['id']}"
        limits = {
            name: {each.read_text().strip() for each in CONTROLLERS.glob(f"*/{group}/{name}")}
            for name in ("memory.limit_in_bytes", "pids.max", "cpu.cfs_quota_us")
        }
        assert limits == {
            "memory.limit_in_bytes": {str(32 << 20)},
            "pids.max": {"20"},
            "cpu.cfs_quota_us": {"50000"},
        }
    finally:
        remove(swarm, "shape")


def test_a_container_that_wants_too_much_memory_is_killed_and_that_is_told(swarm: Swarm) -> None:
    create(
        swarm, "-d", "--name", "greedy", "--limit-memory", "16m", "--restart-condition", "none",
        swarm.image, "sh", "-c", "dd if=/dev/zero of=/dev/null bs=64M",
    )  # fmt: skip
    try:
        found = wait_for(
            "failed",
            lambda: [task for task in tasks(swarm, "greedy") if "Failed" in task["CurrentState"]],
            within_s=30,
        )

        assert "memory" in found[0]["Error"].lower()
    finally:
        remove(swarm, "greedy")


def test_a_volume_survives_its_tasks(swarm: Swarm) -> None:
    mount = "type=volume,source=keep,target=/keep"
    where = "node.hostname==host4"
    create(
        swarm, "--name", "writer", "--mount", mount, "--constraint", where,
        swarm.image, "sh", "-c", "echo precious > /keep/file; echo written; sleep 1000",
    )  # fmt: skip
    wait_for("it has written", lambda: logs(swarm, "writer"), within_s=30)
    remove(swarm, "writer")
    create(
        swarm, "--name", "reader", "--mount", mount + ",readonly", "--constraint", where,
        "--mount", "type=tmpfs,target=/scratch,tmpfs-size=1m",
        swarm.image, "sh", "-c", "cat /keep/file; touch /keep/x || echo refused; sleep 1000",
    )  # fmt: skip
    try:
        text = wait_for(
            "both lines", lambda: "refused" in (t := logs(swarm, "reader")) and t, within_s=30
        )

        assert "precious" in text
    finally:
        remove(swarm, "reader")


def test_attempts_are_bounded(swarm: Swarm) -> None:
    create(
        swarm, "-d", "--name", "failing", "--restart-condition", "on-failure",
        "--restart-max-attempts", "2", swarm.image, "sh", "-c", "exit 7",
    )  # fmt: skip
    try:
        wait_for(
            "three attempts",
            lambda: sum("7" in task["Error"] for task in tasks(swarm, "failing")) == 3,
            within_s=30,
        )
        time.sleep(1)  # a fourth would come now

        assert len(tasks(swarm, "failing")) == 3
    finally:
        remove(swarm, "failing")


def test_an_update_replaces_tasks_a_few_at_a_time(swarm: Swarm) -> None:
    create(swarm, "--name", "rolling", "--replicas", "8", "--update-parallelism", "2", swarm.image)
    before = {task["id"] for task in swarm.running("rolling")}
    try:
        updater = subprocess.Popen(
            [str(BIN / "swarmctl"), "-H", swarm.manager.url, "service", "update", "-q",
             "--env-add", "COLOR=blue", "rolling"], stdout=subprocess.DEVNULL,
        )  # fmt: skip
        least = 8
        while updater.poll() is None:
            least = min(least, len(swarm.running("rolling")))
        assert updater.wait() == 0

        after = swarm.running("rolling")
        assert len(after) == 8
        assert not before & {task["id"] for task in after}
        assert least >= 8 - 2
    finally:
        remove(swarm, "rolling")


def test_events_tell_what_happened(swarm: Swarm) -> None:
    start = time.time()
    create(swarm, "--name", "short", swarm.image)
    remove(swarm, "short")

    with subprocess.Popen(
        [str(BIN / "swarmctl"), "-H", swarm.manager.url, "events", "--since", str(int(start)),
         "--format", "{{json .}}"], stdout=subprocess.PIPE, text=True,
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        seen: list[str] = []
        for line in follower.stdout:
            event = json.loads(line)
            if not event["Actor"]["Attributes"]["name"].startswith("short"):
                continue
            seen.append(f"{event['Type']} {event['Action']}")
            if "service remove" in seen:
                break
        follower.terminate()

    assert "service create" in seen
    assert "task running" in seen


def test_logs_are_followed_from_every_node_and_end_with_the_caller(swarm: Swarm) -> None:
    create(
        swarm, "--name", "talking", "--replicas", "4", swarm.image,
        "sh", "-c", "while :; do echo here; sleep 0.1; done",
    )  # fmt: skip
    try:
        with subprocess.Popen(
            [str(BIN / "swarmctl"), "-H", swarm.manager.url, "service", "logs", "-f", "talking"],
            stdout=subprocess.PIPE, text=True,
        ) as follower:  # fmt: skip
            assert follower.stdout is not None
            hosts: set[str] = set()
            for line in follower.stdout:
                hosts.add(line.partition("@")[2].split()[0])
                if len(hosts) == 4:
                    break
            follower.terminate()
            assert follower.wait(60) != 0
    finally:
        remove(swarm, "talking")
