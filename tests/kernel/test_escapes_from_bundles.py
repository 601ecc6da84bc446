"""Attempts to get out that lie in a bundle: in its config, its image, or a program that waits.

Whoever writes a bundle for `swarm-runtime` may ask for much, but what an image holds or a
program in a container does must not change what of the host is reached. What the attacks do
elsewhere, without a fence, is in `test_escapes.py`; here the runtime is a command, which leaves
no process behind that would keep its executable busy.
"""

import errno
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.bundles import Bundles, Config
from tests.kernel.machine import PATIENCE, wait_for
from tests.kernel.test_escapes import (
    ATTACK,
    PYTHON,
    SEALED,
    interpreter_environment,
    last_answer,
)

pytestmark = pytest.mark.kernel

ALL_CAPABILITIES = ["CAP_SYS_PTRACE", "CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"]


def bind(source: object, target: str, *options: str) -> Config:
    options = ("rbind", "ro", *options)
    return {"destination": target, "type": "none", "source": str(source), "options": options}


def with_python(config: Config, attacks: Path = ATTACK.parent) -> None:
    """Give a container the host's interpreter, and the attacks."""
    config["root"]["readonly"] = False
    config["mounts"] += [bind("/usr", "/usr"), bind(attacks, "/attack")]


@pytest.fixture
def cell(bundles: Bundles) -> Bundles:
    if not Path(PYTHON).exists():
        pytest.skip(f"needs {PYTHON} for the attacker")
    for name in ("lib", "lib64"):
        (bundles.rootfs / name).symlink_to(f"usr/{name}")
    return bundles


# --- the runtime's own executable (CVE-2019-5736) -----------------------------------------------


def test_an_image_that_runs_the_runtime_cannot_write_it(cell: Bundles) -> None:
    program = cell.rootfs / "bin" / "evil"
    program.write_text("#!/proc/self/exe /attack/evil.py\n")
    program.chmod(0o755)
    evil = cell.base / "evil"
    evil.mkdir()
    shutil.copy(ATTACK, evil / "attack.py")
    (evil / "evil.py").write_text(
        "import sys; sys.argv[1:] = ['keep_own_executable', '/usr/bin/python3', '-IS',"
        " '/attack/attack.py', 'overwrite_kept', 'FD', '0.5']\n"
        "exec(open('/attack/attack.py').read())\n"
    )
    env, mounts = interpreter_environment()

    def change(config: Config) -> None:
        with_python(config, evil)
        config["process"]["env"] = list(env)
        config["mounts"] += [bind(each.source, each.target) for each in mounts]

    done = cell.foreground(cell.bundle("/bin/evil", change=change))

    answer = last_answer(done.stdout)
    assert (answer["succeeded"], answer["errno"] in SEALED) == (False, True)


@pytest.mark.parametrize("capable", [False, True])
def test_an_exec_gives_nothing_away(cell: Bundles, capable: bool) -> None:
    """A program lies in wait for `swarm-runtime exec`; with all rights it may even look."""
    signal = cell.base / "signal"
    signal.mkdir()

    def change(config: Config) -> None:
        with_python(config)
        config["mounts"].append({**bind(signal, "/signal"), "options": ["rbind", "rw"]})
        if capable:
            sets = config["process"]["capabilities"]
            config["process"]["capabilities"] = {each: ALL_CAPABILITIES for each in sets}

    command = (PYTHON, "-IS", "/attack/attack.py", "catch_visitors", "600", "/signal/ready")
    name = cell.bundle(*command, change=change)
    output = cell.base / "output"
    with output.open("wb") as file:
        waiting = cell.start("run", "-b", str(cell.path(name)), name, stdout=file)
    try:
        wait_for("it lies in wait", (signal / "ready").exists)
        for _ in range(5):
            cell.run("exec", name, "true")
        (signal / "ready.stop").touch()
        assert waiting.wait(20 * PATIENCE) == 0
    finally:
        waiting.kill()
        waiting.wait()

    answer = last_answer(output.read_text())
    expected = SEALED if capable else (errno.EACCES,)
    assert (answer["succeeded"], answer["errno"] in expected) == (False, True)


# --- a working directory that is the host's (CVE-2024-21626) -----------------------------------


@pytest.mark.parametrize("kind", ["descriptor", "link", "parents"])
def test_a_working_directory_is_in_the_container_or_refused(bundles: Bundles, kind: str) -> None:
    """What the runtime itself has open must not become the program's directory."""
    (bundles.base / "of-the-host").touch()
    look = "ls -a . .. ../.. ../../.. ../../../.. 2>&1; true"
    seen: list[str] = []
    for number in range(3, 16):
        workdir = f"/proc/self/fd/{number}"
        if kind == "link":
            (bundles.rootfs / f"work{number}").symlink_to(workdir)
            workdir = f"/work{number}"
        elif kind == "parents":
            workdir += "/../.."
        name = bundles.bundle("sh", "-c", look, cwd=workdir)
        done = bundles.foreground(name)
        assert done.returncode == 0 or "cwd" in done.stderr or "workdir" in done.stderr, done
        seen.append(done.stdout)

    assert not [each for each in seen if "of-the-host" in each or "boot" in each.split()]


def test_an_exec_cannot_work_in_the_hosts_directories_either(bundles: Bundles) -> None:
    name = bundles.launch("sleep", "60")
    for number in range(3, 16):
        done = bundles.run(
            "exec", "--cwd", f"/proc/self/fd/{number}", name, "ls", "-a", ".", "..", ok=False
        )
        assert "boot" not in done.stdout.split()


# --- links in the image ------------------------------------------------------------------------


@pytest.mark.parametrize("link", ["{outside}", "../../../../../../..{outside}", "/proc/1/cwd"])
def test_a_link_at_a_mounts_target_stays_in_the_container(cell: Bundles, link: str) -> None:
    """Absolute, with parents, or magic: it is followed as a program in the container would."""
    outside, source = cell.base / "outside", cell.base / "source"
    for directory in (outside, source):
        directory.mkdir()
    (source / "mark").touch()
    (cell.rootfs / "target").symlink_to(link.format(outside=outside))
    name = cell.bundle(
        "cat", "/proc/self/mountinfo",
        change=lambda config: config["mounts"].append(bind(source, "/target")),
    )  # fmt: skip

    done = cell.foreground(name)

    assert list(outside.iterdir()) == []
    assert done.returncode != 0 or str(outside) in done.stdout or "/target" in done.stdout
    assert "mark" not in subprocess.run(
        ["ls", str(outside)], capture_output=True, text=True, check=True
    ).stdout  # fmt: skip


@pytest.mark.parametrize("link", ["tmp", "/tmp", "../tmp"])
def test_proc_is_mounted_on_no_link(bundles: Bundles, link: str) -> None:
    """CVE-2019-19921: whoever provides /proc himself decides what the runtime writes there."""
    (bundles.rootfs / "proc").symlink_to(link)

    done = bundles.foreground(bundles.bundle("true"))

    assert done.returncode != 0
    assert "/proc" in done.stderr


def test_a_masked_path_shows_nothing_of_the_images_own_making(bundles: Bundles) -> None:
    """CVE-2025-31133: the image's /dev/null is a link to what it wants to see or to write."""
    (bundles.rootfs / "dev").mkdir()
    (bundles.rootfs / "dev" / "null").symlink_to("/proc/version")

    def change(config: Config) -> None:
        config["mounts"] = [each for each in config["mounts"] if each["destination"] == "/proc"]
        config["linux"]["maskedPaths"] = ["/proc/interrupts", "/proc/keys"]
        config["linux"]["readonlyPaths"] = []

    done = bundles.foreground(bundles.bundle("cat", "/proc/interrupts", change=change))

    assert done.returncode == 0 or "mask" in done.stderr, done
    assert done.stdout == ""


def test_a_kernel_parameter_is_written_to_the_kernel_or_not_at_all(bundles: Bundles) -> None:
    """CVE-2025-52881: something else lies over /proc/sys when the runtime writes there."""
    fake = bundles.base / "fake"
    (fake / "ipv4").mkdir(parents=True)
    for parameter in ("ip_forward", "ping_group_range", "ip_unprivileged_port_start"):
        (fake / "ipv4" / parameter).write_text("untouched")

    def change(config: Config) -> None:
        config["mounts"].append({**bind(fake, "/proc/sys/net"), "options": ["rbind", "rw"]})
        config["linux"]["sysctl"] = {"net.ipv4.ip_forward": "1"}

    bundles.foreground(bundles.bundle("true", change=change))

    assert (fake / "ipv4" / "ip_forward").read_text() == "untouched"


def test_a_device_is_made_in_the_image_alone(bundles: Bundles) -> None:
    """Where the image's directory for it is a link out of the image."""
    outside = bundles.base / "outside"
    outside.mkdir()
    (bundles.rootfs / "devices").symlink_to(outside)
    node: dict[str, Any] = {"type": "c", "path": "/devices/zero", "major": 1, "minor": 5}

    def change(config: Config) -> None:
        config["root"]["readonly"] = False
        config["linux"]["devices"] = [node]

    bundles.foreground(bundles.bundle("true", change=change))

    assert list(outside.iterdir()) == []


# --- filters -----------------------------------------------------------------------------------


def test_a_bundles_filter_holds_for_the_program_and_for_what_is_run_beside_it(
    bundles: Bundles,
) -> None:
    """The profile says it, so the first program and any later one are under it."""
    seccomp = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5}],
    }

    def change(config: Config) -> None:
        config["linux"]["seccomp"] = seccomp

    name = bundles.bundle("grep", "^Seccomp:", "/proc/self/status", change=change)
    assert bundles.foreground(name).stdout == "Seccomp:\t2\n"

    running = bundles.launch("sleep", "60", change=change)
    told = bundles.run("exec", running, "grep", "^Seccomp:", "/proc/self/status")
    assert told.stdout == "Seccomp:\t2\n"


def test_a_filter_that_makes_no_sense_is_refused_with_its_path(bundles: Bundles) -> None:
    def change(config: Config) -> None:
        config["linux"]["seccomp"] = {"defaultAction": "SCMP_ACT_DENY"}

    done = bundles.foreground(bundles.bundle("true", change=change))

    assert done.returncode != 0
    assert "linux.seccomp.defaultAction: must be one of" in done.stderr
    assert json.loads(bundles.run("list", "-f", "json").stdout or "[]") in ([], None)
