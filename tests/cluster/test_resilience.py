"""Kill the parts of a four-host swarm one by one; containers must not notice."""

import os
import signal
import time
from collections import Counter

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import Host, wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

PARTS = {
    "agent": ("agent.main",),
    "manager": ("manager.main",),
    "launcher": ("runtime.io.launcher",),
    "etcd": ("etcd --",),
    "swarmd": ("bin/swarmd", "swarmd.main"),
}


@pytest.fixture(scope="module")
def web(swarm: Swarm) -> Swarm:
    swarm.manager.ctl(
        "service", "create", "-q", "--name", "web", "--replicas", "100", "--network", "host",
        "--restart-delay", "0s", swarm.image, timeout=240,
    )  # fmt: skip
    return swarm


def test_a_hundred_replicas_spread_evenly_over_four_hosts(web: Swarm) -> None:
    nodes = Counter(task["node"] for task in web.running("web"))

    assert nodes == {f"host{number}": 25 for number in (1, 2, 3, 4)}


def test_a_killed_container_is_replaced(web: Swarm) -> None:
    before = web.container_pids()
    task, pid = min(before.items())

    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    wait_for(
        "another container",
        lambda: len(now := web.container_pids()) == len(before) and task not in now,
        within_s=30,
        every_s=0.01,
    )

    print(f"replaced after {time.monotonic() - start:.2f} s")
    web.wait_running("web", 100, within_s=30)


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("where", ["host1", "host2"])
def test_a_killed_part_comes_back_and_no_container_restarts(
    web: Swarm, part: str, where: str
) -> None:
    host = web.host(where)
    if part in ("manager", "etcd") and host is not web.manager:
        pytest.skip("a worker runs none")
    before = web.container_pids()

    victims = host.kill(*PARTS[part])
    assert victims
    start = time.monotonic()
    wait_for("a new process", lambda: _is_back(host, part, victims), within_s=30)
    wait_for("swarmd serves", lambda: host.ctl("status", check=False).returncode == 0, within_s=30)
    print(f"{part} on {where} is back after {time.monotonic() - start:.2f} s")
    _scale(web, 101)

    kept = web.container_pids()
    assert {task: pid for task, pid in kept.items() if task in before} == before
    _scale(web, 100)


def _is_back(host: Host, part: str, victims: list[int]) -> bool:
    return bool(set(host.pids_of(*PARTS[part])) - set(victims))


def _scale(swarm: Swarm, replicas: int) -> None:
    swarm.manager.ctl("service", "scale", f"web={replicas}")
    swarm.wait_running("web", replicas, within_s=30)
    wait_for("no more containers", lambda: len(swarm.container_pids()) == replicas, within_s=30)


def test_a_host_cut_off_is_replaced_and_its_doubles_are_stopped_when_it_returns(
    web: Swarm,
) -> None:
    """One host loses its link and gets it back.

    1. The host is cut off: its containers go on, but nobody hears of them.
    2. Within six seconds all hundred tasks run on the other three.
    3. The link is back: the containers that were replaced are stopped within three seconds.
    """
    host = web.workers[1]
    doubles = host.containers()
    assert doubles

    host.cut()
    start = time.monotonic()
    wait_for(
        "the others run all",
        lambda: len(web.container_pids()) - len(host.containers()) >= 100,
        within_s=60,
    )
    print(f"replaced after {time.monotonic() - start:.2f} s")
    web.wait_running("web", 100, within_s=30)
    assert host.containers() == doubles

    host.mend()
    start = time.monotonic()
    wait_for("doubles stopped", lambda: not set(host.containers()) & set(doubles), within_s=30)
    print(f"doubles stopped after {time.monotonic() - start:.2f} s")
    wait_for("ready again", lambda: host.name in web.ready(), within_s=30)


def test_a_host_killed_with_its_containers_is_replaced(web: Swarm) -> None:
    host = web.workers[2]

    host.kill_everything()
    start = time.monotonic()
    wait_for(
        "the others run all",
        lambda: sum(len(each.containers()) for each in web.lan.hosts if each is not host) >= 100,
        within_s=60,
    )
    print(f"replaced after {time.monotonic() - start:.2f} s")

    web.wait_running("web", 100, within_s=30)
    host.start()
    wait_for("ready again", lambda: host.name in web.ready(), within_s=60)


def test_a_host_that_leaves_is_replaced_before_it_could_be_missed(web: Swarm) -> None:
    """Three silent heartbeats would take three seconds; a goodbye takes none of them."""
    host = web.workers[0]
    assert host.containers()

    host.ctl("leave")
    start = time.monotonic()
    assert host.name not in web.ready()
    web.wait_running("web", 100, within_s=30)
    print(f"replaced after {time.monotonic() - start:.2f} s")

    assert not host.containers()
    assert host.name not in {task["node"] for task in web.running("web")}
