"""What is foretold comes true, and tasks go where there is room, on real hosts."""

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.growing import Growing
from tests.cluster.hosts import Host, Lan, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

# Busy until somebody makes a file, in a directory that all tasks of a host share.
BURN = "trap 'exit 0' TERM; while :; do test -e /calm/now && sleep 60; done"


class Three(Growing):
    """Three hosts, of which the third has not joined yet. The manager takes no tasks."""

    def plan(self, *words: str) -> tuple[int, dict[str, Any]]:
        done = self.manager.ctl("plan", *words, check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def three() -> Iterator[Three]:
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-forecast-")), hosts=3)
    try:
        yield Three(lan, workers=1)
    finally:
        lan.close()


def test_what_was_planned_is_what_is_done(three: Three) -> None:
    words = ("--update-parallelism", "0", "--update-monitor", "0s", "--env-add", "A=1")
    three.create("web", "--replicas", "3", "--stop-grace-period", "2s", three.image)
    try:
        status, planned = three.plan("update", "--format", "json", *words, "--replicas", "4", "web")
        assert status == 1
        assert Counter(each["Action"] for each in planned["Tasks"]) == {"replace": 3, "start": 1}
        assert {each["Node"] for each in planned["Tasks"]} == {"host2"}

        revision = str(planned["Revision"])
        update = ("service", "update", "-q", "--check-revision", revision, *words)
        three.manager.ctl(*update, "--replicas", "4", "web")
        wait_for("four run", lambda: three.running("web") == ["host2"] * 4, within_s=60)
        again, nothing = three.plan("update", "--format", "json", "--replicas", "4", "web")
        assert (again, nothing["Changes"], nothing["Tasks"]) == (0, [], [])

        late = three.manager.ctl(*update, "--replicas", "5", "web", check=False)
        assert late.returncode == 1
        assert f"not {revision}" in late.stderr
    finally:
        three.remove("web")


def test_a_dry_run_leaves_no_trace(three: Three) -> None:
    shown = three.manager.ctl("service", "create", "--dry-run", "--name", "ghost", three.image)

    assert "+ ghost.1  starts on host2\n" in shown.stdout
    assert three.manager.ctl("service", "ls", "-q").stdout == ""


def test_why_names_the_filter_and_the_listing_agrees(three: Three) -> None:
    three.create("huge", "-d", "--replicas", "2", "--reserve-cpu", "1.5", three.image)
    try:
        wait_for("one runs", lambda: three.running("huge") == ["host2"], within_s=30)
        told = three.manager.ctl("why", "huge.2").stdout
        nodes = {line.split()[0]: line for line in told.splitlines() if line.startswith("host")}
        assert "cpu: wants 1.5 of cpu, 0.5 of 2 are free" in nodes["host2"]
        assert "active: has availability pause" in nodes["host1"]
        listed = three.manager.ctl(
            "service", "ps", "--no-trunc", "--format", "{{.Name}}|{{.Error}}", "huge"
        ).stdout
        errors = dict(line.split("|", 1) for line in listed.splitlines())
        assert told.splitlines()[0] == f"huge.2 is pending: {errors['huge.2'].strip(chr(34))}"
    finally:
        three.remove("huge")


def test_a_service_follows_its_use_of_the_cpu(three: Three, tmp_path: Path) -> None:
    """Tasks burn all of the tenth of a core they may have, until they are told to calm down."""
    three.create(
        "burning", "--limit-cpu", "0.1", "--stop-grace-period", "1s",
        "--mount", f"type=bind,source={tmp_path},target=/calm,readonly",
        "--autoscale", "min=1,max=3,cpu=60,down-window=5s", three.image, "sh", "-c", BURN,
    )  # fmt: skip
    try:
        wait_for("it grows", lambda: len(three.running("burning")) >= 2, within_s=90)
        inspected = three.manager.ctl("service", "inspect", "--pretty", "burning").stdout
        assert "cpu at" in inspected

        (tmp_path / "now").touch()
        wait_for("it shrinks", lambda: len(three.running("burning")) == 1, within_s=90)
    finally:
        three.remove("burning")


def test_a_service_follows_what_prometheus_says(three: Three, prometheus: str) -> None:
    three.manager.ctl("update", "--prometheus-url", prometheus)
    three.create("queued", "--autoscale", "min=1,max=9,prometheus=vector(35):10", three.image)
    try:
        wait_for("four run", lambda: len(three.running("queued")) == 4, within_s=60)
    finally:
        three.remove("queued")


def test_a_node_that_joins_gets_its_share_and_replacements_come_first(three: Three) -> None:
    """The last story: the third host joins.

    1. Eight tasks run on the only worker, and are replaced start-first.
    2. A dry run of moving them says so and moves nothing.
    3. They move, and at no moment fewer than eight run.
    """
    three.create(
        "spread", "--replicas", "8", "--update-order", "start-first", "--update-parallelism", "2",
        "--update-monitor", "0s", "--stop-grace-period", "1s", three.image,
    )  # fmt: skip
    wait_for("eight run", lambda: len(three.running("spread")) == 8, within_s=60)
    three.join(three.late)
    three.wait_ready(3)

    looked = three.manager.ctl("rebalance", "--dry-run").stdout
    assert looked.count("host2 -> host3") == 2
    assert "2 moves would follow" in looked
    assert len(three.running("spread")) == 8

    moving = subprocess.Popen(
        [*_swarmctl(three.manager), "rebalance"], stdout=subprocess.PIPE, text=True
    )
    try:
        least = 8
        while moving.poll() is None:
            least = min(least, len(three.running("spread")))
        told, _ = moving.communicate()
    finally:
        moving.kill()
        moving.wait()

    assert told.endswith("4 moves made\n")
    assert least == 8
    assert Counter(three.running("spread")) == {"host2": 4, "host3": 4}
    three.remove("spread")


def _swarmctl(host: Host) -> list[str]:
    from tests.cluster.hosts import BIN

    return [str(BIN / "swarmctl"), "-H", host.url]


@pytest.fixture
def prometheus(three: Three, tmp_path: Path) -> Iterator[str]:
    """A real Prometheus on the manager's host, which scrapes nothing."""
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs: []\n")
    address = f"{three.manager.ip}:9090"
    running = subprocess.Popen(
        [
            "nsenter", f"--net=/run/netns/{three.manager.namespace}", "prometheus",
            f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address={address}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield f"http://{address}"
    finally:
        running.kill()
        running.wait()
