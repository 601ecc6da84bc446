"""Clients that ask all the time, while everything behind what they ask for changes.

They ask by name, by virtual address and by published port, with a connection for each request
and with connections that stay. CHURN_S makes it longer than the minute that it takes by default.
"""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import Host, wait_for

CHURN_S = float(os.environ.get("CHURN_S", "45"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(CHURN_S + 180)]

PROGRAMS = Path(__file__).parent / "programs"
RATE = 200
PUBLISHED = 8080
# A busybox image has no Python: the containers borrow the host's.
BORROWED = [
    word
    for path in ("/usr", "/lib", "/lib64", str(PROGRAMS))
    for word in ("--mount", f"type=bind,source={path},target={path},readonly")
]
PYTHON = "/usr/bin/python3"
SERVE = (PYTHON, f"{PROGRAMS}/http_server.py", "80")
HEALTH = "wget -q -O /dev/null http://127.0.0.1/healthy"


class Client:
    """Requests from within a network namespace, until its report is asked for."""

    def __init__(self, namespace: str, *routes: str, rate: float) -> None:
        self._process = subprocess.Popen(
            ["nsenter", f"--net={namespace}", sys.executable, f"{PROGRAMS}/http_client.py",
             str(rate), *routes],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "asking\n"

    def report(self) -> dict[str, Any]:
        """What became of the requests, by route."""
        out, _ = self._process.communicate("\n", timeout=30)
        assert self._process.returncode == 0
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def web(swarm: Swarm) -> Iterator[Swarm]:
    """A service that is asked, and one in whose container the asking is done."""
    ctl = swarm.manager.ctl
    ctl("network", "create", "front")
    ctl(
        "service", "create", "-q", "--name", "web", "--network", "front", "--replicas", "8",
        "-p", f"{PUBLISHED}:80", "--update-order", "start-first", "--update-parallelism", "2",
        "--update-monitor", "1s", "--restart-delay", "0s", "--stop-grace-period", "10s",
        "--health-cmd", HEALTH, "--health-interval", "2s", "--health-start-interval", "0.2s",
        "--health-start-period", "10s", *BORROWED, swarm.image, *SERVE, timeout=60,
    )  # fmt: skip
    ctl(
        "service", "create", "-q", "--name", "client", "--network", "front",
        "--constraint", f"node.hostname == {swarm.manager.name}", swarm.image,
    )  # fmt: skip
    try:
        yield swarm
    finally:
        ctl("service", "rm", "web", "client", check=False)
        wait_for(
            "the network is free",
            lambda: ctl("network", "rm", "front", check=False).returncode == 0,
            within_s=20,
            every_s=0.2,
        )


def test_clients_notice_nothing_of_updates_scaling_kills_and_agents_that_start_anew(
    web: Swarm,
) -> None:
    inside, outside = clients(web)
    deadline = time.monotonic() + CHURN_S
    killed: list[float] = []
    for number, (what, change) in enumerate(itertools.cycle(CHANGES)):
        if time.monotonic() > deadline and number >= len(CHANGES):
            break
        print(f"{time.time():.1f} {what}", flush=True)
        if (at := change(web)) is not None:
            killed.append(at)
        web.wait_running("web", 8, within_s=60)

    found = inside.report() | outside.report()

    asked = sum(sum(each["answers"].values()) for each in found.values())
    print(f"{asked} answers; slowest {max(each['slowest_s'] for each in found.values()):.2f} s")
    for name, each in found.items():
        print(
            f"{name}: {sum(each['answers'].values())} answers", *told(each["failures"]), sep="\n  "
        )
    assert asked > 0.7 * RATE * CHURN_S
    assert not [
        (name, failure, killed)
        for name, each in found.items()
        for failure in each["failures"]
        if not any(-SENT_BEFORE_S <= failure[0] - at < KNOWN_WITHIN_S for at in killed)
    ]


def told(failures: list[tuple[float, str]]) -> Iterator[str]:
    """How often each thing went wrong, and when first and last."""
    by_reason: dict[str, list[float]] = {}
    for at, reason in failures:
        by_reason.setdefault(reason, []).append(at)
    for reason, times in by_reason.items():
        yield f"{len(times)} x, {min(times):.1f} to {max(times):.1f}: {reason}"


SENT_BEFORE_S = 0.5  # a request may be under way at a container that is killed
KNOWN_WITHIN_S = 1.0


def clients(swarm: Swarm) -> tuple[Client, Client]:
    """One in a container, one on a host of its own that is not in the swarm."""
    (task,) = swarm.running("client")
    pid = swarm.container_pids()[task["id"]]
    virtual = virtual_address(swarm.manager, "web", "front")
    inside = Client(
        f"/proc/{pid}/ns/net",
        "name, fresh=fresh:web:80", "name, kept=kept:web:80",
        f"VIP, fresh=fresh:{virtual}:80", f"VIP, kept=kept:{virtual}:80",
        "tasks, fresh=fresh:tasks.web:80",
        rate=RATE / 2,
    )  # fmt: skip
    routes = [
        f"port at {host.name}, {kind}={kind}:{host.ip}:{PUBLISHED}"
        for host in swarm.lan.hosts
        for kind in ("fresh", "kept")
    ]
    outside = Client(f"/run/netns/{swarm.lan.prefix}reg", *routes, rate=RATE / 2)
    return inside, outside


def virtual_address(host: Host, service: str, network: str) -> str:
    """The service's IPv4 address in a network."""
    (found,) = host.json("service", "inspect", service)
    (wanted,) = host.json("network", "inspect", network)
    return str(
        next(
            each["Addr"].split("/")[0]
            for each in found["Endpoint"]["VirtualIPs"]
            if each["NetworkID"] == wanted["Id"]
        )
    )


def update(swarm: Swarm) -> None:
    swarm.manager.ctl("service", "update", "-q", "--force", "web", timeout=120)


def scale(swarm: Swarm) -> None:
    swarm.manager.ctl("service", "scale", "web=16", timeout=60)
    swarm.manager.ctl("service", "scale", "web=4", timeout=60)
    swarm.manager.ctl("service", "scale", "web=8", timeout=60)


def kill_a_container(swarm: Swarm) -> float:
    """When it was killed."""
    victim = random.choice(swarm.running("web"))
    pid = swarm.container_pids()[victim["id"]]
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    wait_for(
        "it is replaced",
        lambda: victim["id"] not in {each["id"] for each in swarm.running("web")},
        within_s=20,
    )
    return killed_at


def kill_an_agent(swarm: Swarm) -> None:
    host = random.choice(swarm.lan.hosts)
    print(f"  of {host.name}")
    (pid,) = host.pids_of("agent.main")
    os.kill(pid, signal.SIGKILL)
    wait_for("another agent", lambda: host.pids_of("agent.main") not in ([], [pid]), within_s=10)


def drain(swarm: Swarm) -> None:
    host = random.choice(swarm.workers)
    print(f"  {host.name}")
    swarm.manager.ctl("node", "update", "--availability", "drain", host.name)
    wait_for(
        "it is empty",
        lambda: host.name not in {each["node"] for each in swarm.running("web")},
        within_s=60,
        every_s=0.2,
    )
    swarm.manager.ctl("node", "update", "--availability", "active", host.name)


CHANGES = (
    ("update", update),
    ("scale to 16, 4 and 8", scale),
    ("kill a container", kill_a_container),
    ("kill an agent", kill_an_agent),
    ("drain a node", drain),
)
