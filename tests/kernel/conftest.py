"""A machine for each test; a test that leaves anything on it fails."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.bundles import Bundles
from tests.kernel.machine import ENDING_S, Machine, wait_for
from tests.kernel.spawned import Bundle


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A node's runtime with a launcher; processes, mounts, groups and files must be gone after."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = open_descriptors()
    made = Machine(tmp_path / "m")
    try:
        made.start_launcher()
        wait_for("the launcher listens", made.socket.exists)
        yield made
        for launcher in made.launchers:
            launcher.terminate()
            launcher.wait(ENDING_S)
        wait_for(f"nothing is left: {made.leaks()}", lambda: not made.leaks())
        assert open_descriptors() <= before
    finally:
        made.close()


@pytest.fixture
def bundle(tmp_path: Path) -> Iterator[Bundle]:
    """A bundle's root file system; mounts, groups and descriptors must be gone after."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    before = open_descriptors()
    made = Bundle(tmp_path / "b")
    yield made
    made.close()
    assert open_descriptors() <= before


@pytest.fixture
def bundles(tmp_path: Path) -> Iterator[Bundles]:
    """A state root for `swarm-runtime`; nothing may be left on it or on the host after."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = Bundles(tmp_path / "b")
    try:
        yield made
        for name in made.run("list", "-q").stdout.split():
            made.run("delete", "--force", name)
        wait_for(f"nothing is left: {made.leaks()}", lambda: not made.leaks())
    finally:
        made.close()
