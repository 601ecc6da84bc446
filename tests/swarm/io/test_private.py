from pathlib import Path
from random import Random

import pytest

from swarm.errors import Invalid, Refused, Unavailable
from swarm.io.private import (
    load_data_key,
    read_private,
    remove_private,
    save_data_key,
    write_private,
)
from swarm.sealing import make_data_key


def test_a_private_file_is_ours_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "secret"

    write_private(path, b"one")
    write_private(path, b"two")

    assert read_private(path) == b"two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == ["secret"]


def test_what_a_crash_left_behind_is_not_written_into(tmp_path: Path) -> None:
    """Someone else may hold the leftover open, or it may be readable by everyone."""
    leftover = tmp_path / ".secret.new"
    leftover.write_bytes(b"half")
    leftover.chmod(0o644)

    with leftover.open("rb") as held:
        write_private(tmp_path / "secret", b"whole")
        assert held.read() == b"half"

    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert not leftover.exists()


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.mkdir()

    with pytest.raises(Unavailable, match="cannot write"):
        write_private(path, b"new")

    assert [each.name for each in tmp_path.iterdir()] == ["secret"]


def test_removing_what_is_not_there_is_no_error(tmp_path: Path) -> None:
    remove_private(tmp_path / "none")
    remove_private(tmp_path / "nowhere" / "none")
    assert read_private(tmp_path / "none") is None


def test_a_data_key_is_kept_and_missed(tmp_path: Path) -> None:
    key = make_data_key(Random(1))
    path = tmp_path / "data.key"
    with pytest.raises(Refused, match="is missing"):
        load_data_key(path)

    save_data_key(path, key)

    assert load_data_key(path) == key
    write_private(path, b"\xff\xfe")
    with pytest.raises(Invalid):
        load_data_key(path)
