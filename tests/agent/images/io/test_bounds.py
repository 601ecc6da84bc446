"""Workers get some memory, and say so when an archive asks for more."""

import io
import subprocess
import sys
from pathlib import Path

from agent.build import orders
from agent.build.io import worker as builder
from agent.images.io import worker

_SCRIPT = """
from agent.images.io.bounds import bound_memory
bound_memory(512 << 20)
kept = bytearray(128 << 20)
try:
    bytearray(512 << 20)
except MemoryError:
    print("refused")
"""


class Greedy(io.BytesIO):
    """An archive for which there is not enough memory."""

    def read(self, size: int | None = -1) -> bytes:
        raise MemoryError(size)


def test_a_process_gets_no_more_memory_than_it_was_given() -> None:
    said = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, check=True)
    assert said.stdout == b"refused\n"


def test_an_archive_that_asks_for_more_is_an_answer(tmp_path: Path) -> None:
    unpacked = builder.carry_out(
        orders.Unpack(directory=str(tmp_path / "context"), dockerfile="Dockerfile"), Greedy()
    )
    loaded = worker.run(["stage", str(tmp_path)], Greedy())

    for failed in (unpacked.failed, loaded.failed):
        assert failed is not None
        assert failed.message == "the archive asks for more than 2 GiB of memory"
        assert failed.hint
