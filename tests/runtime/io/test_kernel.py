"""Calls that the kernel may turn down for a moment."""

import os
from pathlib import Path

from runtime.io import kernel
from tests.programs import running

RENAMING = """
import os, sys
one, other = sys.argv[1:]
os.mkdir(one)
print(flush=True)
while True:
    os.rename(one, other)
    os.rename(other, one)
"""


def test_a_path_that_goes_up_is_found_while_others_rename(tmp_path: Path) -> None:
    """Without asking again, one in twenty is EAGAIN."""
    (tmp_path / "inside").mkdir()
    root = os.open(tmp_path, os.O_RDONLY)
    try:
        with running(RENAMING, tmp_path / "one", tmp_path / "other"):
            for _ in range(2000):
                os.close(kernel.open_in_root(root, "inside/../" * 20, os.O_PATH))
    finally:
        os.close(root)
