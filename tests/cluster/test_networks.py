"""Forty tasks on an overlay of four hosts: all reach all, whatever is killed meanwhile."""

import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.network.io import namespaces
from tests.callers import SERVE, calling, page, resolve, source
from tests.cluster.conftest import Swarm
from tests.cluster.hosts import Host, sh, wait_for
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

TASKS, LATE = 40, 3
PORT = 8080
SHORT_ID = 12


class Web(NamedTuple):
    """A service with a published port in a dual-stack overlay, and its image."""

    swarm: Swarm
    image: str

    @property
    def stranger(self) -> Path:
        """The network of a host that is no node."""
        return Path("/run/netns") / f"{self.swarm.lan.prefix}reg"

    def addresses(self, service: str = "web") -> dict[str, tuple[str, ...]]:
        """What `task inspect` says of each running task in the network."""
        tasks = [each["id"] for each in self.swarm.running(service)]
        found = self.swarm.manager.json("task", "inspect", *tasks)
        return {each["ID"]: _own(each) for each in found}

    def virtual(self) -> tuple[str, ...]:
        """The service's own addresses in the network."""
        [found] = self.swarm.manager.json("service", "inspect", "web")
        [network] = self.swarm.manager.json("network", "inspect", "lan")
        return tuple(
            each["Addr"].partition("/")[0]
            for each in found["Endpoint"]["VirtualIPs"]
            if each["NetworkID"] == network["Id"]
        )


def _own(task: dict) -> tuple[str, ...]:
    return tuple(
        address.partition("/")[0]
        for each in task["NetworksAttachments"]
        if each["Network"]["Spec"]["Name"] == "lan"
        for address in each["Addresses"]
    )


@pytest.fixture(scope="module")
def web(swarm: Swarm) -> Iterator[Web]:
    archive = docker_archive(swarm.lan.base / "web.tar", f"{swarm.lan.registry}/web:1", cmd=SERVE)
    image = swarm.lan.push(archive, "web:1")
    swarm.manager.ctl("network", "rm", "ingress", stdin=b"y\n")
    swarm.manager.ctl("network", "create", "--ingress", "--ipv6", "ingress")
    swarm.manager.ctl(
        "network", "create", "--ipv6", "--subnet", "10.77.0.0/16", "--subnet", "fd77::/64", "lan"
    )
    swarm.manager.ctl(
        "service", "create", "-q", "--name", "web", "--replicas", str(TASKS), "--network", "lan",
        "--publish", f"{PORT}:80", "--restart-delay", "0s", "--update-order", "start-first",
        "--health-cmd", "wget -qO /dev/null http://127.0.0.1/", "--health-interval", "30s",
        "--health-start-period", "30s", "--health-start-interval", "500ms",
        image, timeout=120,
    )  # fmt: skip
    swarm.wait_running("web", TASKS, within_s=60)
    found = Web(swarm, image)
    for pid in swarm.container_pids().values():
        wait_for("it serves", lambda pid=pid: _answers(pid, "127.0.0.1"), within_s=30)
    for address in (each for host in swarm.lan.hosts for each in (host.ip, host.ip6)):
        wait_for(f"{address} serves", partial(_answers, found.stranger, address, PORT), within_s=30)
    yield found
    swarm.manager.ctl("service", "rm", "web")
    wait_for("all gone", lambda: not swarm.container_pids(), within_s=60)
    wait_for(
        "the network is removed",
        lambda: swarm.manager.ctl("network", "rm", "lan", check=False).returncode == 0,
        within_s=60,
    )
    for host in swarm.lan.hosts:
        wait_for(f"{host.name} is clean", lambda host=host: not _left_behind(host), within_s=30)


def _answers(place: int | Path, address: str, port: int = 80) -> str:
    try:
        return page(place, address, port).strip()
    except OSError:
        return ""


def _reaches(place: int, address: str, task: str) -> bool:
    """Whether that task answers, soon: every node hears of it by itself."""
    with suppress(AssertionError):
        wait_for(
            f"{address} answers",
            lambda: _answers(place, address) == task[:SHORT_ID],
            within_s=10,
            every_s=0.2,
        )
    return _answers(place, address) == task[:SHORT_ID]


def _resolves(place: int, name: str, *, ipv6: bool, to: set[str]) -> bool:
    with suppress(OSError):
        return resolve(place, name, ipv6=ipv6) == to
    return False


def _left_behind(host: Host) -> list[str]:
    """Links to routers of networks that tasks need; the mesh's own stays."""
    kept = sh("ip", "-n", host.namespace, "-o", "link").stdout.splitlines()
    routers = namespaces.names(host.run_root / "netns")
    return [*(line for line in kept if "sw-" in line)][len(routers) :]


def test_every_task_reaches_every_other_by_address(web: Web) -> None:
    addresses, pids = web.addresses(), web.swarm.container_pids()
    assert {len(each) for each in addresses.values()} == {2}
    assert len(addresses) == TASKS

    def reached(asker: str) -> list[str]:
        return [
            f"{asker} asked {address} of {other}"
            for other, own in addresses.items()
            for address in own
            if not _reaches(pids[asker], address, other)
        ]

    with ThreadPoolExecutor(4) as threads:
        wrong = [each for found in threads.map(reached, addresses) for each in found]
    assert wrong == []


def test_every_task_finds_the_others_by_name(web: Web) -> None:
    addresses, pids = web.addresses(), web.swarm.container_pids()
    own = {ipv6: {each[ipv6] for each in addresses.values()} for ipv6 in (False, True)}
    virtual = web.virtual()

    for asker in addresses:
        for ipv6 in (False, True):
            for name, to in (("web", {virtual[ipv6]}), ("tasks.web", own[ipv6])):
                wait_for(
                    f"{asker} finds {name} at {to}",
                    partial(_resolves, pids[asker], name, ipv6=ipv6, to=to),
                    within_s=30,
                    every_s=0.2,
                )


def test_every_task_reaches_all_by_the_virtual_address(web: Web) -> None:
    addresses, pids = web.addresses(), web.swarm.container_pids()
    everybody = {each[:SHORT_ID] for each in addresses}

    for virtual in web.virtual():
        found = Counter[str]()
        for asker in addresses:
            found.update(_answers(pids[asker], virtual) for _ in range(20))

        assert found.keys() == everybody, found


def test_a_published_port_answers_on_every_node_with_the_true_source(web: Web) -> None:
    """Somebody who is no node asks each of them, by both families."""

    for host in web.swarm.lan.hosts:
        for address, own in ((host.ip, "198.18.0.5"), (host.ip6, "fd53:18::5")):
            seen = Counter(source(web.stranger, address, PORT) for _ in range(40))
            assert seen == {own: 40}, (host.name, address)
            names = {page(web.stranger, address, PORT).strip() for _ in range(200)}
            assert len(names) > TASKS / 2


def test_a_node_reaches_its_own_published_port(web: Web) -> None:
    host = web.swarm.workers[0]

    found = {
        address: _answers(host.network, address, PORT)
        for address in (host.ip, host.ip6, "127.0.0.1", "::1")
    }
    assert all(found.values()), found


def test_a_task_reaches_the_published_port_of_every_node(web: Web) -> None:
    pid = next(iter(web.swarm.workers[0].containers().values()))

    for host in web.swarm.lan.hosts:
        assert page(pid, host.ip, PORT).strip()


def test_what_is_not_published_is_not_reached_from_outside(web: Web) -> None:
    """Somebody with a route to the network's addresses by a node has no way in."""
    address = next(iter(web.addresses().values()))[0]
    sh(
        "ip",
        "-n",
        web.stranger.name,
        "route",
        "add",
        "10.77.0.0/16",
        "via",
        web.swarm.workers[0].ip,
    )
    try:
        assert _answers(web.stranger, address) == ""
    finally:
        sh("ip", "-n", web.stranger.name, "route", "del", "10.77.0.0/16")


def test_an_agent_that_is_killed_amid_traffic_is_not_noticed(web: Web) -> None:
    """kill -9 of the agents of two nodes, a backend's and a caller's."""
    addresses, pids = web.addresses(), web.swarm.container_pids()
    caller = next(iter(web.swarm.workers[0].containers().values()))
    hosts = web.swarm.workers[:2]
    starts = {host.name: _starts(host) for host in hosts}

    with (
        calling(caller, web.virtual()[0]) as inside,
        calling(web.stranger, hosts[1].ip, PORT) as outside,
    ):
        wait_for(
            "calls", lambda: min(map(len, (inside.answers, outside.answers))) > 50, within_s=30
        )
        for host in hosts:
            host.kill("agent.main")
        for host in hosts:
            wait_for("it is back", lambda h=host: _starts(h) > starts[h.name], within_s=30)
        ready = len(web.swarm.lan.hosts)
        wait_for("it is heard", lambda: len(web.swarm.ready()) == ready, within_s=60, every_s=0.5)
        goals = len(inside.answers) + 100, len(outside.answers) + 100
        wait_for(
            "calls go on",
            lambda: len(inside.answers) > goals[0] and len(outside.answers) > goals[1],
            within_s=60,
        )

    assert (inside.failures, outside.failures) == ([], [])
    assert web.swarm.container_pids() == pids
    assert web.addresses() == addresses


def _starts(host: Host) -> int:
    return host.log.read_text(errors="replace").count("agent.started")


def test_after_a_reboot_the_host_is_in_the_network_again(web: Web) -> None:
    """A power cut: processes, namespaces, links and tables are gone."""
    host = web.swarm.workers[2]
    host.kill_everything()
    host.wipe()
    web.swarm.wait_running("web", TASKS, within_s=60)

    host.start()
    wait_for("the node is ready", lambda: host.name in web.swarm.ready(), within_s=60, every_s=0.5)
    web.swarm.manager.ctl(
        "service", "create", "-q", "--name", "late", "--replicas", str(LATE), "--network", "lan",
        "--constraint", f"node.hostname=={host.name}", web.image,
    )  # fmt: skip
    web.swarm.wait_running("late", LATE, within_s=60)

    late = {each["id"]: host.containers()[each["id"]] for each in web.swarm.running("late")}
    caller = next(iter(web.swarm.workers[0].containers().values()))
    found = web.addresses("late")
    for task, pid in late.items():
        for address in found[task]:
            wait_for("it serves", partial(_answers, caller, address), within_s=30)
            assert _answers(caller, address) == task[:SHORT_ID]
        for other, own in web.addresses().items():
            assert len(own) == 2
            assert all(_reaches(pid, each, other) for each in own)
        wait_for("all serve it", partial(_answers, pid, web.virtual()[0]), within_s=30)
    wait_for("it publishes", partial(_answers, web.stranger, host.ip, PORT), within_s=30)
    web.swarm.manager.ctl("service", "rm", "late")


def test_a_network_is_checked_between_every_pair_of_nodes(web: Web) -> None:
    nodes = {each["node"] for each in web.swarm.running("web")}
    sound = web.swarm.manager.ctl("network", "check", "lan")
    assert len(nodes) > 2
    assert all(name in sound.stdout for name in nodes)

    victim = web.swarm.workers[1]
    subprocess.run(
        ("nsenter", f"--net={victim.network}", "nft", "-f", "-"), check=True, text=True,
        input="table inet broken {\n chain drops {\n type filter hook input priority -290\n"
        " udp dport 4789 drop\n }\n}\n",
    )  # fmt: skip
    try:
        broken = web.swarm.manager.ctl("network", "check", "lan", check=False)
    finally:
        sh("nsenter", f"--net={victim.network}", "nft", "delete", "table", "inet", "broken")

    assert broken.returncode != 0
    assert victim.name in broken.stdout
    assert "4789" in broken.stdout + broken.stderr


def test_a_rolling_update_fails_no_call(web: Web) -> None:
    """Callers come from outside, by the port of a node; every task is replaced meanwhile."""
    began = time.monotonic()

    with calling(web.stranger, web.swarm.manager.ip, PORT) as outside:
        wait_for("calls", lambda: len(outside.answers) > 50, within_s=30)
        web.swarm.manager.ctl(
            "service", "update", "-q", "--force", "--update-parallelism", "10",
            "--update-monitor", "100ms", "web", timeout=180,
        )  # fmt: skip
        web.swarm.wait_running("web", TASKS, within_s=60)

    print(f"updated in {time.monotonic() - began:.1f} s, {len(outside.answers)} calls")
    assert outside.failures == []
