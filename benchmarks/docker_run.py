"""Time the docker command with swarmd behind it, and with Docker's own daemon.

usage: python -m benchmarks.docker_run [--rounds N] [--json FILE]

Both are asked by the same docker command, in turns, on hosts that are network namespaces. What the
command itself takes is a row of its own: `docker version --format x`, which asks for an answer of a
line.
"""

import argparse
import json
import os
import subprocess
from pathlib import Path

from benchmarks.docker import DAEMON, Docker
from benchmarks.ours import Ours
from benchmarks.samples import Samples
from benchmarks.service import rootfs

NETWORKS = ("bridge", "none", "host")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    samples, hosts = Samples(), [f"bench{kind}{os.getpid()}" for kind in ("sw", "dk")]
    for host in hosts:
        subprocess.run(["ip", "netns", "add", host], check=True)
        subprocess.run(["ip", "-n", host, "link", "set", "lo", "up"], check=True)
    contenders: list[Ours | Docker] = []
    try:
        contenders.append(Ours(hosts[0]))
        if Path(DAEMON).exists():
            contenders.append(Docker(hosts[1]))
        measure(contenders, samples, options.rounds)
    finally:
        for each in contenders:
            each.close()
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host], check=False)
    print(samples.table())
    if options.json:
        options.json.write_text(json.dumps(samples.as_json(), indent=2))


def measure(contenders: list[Ours | Docker], samples: Samples, rounds: int) -> None:
    """The same commands of each, in turns; the first round is thrown away."""
    for each in contenders:
        docker(each, "import", "-", "bench:1", stdin=rootfs())
    for number in range(rounds + 1):
        for each in contenders:
            kept = samples if number else Samples()
            with kept.timed("docker version", each.name):
                docker(each, "version", "--format", "x")
            for network in NETWORKS:
                with kept.timed(f"run --rm, {network}", each.name):
                    docker(each, "run", "--rm", "--network", network, "bench:1", "true")
            with kept.timed("run -d, bridge", each.name):
                name = docker(each, "run", "-d", "bench:1", "sleep", "1000").strip()
            with kept.timed("exec true", each.name):
                docker(each, "exec", name, "true")
            with kept.timed("ps", each.name):
                docker(each, "ps", "-q")
            with kept.timed("rm -f", each.name):
                docker(each, "rm", "-f", name)


def docker(contender: Ours | Docker, *args: str, stdin: bytes | None = None) -> str:
    """The docker command, asked of one of both."""
    base = contender.base
    path = f"{base}/run/docker.sock" if isinstance(contender, Ours) else contender.socket
    environment = os.environ | {"DOCKER_CONFIG": str(base)}
    environment.pop("DOCKER_API_VERSION", None)
    done = subprocess.run(
        ["docker", "-H", f"unix://{path}", *args],
        input=stdin, capture_output=True, check=False, env=environment,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{contender.name}: docker {args}: {done.stderr.decode()}")
    return done.stdout.decode()


if __name__ == "__main__":
    main()
