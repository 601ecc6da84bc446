"""Calls that the kernel may turn down for a moment."""

import os
import subprocess
import sys
from pathlib import Path

from runtime.io import kernel

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
    argv = [sys.executable, "-c", RENAMING, str(tmp_path / "one"), str(tmp_path / "other")]
    root = os.open(tmp_path, os.O_RDONLY)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as renaming:
        assert renaming.stdout is not None
        renaming.stdout.readline()
        try:
            for _ in range(2000):
                os.close(kernel.open_in_root(root, "inside/../" * 20, os.O_PATH))
        finally:
            renaming.kill()
            os.close(root)
