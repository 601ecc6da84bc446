"""The docker command, unmodified, drives swarmd; Docker's own daemon says what it should see.

`docker_script.txt` is done by swarmd in every run, and by Docker's daemon, too, with ORACLE=1.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.hosts import Host, Lan, command_lines, sh, wait_for
from tests.cluster.transcript import Shell, Step, parse, perform, sections
from tests.images import docker_archive

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SCRIPT = (Path(__file__).parent / "docker_script.txt").read_text()
OURS, DOCKERS = "swarmd", "dockerd"


@pytest.fixture(
    scope="module", params=[OURS, *((DOCKERS,) if os.environ.get("ORACLE") == "1" else ())]
)
def daemon(request: pytest.FixtureRequest) -> Iterator[tuple[str, Shell]]:
    """One of both, on a host with a registry beside it, and a shell that speaks to it."""
    if shutil.which("docker") is None:
        pytest.skip("docker cannot be found; make .venv/.tests installs it")
    lan = Lan(Path(tempfile.mkdtemp(prefix="swarm-cluster-")), hosts=1)
    name: str = request.param
    try:
        registry, host = lan.start_registry(), lan.hosts[0]
        with _dockerd(host, registry) if name == DOCKERS else _swarmd(host) as url:
            work = lan.base / "work"
            work.mkdir()
            docker_archive(work / "busy.tar", "busy:1", cmd=("sh",))
            environment = os.environ | {
                "DOCKER_HOST": url, "DOCKER_CONFIG": str(work / "config"), "HOME": str(work),
                "ADDRESS": host.ip, "REGISTRY": registry, "LC_ALL": "C",
            }  # fmt: skip
            environment.pop("DOCKER_API_VERSION", None)
            yield name, Shell(work, environment, ("nsenter", f"--net={host.network}"))
    finally:
        lan.close()


@contextlib.contextmanager
def _swarmd(host: Host) -> Iterator[str]:
    host.start()
    yield f"unix://{host.run_root}/docker.sock"
    host.stop()


@contextlib.contextmanager
def _dockerd(host: Host, registry: str) -> Iterator[str]:
    base = host.base / "docker"
    base.mkdir()
    url = f"unix://{base}/docker.sock"
    with (base / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["nsenter", f"--net={host.network}", "dockerd", "--data-root", f"{base}/data",
             "--exec-root", f"{base}/exec", "--pidfile", f"{base}/pid", "--host", url,
             "--insecure-registry", registry, "--cgroup-parent", f"/{host.cgroup_parent}"],
            stdout=log, stderr=log,
        )  # fmt: skip
    try:
        sock = Path(f"{base}/docker.sock")
        wait_for(
            "dockerd answers",
            lambda: sock.exists() and not sh("docker", "-H", url, "ps", check=False).returncode,
            within_s=60,
        )
        yield url
    finally:
        daemon.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            daemon.wait(60)
        wait_for("nothing of it runs", lambda: not _left(base), within_s=30)
        for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
            if str(base) in line:
                sh("umount", "-l", line.split()[4], check=False)


def _left(base: Path) -> list[int]:
    return [pid for pid, line in command_lines() if str(base) in line]


@pytest.mark.parametrize("title", [title for title, _ in sections(SCRIPT)])
def test_the_docker_command_is_answered(daemon: tuple[str, Shell], title: str) -> None:
    name, shell = daemon
    steps = dict(sections(SCRIPT))[title]

    problems = [perform(step, shell, is_docker=name == DOCKERS) for step in steps]

    assert not any(problems), "\n".join(each for each in problems if each)


def test_the_script_is_as_long_as_it_claims_to_be() -> None:
    """At least 150 steps, each of which expects something of us."""
    steps: tuple[Step, ...] = parse(SCRIPT)

    assert len(steps) >= 300
    assert all(step.is_expecting for step in steps)
