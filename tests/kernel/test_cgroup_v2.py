"""What cgroup v2 is asked for, as far as a hybrid host can answer: the device program."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cgroups import devices
from runtime.cgroups.layout import read_layout
from runtime.io import host
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


def test_the_kernel_takes_the_program_and_obeys_it(group: Path) -> None:
    assert read_first_byte_of("/dev/zero", group) == 0

    allow_null_only = (devices.Rule("c", 1, 3, "rwm"),)
    host.apply(FilterDevices(str(group), devices.v2(allow_null_only)))

    assert read_first_byte_of("/dev/zero", group) != 0
    assert read_first_byte_of("/dev/null", group) == 0


def test_the_default_rules_allow_the_usual_devices(group: Path) -> None:
    host.apply(FilterDevices(str(group), devices.v2(devices.ALLOWED)))

    assert read_first_byte_of("/dev/urandom", group) == 0
    assert read_first_byte_of("/dev/kmsg", group) != 0


def test_a_group_is_removed_although_its_last_process_just_ended(group: Path) -> None:
    read_first_byte_of("/dev/zero", group)

    host.revert([RemoveCgroup(str(group), shared=False)])

    assert not group.exists()
