"""`init` and `join` bring up the daemon, or say why it does not come up."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import Refused, Unavailable
from swarmctl.io.session import Session
from swarmctl.io.starting import DaemonFlags, arguments, ensure_running, running
from tests.swarmctl.fake_swarm import FakeSwarm

ROOT = str(Path(__file__).parents[3])

# What stands in for swarmd: it listens in its run root, and writes to its log.
DAEMON = f"""
import os, signal, sys
sys.path.insert(0, {ROOT!r})
from pathlib import Path
from tests.swarmctl.fake_swarm import FakeSwarm, serving
run_root = Path(sys.argv[sys.argv.index("--run-root") + 1])
run_root.mkdir()
print(os.getpid(), *sys.argv[1:], flush=True)
fake = FakeSwarm()
with serving(run_root / "swarmd.sock", fake):
    signal.pause()
"""


@pytest.fixture
def flags(tmp_path: Path) -> DaemonFlags:
    """A daemon with all its places below the test's own."""
    return DaemonFlags(data_root=str(tmp_path / "data"), run_root=str(tmp_path / "run"))


@pytest.fixture
def started() -> Iterator[list[int]]:
    """Process ids of daemons to end."""
    pids: list[int] = []
    yield pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_is_started_once_and_left_running(flags: DaemonFlags, started: list[int]) -> None:
    session = Session(None)

    pid = ensure_running(session, flags, program=(sys.executable, "-c", DAEMON))
    assert pid is not None
    started.append(pid)
    again = ensure_running(session, DaemonFlags(run_root=flags.run_root), program=("/nonexistent",))
    session.close()

    assert again is None
    assert os.getsid(pid) == pid
    assert session.host == f"unix://{flags.socket}"
    log = (flags.data / "swarmd.log").read_text()
    assert f"--data-root {flags.data_root} --run-root {flags.run_root}" in log


@pytest.mark.parametrize("node_id", ["", "n1"])
@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_a_daemon_started_for_nothing_is_ended(
    flags: DaemonFlags, started: list[int], node_id: str
) -> None:
    """Only while it belongs to no swarm: a join that we merely lost sight of goes on."""
    session = Session(None)
    code = DAEMON.replace("FakeSwarm()\n", f"FakeSwarm()\nfake.node_id = {node_id!r}\n")

    def join() -> None:
        with running(session, flags, program=(sys.executable, "-c", code)):
            raise Refused("dead address")

    with pytest.raises(Refused, match="dead address"):
        join()
    pid = int((flags.data / "swarmd.log").read_text().split()[0])
    session.close()

    assert Path(f"/proc/{pid}").exists() == bool(node_id)
    if node_id:
        started.append(pid)


def test_a_daemon_that_ends_is_quoted(flags: DaemonFlags) -> None:
    program = (sys.executable, "-c", "import sys; print('port is taken'); sys.exit(3)")

    with pytest.raises(Unavailable, match="status 3") as caught:
        ensure_running(Session(None), flags, program=program)

    assert "port is taken" in caught.value.message
    assert str(flags.data / "swarmd.log") in caught.value.hint


def test_only_what_this_daemon_said_is_quoted(flags: DaemonFlags) -> None:
    flags.data.mkdir()
    (flags.data / "swarmd.log").write_text("yesterday's trouble\n")
    program = (sys.executable, "-c", "import sys; sys.exit('today')")

    with pytest.raises(Unavailable) as caught:
        ensure_running(Session(None), flags, program=program)

    assert "today" in caught.value.message
    assert "yesterday" not in caught.value.message


def test_a_daemon_that_never_listens_is_ended(flags: DaemonFlags) -> None:
    program = (
        sys.executable,
        "-c",
        "import os, signal; print(os.getpid(), flush=True); signal.pause()",
    )

    with pytest.raises(Unavailable, match="did not listen within"):
        ensure_running(Session(None), flags, program=program, within_s=0.3)

    log = (flags.data / "swarmd.log").read_text()
    assert not log.strip() or not Path(f"/proc/{log.strip()}").exists()


def test_a_program_that_cannot_run_is_refused(flags: DaemonFlags) -> None:
    with pytest.raises(Refused, match="cannot start swarmd"):
        ensure_running(Session(None), flags, program=("/nonexistent",))


def test_a_data_root_that_cannot_be_made_is_refused(flags: DaemonFlags, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")

    with pytest.raises(Refused, match="data"):
        ensure_running(Session(None), flags, program=("/bin/true",))


def test_a_daemon_with_other_roots_is_not_taken_for_ours(swarm: FakeSwarm, socket: Path) -> None:
    session = Session(f"unix://{socket}")
    for flags, name in (
        (DaemonFlags(data_root="/elsewhere"), "--data-root"),
        (DaemonFlags(metrics_addr="127.0.0.1:1"), "--metrics-addr"),
        (DaemonFlags(userns_remap="default"), "--userns-remap"),
        (DaemonFlags(docker_socket="/elsewhere"), "--docker-socket"),
        (DaemonFlags(docker_addr="10.0.0.1:2376"), "--docker-addr"),
    ):
        with pytest.raises(Refused, match=name):
            ensure_running(session, flags, program=("/bin/false",))
    session.close()

    assert swarm.requests


def test_a_host_that_the_daemon_would_not_listen_on_is_refused(flags: DaemonFlags) -> None:
    with pytest.raises(Refused, match="--run-root"):
        ensure_running(Session("unix:///elsewhere.sock"), flags, program=("/bin/false",))


def test_the_daemon_is_given_all_its_flags() -> None:
    flags = DaemonFlags(
        data_root="/d",
        run_root="/r",
        listen_addr="0.0.0.0:1",
        advertise_addr="10.0.0.1",
        metrics_addr="127.0.0.1:2",
        hostname="h",
        cgroup_parent="c",
        userns_remap="1000000:65536",
        docker_socket="d.sock",
        docker_addr="10.0.0.1",
        insecure_registry=("a:1", "b:2"),
        label=("x=y",),
        node_generic_resource=("gpu=UUID1", "gpu=UUID2"),
    )

    from swarmd.main import parse

    settings = parse(arguments(flags))
    assert (settings.data_root, settings.run_root, settings.hostname) == ("/d", "/r", "h")
    assert settings.insecure_registries == ("a:1", "b:2")
    assert settings.labels == {"x": "y"}
    assert [each.names for each in settings.generic_resources] == [("UUID1", "UUID2")]
    assert settings.userns_remap == "1000000:65536"
    assert settings.docker_door == Path("d.sock").absolute()
    assert settings.docker_addr == "10.0.0.1:2376"
    assert parse(arguments(DaemonFlags(docker_socket="none"))).docker_door is None
    assert parse([]).docker_door == Path("/run/swarmd/docker.sock")
    assert arguments(DaemonFlags()) == []
