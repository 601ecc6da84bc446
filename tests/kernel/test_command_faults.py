"""Whatever step of `swarm-runtime create` fails or is killed, one `delete --force` leaves nothing.

A step that fails has to undo everything by itself. Whoever is killed, the command, process 1
or both, the container's record tells the next command what there is to be undone.
"""

import contextlib
import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.bundles import Bundles, Config
from tests.kernel.faults import VARIABLE, Faults, Kind, descendants
from tests.kernel.machine import PATIENCE, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]

# Each step costs the start of an interpreter or two: a sample. `make kernel` takes every one.
STRIDE = int(os.environ.get("SWARM_TEST_STRIDE", "9" if PATIENCE == 1 else "17"))
SCRIPT = Path(__file__).with_name("faulty_runtime.py")


class FaultyBundles(Bundles):
    """Bundles whose `swarm-runtime` has faults."""

    def words(self, *words: str) -> list[str]:
        return [sys.executable, "-IS", str(SCRIPT), "--root", str(self.root), *words]


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    path = tmp_path / "faults"
    monkeypatch.setenv(VARIABLE, str(path))
    monkeypatch.setenv("SWARM_TEST_PACKAGES", os.pathsep.join(each for each in sys.path if each))
    return Faults(path)


@pytest.fixture
def faulty(tmp_path: Path, faults: Faults) -> Iterator[FaultyBundles]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = FaultyBundles(tmp_path / "b")
    try:
        yield made
    finally:
        made.close()


def large(config: Config) -> None:
    """Ask for everything that a creation can be asked for, and that every host has."""
    config["hostname"] = "large"
    config["process"]["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [44], "umask": 18}
    config["process"]["noNewPrivileges"] = True
    config["process"]["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 512, "hard": 512}]
    config["process"]["oomScoreAdj"] = 10
    config["mounts"] += [
        {
            "destination": "/bound",
            "source": config["root"]["path"] + "/data",
            "options": ["rbind", "rro"],
        },
        {"destination": "/scratch", "type": "tmpfs", "source": "tmpfs", "options": ["size=1m"]},
    ]
    config["linux"]["resources"] |= {
        "memory": {"limit": 64 << 20},
        "pids": {"limit": 50},
        "cpu": {"quota": 50_000, "period": 100_000},
    }
    config["linux"]["sysctl"] = {"net.ipv4.ip_unprivileged_port_start": "0"}
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mount"], "action": "SCMP_ACT_ERRNO"}],
    }


def mapped(config: Config) -> None:
    """The same in a user namespace."""
    large(config)
    ids = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
    config["linux"] |= {"uidMappings": ids, "gidMappings": ids}
    config["linux"]["namespaces"].append({"type": "user"})


VARIANTS = {"plain": large, "mapped": mapped}


def make_bundle(bundles: Bundles, variant: str) -> str:
    """Its root belongs to the root of its user namespace, which makes directories in there."""
    if variant == "mapped":
        for path in (bundles.rootfs, *bundles.rootfs.rglob("*")):
            os.chown(path, 100_000, 100_000, follow_symlinks=False)
    return bundles.bundle("sleep", "99", change=VARIANTS[variant])


def count_steps(bundles: Bundles, faults: Faults, name: str) -> int:
    """How many steps an undisturbed creation has."""
    faults.arm(Kind.NONE, 0)
    bundles.create(name)
    count = faults.count
    bundles.run("delete", "--force", name)
    assert bundles.leaks() == []
    return count


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_creation_that_fails_at_any_step_undoes_itself(
    faulty: FaultyBundles, faults: Faults, variant: str
) -> None:
    name = make_bundle(faulty, variant)
    count = count_steps(faulty, faults, name)

    for number in range(0, count, STRIDE):
        faults.arm(Kind.FAIL, number)
        failed = faulty.create(name, ok=False)

        assert failed.returncode == 1, number
        assert f"{faults.step}" in failed.stderr, failed.stderr
        assert os.strerror(errno.EIO).lower() in failed.stderr
        wait_for(f"nothing of step {number} is left", lambda: faulty.leaks() == [])


@pytest.mark.parametrize(
    ("victim", "variant"),
    [("process 1", "plain"), ("the command", "plain"), ("both", "plain"), ("both", "mapped")],
)
def test_whoever_is_killed_at_any_step_delete_leaves_nothing(
    faulty: FaultyBundles, faults: Faults, victim: str, variant: str
) -> None:
    name = make_bundle(faulty, variant)
    count = count_steps(faulty, faults, name)

    for number in range(0, count, STRIDE):
        faults.arm(Kind.HOLD, number)
        words = ("create", "--bundle", str(faulty.path(name)), name)
        with faulty.start(*words, stderr=subprocess.DEVNULL) as command:
            wait_for("the step is reached", lambda: faults.reached)
            chain = [command.pid, *descendants(command.pid)]
            assert len(chain) > 1
            for pid in {"process 1": chain[-1:], "the command": chain[:1]}.get(victim, chain):
                with contextlib.suppress(ProcessLookupError):  # it went with the command
                    os.kill(pid, signal.SIGKILL)
            code = command.wait(20 * PATIENCE)

        assert code == (1 if victim == "process 1" else -signal.SIGKILL), number
        faults.arm(Kind.NONE, 0)
        faulty.run("delete", "--force", name)
        wait_for(f"nothing of step {number} is left", lambda: faulty.leaks() == [])
