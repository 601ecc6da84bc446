"""What cgroup v2 is asked for, as far as a hybrid host can answer: the device program."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cgroups import device_program, devices
from runtime.cgroups.layout import read_layout
from runtime.io import host
from runtime.oci.config import DeviceRule
from runtime.steps import FilterDevices, MakeCgroup, RemoveCgroup

pytestmark = pytest.mark.kernel


@pytest.fixture
def group() -> Iterator[Path]:
    unified = read_layout(Path("/proc/self/mountinfo").read_text()).unified
    if not unified or os.geteuid() != 0:
        pytest.skip("needs root and a cgroup2 mount")
    path = f"{unified}/swarmtest{os.getpid()}"
    host.apply(MakeCgroup(path))
    yield Path(path)
    host.revert([RemoveCgroup(path, shared=False)])
    assert not Path(path).exists()


def read_first_byte_of(device: str, group: Path) -> int:
    script = f"echo $$ > {group}/cgroup.procs && exec head -c 1 {device}"
    return subprocess.run(
        ["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


def only(*rules: DeviceRule) -> bytes:
    return device_program.assemble(devices.read_rules(rules))


NULL = DeviceRule(allow=True, type="c", major=1, minor=3, access="rwm")
ZERO = DeviceRule(allow=True, type="c", major=1, minor=5, access="rwm")


def test_the_kernel_takes_the_program_and_obeys_it(group: Path) -> None:
    assert read_first_byte_of("/dev/zero", group) == 0

    host.apply(FilterDevices(str(group), only(NULL)))

    assert read_first_byte_of("/dev/zero", group) != 0
    assert read_first_byte_of("/dev/null", group) == 0


def test_a_new_program_takes_the_place_of_the_old_one(group: Path) -> None:
    host.apply(FilterDevices(str(group), only(NULL)))
    host.apply(FilterDevices(str(group), only(NULL, ZERO)))

    assert read_first_byte_of("/dev/zero", group) == 0

    host.apply(FilterDevices(str(group), only(ZERO)))

    assert read_first_byte_of("/dev/null", group) != 0


def test_a_group_in_the_group_may_filter_more_but_not_less(group: Path) -> None:
    """Such as a container engine in a container."""
    inner = group / "inner"
    host.apply(FilterDevices(str(group), only(NULL, ZERO)))
    host.apply(MakeCgroup(str(inner)))
    try:
        host.apply(FilterDevices(str(inner), only(*devices.USUAL, *[NULL])))

        assert read_first_byte_of("/dev/null", inner) == 0
        assert read_first_byte_of("/dev/urandom", inner) != 0
    finally:
        host.revert([RemoveCgroup(str(inner), shared=False)])


def test_rules_that_deny_after_allowing_are_obeyed(group: Path) -> None:
    all_memory = DeviceRule(allow=True, type="c", major=1, access="rw")
    but_zero = DeviceRule(allow=False, type="c", major=1, minor=5, access="r")
    host.apply(FilterDevices(str(group), only(all_memory, but_zero)))

    assert read_first_byte_of("/dev/null", group) == 0
    assert read_first_byte_of("/dev/zero", group) != 0


def test_the_usual_devices_are_allowed(group: Path) -> None:
    host.apply(FilterDevices(str(group), only(*devices.USUAL)))

    assert read_first_byte_of("/dev/urandom", group) == 0
    assert read_first_byte_of("/dev/kmsg", group) != 0


def test_a_group_is_removed_although_its_last_process_just_ended(group: Path) -> None:
    read_first_byte_of("/dev/zero", group)

    host.revert([RemoveCgroup(str(group), shared=False)])

    assert not group.exists()
