"""Clients that ask all the time, while everything behind what they ask for changes.

They ask by name, by virtual address and by published port, with a connection for each request
and with connections that stay. Everything happens once, and again until CHURN_S are over: `make
churn` takes ten minutes.
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
from msgspec import Struct

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import Host, sh, wait_for

CHURN_S = float(os.environ.get("CHURN_S", "0"))
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(CHURN_S + 300)]

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
        "--health-start-period", "10s", *BORROWED, swarm.image, *SERVE, timeout=120,
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
            within_s=60,
            every_s=0.2,
        )


class Excuse(Struct, frozen=True):
    """From when until when requests may fail, by routes with this in their name."""

    since: float
    until: float
    route: str = ""

    def covers(self, route: str, sent_at: float) -> bool:
        """Whether the request may fail that was sent by a route."""
        is_while = self.since - SENT_BEFORE_S <= sent_at < self.until + KNOWN_WITHIN_S
        return is_while and self.route in route


def test_clients_notice_nothing_of_updates_scaling_kills_and_agents_that_start_anew(
    web: Swarm,
) -> None:
    """Only those notice whose request is at a container that is killed, or at a node cut off."""
    inside, outside = clients(web)
    began = time.monotonic()
    excuses: list[Excuse] = []
    for number, (what, change) in enumerate(itertools.cycle(CHANGES)):
        if time.monotonic() > began + CHURN_S and number >= len(CHANGES):
            break
        print(f"{time.time():.1f} {what}", flush=True)
        excuses += change(web)
        web.wait_running("web", 8, within_s=60)

    took_s = time.monotonic() - began
    found = inside.report() | outside.report()
    wait_for("the kernels hold what runs", lambda: not differences(web), within_s=30, every_s=0.2)

    asked = sum(sum(each["answers"].values()) for each in found.values())
    slowest_s = max(each["slowest_s"] for each in found.values())
    print(f"{asked} answers in {took_s:.0f} s; slowest {slowest_s:.2f} s")
    for name, each in found.items():
        print(
            f"{name}: {sum(each['answers'].values())} answers", *told(each["failures"]), sep="\n  "
        )
    assert asked > 0.7 * RATE * took_s
    unexcused = [
        f"{name}: {at:.2f} {reason}"
        for name, each in found.items()
        for at, reason in each["failures"]
        if not any(excuse.covers(name, at) for excuse in excuses)
    ]
    assert not unexcused, unexcused


def differences(swarm: Swarm) -> list[str]:
    """What the kernels' routes and slots of the network are, where it is not what runs."""
    (network,) = swarm.manager.json("network", "inspect", "front")
    owners = addresses(swarm, "web") | addresses(swarm, "client")
    shared = {slot for host in swarm.lan.hosts for slot in slots(host, network["Id"]).items()}
    found: list[str] = []
    for host in swarm.lan.hosts:
        if not host.containers():
            continue
        here, routes = slots(host, network["Id"]), host_routes(host, network["Id"])
        if routes != owners:
            found.append(f"{host.name}: routes {sorted(routes)}, tasks {sorted(owners)}")
        if set(here.values()) != owners:
            found.append(f"{host.name}: slots of {sorted(set(here.values()))}, tasks {owners}")
        if set(here.items()) != shared:
            found.append(f"{host.name}: slots differ from other nodes'")
    return found


def addresses(swarm: Swarm, service: str) -> set[str]:
    """The IPv4 addresses of a service's tasks in the network."""
    tasks = [each["id"] for each in swarm.running(service)]
    return {
        each["Addresses"][0].split("/")[0]
        for task in swarm.manager.json("task", "inspect", *tasks)
        for each in task["NetworksAttachments"]
        if each["Network"]["Spec"]["Name"] == "front"
    }


def host_routes(host: Host, network_id: str) -> set[str]:
    """Every single address that a node's router has a way to, as iproute2 reads it."""
    router = host.run_root / "netns" / network_id
    if not router.exists():
        return set()
    shown = sh("nsenter", f"--net={router}", "ip", "-j", "-4", "route", "show", "table", "main")
    return {
        each["dst"]
        for each in json.loads(shown.stdout)
        if "/" not in each["dst"] and each["dst"] != "default"
    }


def slots(host: Host, network_id: str) -> dict[tuple[str, int], str]:
    """Who owns the slots of virtual addresses in a node's router, as nft reads it."""
    router = host.run_root / "netns" / network_id
    if not router.exists():
        return {}
    shown = sh("nsenter", f"--net={router}", "nft", "-j", "list", "map", "inet", "swarm", "slots4")
    (found,) = (each["map"] for each in json.loads(shown.stdout)["nftables"] if "map" in each)
    return {tuple(key["concat"]): owner for key, owner in found.get("elem", [])}


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


def update(swarm: Swarm) -> list[Excuse]:
    swarm.manager.ctl("service", "update", "-q", "--force", "web", timeout=120)
    return []


def scale(swarm: Swarm) -> list[Excuse]:
    swarm.manager.ctl("service", "scale", "web=16")
    swarm.manager.ctl("service", "scale", "web=4")
    swarm.manager.ctl("service", "scale", "web=8")
    return []


def kill_a_container(swarm: Swarm) -> list[Excuse]:
    victim = random.choice(swarm.running("web"))
    pid = swarm.container_pids()[victim["id"]]
    killed_at = time.time()
    os.kill(pid, signal.SIGKILL)
    wait_for(
        "it is replaced",
        lambda: victim["id"] not in {each["id"] for each in swarm.running("web")},
        within_s=60,
    )
    return [Excuse(killed_at, time.time())]


def kill_an_agent(swarm: Swarm) -> list[Excuse]:
    host = random.choice(swarm.lan.hosts)
    print(f"  of {host.name}")
    killed = set(host.kill("agent.main"))
    assert killed
    wait_for("another agent", lambda: set(host.pids_of("agent.main")) - killed, within_s=30)
    return []


def cut_a_node_off(swarm: Swarm) -> list[Excuse]:
    """Until it is known to be away nobody can tell; by its own port, until it is back."""
    host = random.choice(swarm.workers)
    print(f"  {host.name}")
    host.cut()
    cut_at = time.time()
    try:
        wait_for("it is missed", lambda: host.name not in swarm.ready(), within_s=60)
        known_at = time.time()
        print(f"  known after {known_at - cut_at:.1f} s")
        swarm.wait_running("web", 8, within_s=60)
    finally:
        host.mend()
    wait_for("it is back", lambda: host.name in swarm.ready(), within_s=60)
    return [Excuse(cut_at, known_at), Excuse(cut_at, time.time(), f"port at {host.name}")]


def drain(swarm: Swarm) -> list[Excuse]:
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
    return []


CHANGES = (
    ("update", update),
    ("scale to 16, 4 and 8", scale),
    ("kill a container", kill_a_container),
    ("kill an agent", kill_an_agent),
    ("drain a node", drain),
    ("cut a node off", cut_a_node_off),
)
