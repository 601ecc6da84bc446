"""What files take, however they were laid out."""

import os
from pathlib import Path

from agent.io.sizes import size_of
from runtime.io import host


def test_links_lead_nowhere_and_nobody_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_bytes(b"12345")
    (tmp_path / "out").symlink_to("/")

    assert size_of(tmp_path) == len(b"12345") + len("/")
    assert size_of(tmp_path / "gone") == 0


def test_directories_may_be_nested_deeper_than_python_calls_itself(tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    here = str(deep)
    for _ in range(1500):
        os.mkdir(here)  # noqa: PTH102
        here += "/d"
    Path(here[:-2], "file").write_bytes(b"123")

    found = size_of(deep)

    host.remove_tree(str(deep))
    assert found == len(b"123")
