"""What is found of containers whose shim is gone."""

import os
from pathlib import Path

import pytest

from runtime.io import leftovers
from runtime.layout import ContainerDir
from runtime.outcome import ContainerState

RAN = ContainerState(container_id="c", pid=1, pid_started_ticks=1, started_at=1.0)


def test_a_loss_is_recorded_for_whoever_comes_next(tmp_path: Path) -> None:
    directory = ContainerDir(str(tmp_path), "c")
    Path(directory.path).mkdir(parents=True)

    lost = leftovers.record_loss(directory, RAN, "lost")

    assert lost.exited is not None
    assert lost.exited.exit_code == 137
    assert leftovers.read_state(directory) == lost


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_loss_that_no_disk_has_room_for_is_told_all_the_same(tmp_path: Path) -> None:
    """Raised, it would end the agent, again and again as long as the disk is full."""
    directory = ContainerDir(str(tmp_path), "c")
    Path(directory.path).mkdir(parents=True)
    Path(f"{directory.state_file}.new").symlink_to("/dev/full")

    lost = leftovers.record_loss(directory, RAN, "lost")

    assert lost.exited is not None
    assert lost.exited.message == "lost"
    assert os.listdir(directory.path) == []  # noqa: PTH208
