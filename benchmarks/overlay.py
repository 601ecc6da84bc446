"""Measure the overlay between two hosts: ours, Docker's, and the bare path under both.

usage: python -m benchmarks.overlay [--rounds N] [--seconds S] [--without-docker] [--json FILE]

Two network namespaces play hosts, joined by a veth pair, and each contender has a daemon on
both. A container on each host is in one overlay network; the programs that measure run in the
containers' network namespaces. "bare" is from one host to the other.
"""

import argparse
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path as File

from msgspec import to_builtins

from benchmarks.docker import DAEMON, Docker
from benchmarks.ours import Ours
from benchmarks.paths import ECHO_PORT, PORT, Path, Route, compare, reaches, servers
from benchmarks.service import rootfs

ADDRESSES = ("198.18.7.1", "198.18.7.2")
SLEEP = ("/bin/sh", "-c", "while :; do sleep 3600; done")
DOCKER_PORT = 2387
REACHED_WITHIN_S = 30.0


def main() -> None:
    """Measure every contender and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--without-docker", action="store_true")
    parser.add_argument("--json", type=File, help="write the figures here too")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        hosts = stack.enter_context(two_hosts())
        routes = [
            Route(name="bare", source=_net(hosts[0]), target=_net(hosts[1]), address=ADDRESSES[1])
        ]
        routes += stack.enter_context(ours(hosts))
        if File(DAEMON).exists() and not options.without_docker:
            routes += stack.enter_context(docker(hosts))
        found = compare(routes, rounds=options.rounds, seconds=options.seconds)
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(to_builtins(found), indent=2))


def table(found: dict[str, Path]) -> str:
    """Routes as rows; throughput also as a share of the first, and latency beyond it."""
    bare = next(iter(found.values()))
    lines = [f"{'':26}{'Gbit/s':>8}{'of bare':>9}{'round trip µs':>15}{'added µs':>10}"]
    for name, path in found.items():
        lines.append(
            f"{name:26}{path.gbits:8.2f}{path.gbits / bare.gbits:9.2f}{path.round_trip_us:15.1f}"
            f"{path.round_trip_us - bare.round_trip_us:10.1f}"
        )
    return "\n".join(lines)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[str, str]]:
    """Two network namespaces, joined by a veth pair."""
    names = f"bench{os.getpid()}a", f"bench{os.getpid()}b"
    with contextlib.ExitStack() as stack:
        for name in names:
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", names[0], "link", "add", "eth0", "type", "veth",
            "peer", "name", "eth0", "netns", names[1])  # fmt: skip
        for name, address, other in zip(names, ADDRESSES, reversed(ADDRESSES), strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "route", "add", "default", "via", other)
        yield names


@contextlib.contextmanager
def ours(hosts: tuple[str, str]) -> Iterator[list[Route]]:
    """Two swarmds with a container each: by address, by virtual address, by published port."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(contextlib.closing(Ours(each))) for each in hosts)
        first.cli("init", "--advertise-addr", ADDRESSES[0])
        token = first.cli("join-token", "-q", "worker").strip()
        second.cli("join", "--token", token, "--advertise-addr", ADDRESSES[1],
                   f"{ADDRESSES[0]}:2377")  # fmt: skip
        for each in (first, second):
            each.cli("image", "import", "-", "bench:1", stdin=rootfs())
        first.cli("network", "create", "-d", "overlay", "bench")
        for name, role, ports in (
            ("client", "manager", ()),
            ("server", "worker", ("-p", f"7201:{PORT}", "-p", f"7202:{ECHO_PORT}")),
        ):
            first.cli(
                "service", "create", "-q", "--name", name, "--network", "bench",
                "--no-resolve-image", "--constraint", f"node.role == {role}", *ports,
                "bench:1", *SLEEP,
            )  # fmt: skip
        source, target = (f"/proc/{_process(each)}/ns/net" for each in (first, second))
        virtual = _ours_virtual(first, "server")
        direct = _address_in(target, "eth1")
        client, server = _net(hosts[0]), target
        yield _reached(
            Route(name="swarmd", source=source, target=server, address=direct),
            Route(name="swarmd, virtual address", source=source, target=server, address=virtual),
            Route(
                name="swarmd, ingress",
                source=client, target=server, address=ADDRESSES[1], port=7201, echo_port=7202,
            ),
        )  # fmt: skip


@contextlib.contextmanager
def docker(hosts: tuple[str, str]) -> Iterator[list[Route]]:
    """Two dockerds with a container each, by address; a virtual one would need IPVS."""
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(contextlib.closing(Docker(each))) for each in hosts)
        ports = ("--listen-addr", f"0.0.0.0:{DOCKER_PORT}")  # ours has the usual ones
        first.cli("swarm", "init", *ports, "--advertise-addr", f"{ADDRESSES[0]}:{DOCKER_PORT}",
                  "--data-path-port", str(DOCKER_PORT))  # fmt: skip
        token = first.cli("swarm", "join-token", "-q", "worker").strip()
        second.cli("swarm", "join", *ports, "--token", token,
                   "--advertise-addr", ADDRESSES[1], f"{ADDRESSES[0]}:{DOCKER_PORT}")  # fmt: skip
        for each in (first, second):
            each.call("POST", "/images/create?fromSrc=-&repo=bench&tag=1", raw=rootfs())
        first.cli("network", "create", "-d", "overlay", "bench")
        for name, role in (("client", "manager"), ("server", "worker")):
            first.cli(
                "service", "create", "-d", "--name", name, "--network", "bench",
                "--endpoint-mode", "dnsrr", "--no-resolve-image",
                "--constraint", f"node.role == {role}", "bench:1", *SLEEP,
            )  # fmt: skip
            first.wait(name, 1)
        source, target = (f"/proc/{_docker_process(each)}/ns/net" for each in (first, second))
        task = first.call("GET", '/tasks?filters={"service":["server"]}')[0]
        direct = str(task["NetworksAttachments"][0]["Addresses"][0]).split("/")[0]
        yield _reached(Route(name="docker", source=source, target=target, address=direct))


def _reached(*routes: Route) -> list[Route]:
    """The routes, once a connection by each comes about."""
    with servers(routes[0].target):
        deadline = time.monotonic() + REACHED_WITHIN_S
        for route in routes:
            while not reaches(route.source, route.address, route.echo_port):
                if time.monotonic() > deadline:
                    raise SystemExit(f"{route.name}: {route.address} is not reached")
    return list(routes)


def _docker_process(daemon: Docker) -> int:
    """Process 1 of the daemon's one container."""
    (container,) = daemon.call("GET", "/containers/json")
    return int(daemon.call("GET", f"/containers/{container['Id']}/json")["State"]["Pid"])


def _process(daemon: Ours) -> int:
    """Process 1 of the daemon's one container, by its control group."""
    (procs,) = File("/sys/fs/cgroup").glob(f"pids/{daemon.netns}/*/cgroup.procs")
    return int(procs.read_text().split()[0])


def _ours_virtual(daemon: Ours, service: str) -> str:
    found = json.loads(daemon.cli("service", "inspect", service))[0]["Endpoint"]["VirtualIPs"]
    bench = json.loads(daemon.cli("network", "inspect", "bench"))[0]["Id"]
    return str(next(each["Addr"] for each in found if each["NetworkID"] == bench)).split("/")[0]


def _address_in(namespace: str, link: str) -> str:
    """The first address of a link in a namespace."""
    shown = subprocess.run(
        ["nsenter", f"--net={namespace}", "ip", "-j", "-4", "addr", "show", "dev", link],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return str(json.loads(shown.stdout)[0]["addr_info"][0]["local"])


def _net(namespace: str) -> str:
    return f"/run/netns/{namespace}"


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


if __name__ == "__main__":
    main()
