"""Which fences a container of the agent has, and how its spec takes them away."""

import errno
import json
from pathlib import Path

import pytest

from runtime.defaults import CAPABILITIES
from runtime.spec import Device
from swarm.errors import KernelRefused
from tests.kernel.machine import Machine
from tests.kernel.spawned import LAST_CAPABILITY

pytestmark = pytest.mark.kernel

STATUS = ("cat", "/proc/self/status")


def status(machine: Machine, **fields: object) -> dict[str, str]:
    _, output = machine.run(*STATUS, **fields)
    return dict(line.split(":\t", 1) for line in output.splitlines() if ":\t" in line)


def held_here() -> int:
    """The capabilities that this process could give at all."""
    found = Path("/proc/self/status").read_text().split("CapPrm:\t")[1]
    return int(found.split()[0], 16)


def test_a_default_container_is_filtered_and_an_unconfined_one_is_not(machine: Machine) -> None:
    assert status(machine)["Seccomp"] == "2"
    assert status(machine, seccomp="unconfined")["Seccomp"] == "0"


def test_a_profile_of_the_users_own_is_in_force(machine: Machine) -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}],
    }

    _, output = machine.run("sh", "-c", "mkdir /x", seccomp=json.dumps(profile))

    assert "No space left on device" in output


def test_a_broken_profile_is_refused_in_words(machine: Machine) -> None:
    with pytest.raises(KernelRefused) as err:
        machine.run("true", seccomp="{")

    assert err.value.step == "read seccomp profile"


def test_other_capabilities_get_the_filter_that_fits_them(machine: Machine) -> None:
    """With CAP_SYS_ADMIN the default profile lets a container mount."""
    script = "mount -t tmpfs none /tmp && echo mounted"

    _, output = machine.run(
        "sh", "-c", script, capabilities=(*CAPABILITIES, "CAP_SYS_ADMIN"), no_new_privs=False
    )

    assert output.split() == ["mounted"]


def test_a_privileged_container_has_every_right_and_every_device(machine: Machine) -> None:
    script = (
        "grep -E 'CapEff|CapBnd|Seccomp:' /proc/self/status;"
        "mount -t tmpfs none /tmp && echo mounted; test -c /dev/kmsg && echo device;"
        "echo 4321 > /proc/sys/kernel/msgmax && echo writable;"
        "cat /proc/self/mountinfo"
    )

    _, output = machine.run("sh", "-c", script, privileged=True, no_new_privs=False)

    words = output.split()
    assert int(words[1], 16) == held_here() & (1 << LAST_CAPABILITY + 1) - 1
    assert {"mounted", "writable", "device"} <= set(words)
    sysfs = next(line for line in output.splitlines() if " /sys " in line)
    assert sysfs.split()[5].startswith("rw")


def test_a_device_is_there_and_may_be_used_as_far_as_was_said(machine: Machine) -> None:
    """/dev/kmsg may be read only by whoever has CAP_SYSLOG, but its access is decided before."""
    device = Device(source="/dev/kmsg", target="/dev/log0", access="w")

    _, output = machine.run(
        "sh", "-c",
        "stat -c '%F %t:%T' /dev/log0; (exec 3>/dev/log0) && echo written;"
        "(exec 3</dev/log0) 2>/dev/null || echo not read; ls /dev/kmsg 2>/dev/null || echo alone",
        devices=(device,), capabilities=(*CAPABILITIES, "CAP_SYSLOG"),
    )  # fmt: skip

    assert output.splitlines() == ["character special file 1:b", "written", "not read", "alone"]


def test_a_directory_of_devices_means_all_in_it(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "ls /dev/copied | wc -l",
        devices=(Device(source="/dev", target="/dev/copied"),),
    )  # fmt: skip

    assert int(output) > 3


def test_a_device_that_the_node_has_not_is_named(machine: Machine) -> None:
    device = Device(source="/dev/no-such", target="/dev/x")

    with pytest.raises(KernelRefused) as err:
        machine.run("true", devices=(device,))

    assert (err.value.step, err.value.errno) == ("find device", errno.ENOENT)
    assert "/dev/no-such" in err.value.message
    assert "nodes" in err.value.hint


def test_what_is_no_device_is_refused(machine: Machine) -> None:
    with pytest.raises(KernelRefused, match="no device in /etc/passwd"):
        machine.run("true", devices=(Device(source="/etc/passwd", target="/dev/x"),))


def test_an_apparmor_profile_that_cannot_be_had_is_named(machine: Machine) -> None:
    if Path("/sys/kernel/security/apparmor").exists():
        pytest.skip("this kernel has AppArmor")

    with pytest.raises(KernelRefused, match="apparmor"):
        machine.run("true", apparmor="strict")


def test_unconfined_by_apparmor_is_what_every_kernel_can_do(machine: Machine) -> None:
    exited, _ = machine.run("true", apparmor="unconfined")

    assert exited.exit_code == 0
