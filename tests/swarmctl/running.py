"""Run swarmctl in this process and keep what it printed."""

import io
import sys
from pathlib import Path
from unittest.mock import patch

from msgspec import Struct

from swarmctl import main


class Ran(Struct, frozen=True, kw_only=True):
    """How a command ended."""

    status: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        """What was printed, as text."""
        return self.raw.decode()


def run(socket: Path, *words: str, stdin: bytes = b"") -> Ran:
    """`swarmctl --host unix://<socket> <words>`."""
    out, err = Buffer(), Buffer()
    source = io.TextIOWrapper(io.BytesIO(stdin))
    with (
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
        patch.object(sys, "stdin", source),
    ):
        status = main.run(["--host", f"unix://{socket}", *words])
        out.flush()
        err.flush()
    return Ran(status=status, raw=out.buffer.getvalue(), err=err.buffer.getvalue().decode())


class Buffer(io.TextIOWrapper):
    buffer: io.BytesIO

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)
