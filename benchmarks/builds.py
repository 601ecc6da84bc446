"""Time builds with swarmd behind the docker command, and with Docker's own daemon.

usage: python -m benchmarks.builds [--rounds N] [--json FILE]

Both are asked by the same docker command, of the classic builder, in turns, on hosts that are
network namespaces; programs run without a network. The Dockerfile has twelve steps in two stages,
and the disk is quiet before each build.
"""

import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from benchmarks.docker import DAEMON, Docker
from benchmarks.docker_run import docker
from benchmarks.ours import Ours
from benchmarks.samples import Samples
from benchmarks.service import rootfs

FILES, FILE_BYTES = 400, 4096
DOCKERFILE = """FROM bench:1 AS build
ARG WHO=nobody
ENV HOME=/home
WORKDIR /src
COPY . .
RUN cat files/* > /all
RUN echo $WHO > /who
FROM bench:1
COPY --from=build /all /who /result/
RUN cat /result/who > /checked
USER 7
CMD ["cat", "/result/all"]
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    os.environ["DOCKER_BUILDKIT"] = "0"
    samples, hosts = Samples(), [f"bench{kind}{os.getpid()}" for kind in ("sw", "dk")]
    for host in hosts:
        subprocess.run(["ip", "netns", "add", host], check=True)
        subprocess.run(["ip", "-n", host, "link", "set", "lo", "up"], check=True)
    contenders: list[Ours | Docker] = []
    try:
        contenders.append(Ours(hosts[0]))
        if Path(DAEMON).exists():
            contenders.append(Docker(hosts[1]))
        with tempfile.TemporaryDirectory(prefix="bench-build-") as place:
            measure(contenders, samples, options.rounds, Path(place))
    finally:
        for each in contenders:
            each.close()
        for host in hosts:
            subprocess.run(["ip", "netns", "del", host], check=False)
    print(samples.table())
    if options.json:
        options.json.write_text(json.dumps(samples.as_json(), indent=2))


def measure(contenders: list[Ours | Docker], samples: Samples, rounds: int, context: Path) -> None:
    """The same builds of each, in turns; the first round is thrown away."""
    (context / "files").mkdir()
    (context / "Dockerfile").write_text(DOCKERFILE)
    for number in range(FILES):
        (context / f"files/{number}").write_bytes(os.urandom(FILE_BYTES))
    for each in contenders:
        docker(each, "import", "-", "bench:1", stdin=rootfs())
    for number in range(rounds + 1):
        (context / "files/changed").write_text(f"{number} changed")
        for each in contenders:
            kept = samples if number else Samples()
            os.sync()
            build = ("build", "-q", "--network", "none", "-t", "made", str(context))
            with kept.timed("12 steps, --no-cache", each.name):
                docker(each, *build, "--no-cache")
            with kept.timed("nothing changed", each.name):
                docker(each, *build)
        (context / "files/changed").write_text(f"{number} changed again")
        for each in contenders:
            os.sync()
            kept = samples if number else Samples()
            with kept.timed("one file changed", each.name):
                docker(each, *build)


if __name__ == "__main__":
    main()
