"""Measure one path between two network namespaces: bytes a second, and a round trip.

Both are of TCP, with the same programs on every path: iperf3, and a peer that sends one byte
back for each it gets. A namespace is a path below /proc or /run/netns.
"""

import contextlib
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from msgspec import Struct

PORT, ECHO_PORT = 5201, 5202
ROUND_TRIPS = 20_000

_ECHO = f"""
import socket
server = socket.create_server(("::", {ECHO_PORT}), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    link = server.accept()[0]
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while got := link.recv(1):
        link.send(got)
"""

_ASK = f"""
import socket, statistics, sys, time
link = socket.create_connection((sys.argv[1], int(sys.argv[2])))
link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
took = []
for _ in range({ROUND_TRIPS}):
    start = time.perf_counter()
    link.send(b"x")
    link.recv(1)
    took.append(time.perf_counter() - start)
print(statistics.median(took) * 1e6)
"""


class Path(Struct, frozen=True, kw_only=True):
    """What was measured: 10^9 bits a second, and the median round trip."""

    gbits: float
    round_trip_us: float


class Route(Struct, frozen=True, kw_only=True):
    """From a namespace to servers in another one, by the address that a client asks for."""

    name: str
    source: str
    target: str
    address: str
    port: int = PORT
    echo_port: int = ECHO_PORT


def within(namespace: str, *argv: str) -> list[str]:
    """The command line, run in a network namespace."""
    return ["nsenter", f"--net={namespace}", *argv]


def compare(routes: list[Route], *, rounds: int, seconds: float) -> dict[str, Path]:
    """Medians over `rounds`, in each of which every route is measured in turn."""
    seen: dict[str, list[Path]] = {each.name: [] for each in routes}
    with contextlib.ExitStack() as stack:
        for target in dict.fromkeys(each.target for each in routes):
            stack.enter_context(servers(target))
        for _ in range(rounds):
            for route in routes:
                seen[route.name].append(measure(route, seconds))
    return {
        name: Path(
            gbits=statistics.median(each.gbits for each in paths),
            round_trip_us=statistics.median(each.round_trip_us for each in paths),
        )
        for name, paths in seen.items()
    }


@contextlib.contextmanager
def servers(namespace: str) -> Iterator[None]:
    """Both servers, in a namespace, while the context lasts."""
    echo = subprocess.Popen(
        within(namespace, sys.executable, "-c", _ECHO), stdout=subprocess.PIPE, text=True
    )
    iperf = subprocess.Popen(
        within(namespace, "iperf3", "-s", "-p", str(PORT)),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert echo.stdout is not None
        echo.stdout.readline()
        yield
    finally:
        for process in (echo, iperf):
            process.send_signal(signal.SIGKILL)
            process.wait()


def measure(route: Route, seconds: float) -> Path:
    """One look at a route."""
    return Path(gbits=_throughput(route, seconds), round_trip_us=_round_trip(route))


def _throughput(route: Route, seconds: float) -> float:
    argv = within(
        route.source, "iperf3", "-J", "-c", route.address, "-p", str(route.port),
        "-t", str(seconds), "-O", "1",
    )  # fmt: skip
    for _ in range(20):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        report = json.loads(done.stdout)
        if "error" not in report:
            return float(report["end"]["sum_received"]["bits_per_second"]) / 1e9
        time.sleep(0.25)  # the server ends its last test, or starts
    raise SystemExit(f"{route.name}: {report['error']}")


def _round_trip(route: Route) -> float:
    words = (sys.executable, "-c", _ASK, route.address, str(route.echo_port))
    done = subprocess.run(
        within(route.source, *words), capture_output=True, text=True, check=True, timeout=60
    )
    return float(done.stdout)


def reaches(namespace: str, address: str, port: int = ECHO_PORT) -> bool:
    """Whether a connection from `namespace` comes about, within a second."""
    script = f"import socket; socket.create_connection(({address!r}, {port}), 1)"
    argv = within(namespace, sys.executable, "-c", script)
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
