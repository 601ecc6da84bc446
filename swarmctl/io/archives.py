"""Send files to the agent, piece by piece, and show how much is sent."""

import stat
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from swarm.errors import Invalid
from swarm.quantities import format_size
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session
from swarmctl.progress import bar

CHUNK_BYTES = 1 << 18
_REPAINT_BYTES = 1 << 22


@contextmanager
def opened(path: str, *, flag: str) -> Generator[BinaryIO, None, None]:
    """The file at `path`, or standard input for `-`; `Invalid` when neither can be read."""
    if path == "-":
        if sys.stdin.isatty():
            raise Invalid(
                "standard input is a terminal", hint=f"name a file ({flag}) or redirect one"
            )
        yield sys.stdin.buffer
        return
    try:
        if stat.S_ISDIR(Path(path).stat().st_mode):
            raise Invalid(f"{path} is a directory", hint="give a tar archive")
        source = Path(path).open("rb")  # noqa: SIM115 - closed below; errors are ours to name
    except OSError as err:
        raise Invalid(f"{path}: {err.strerror}", hint="give a file that can be read") from err
    with source:
        yield source


def chunks(session: Session, source: BinaryIO, *, quiet: bool) -> Iterator[bytes]:
    """The content of `source`, with a bar on a terminal."""
    canvas = Canvas(session)
    total, sent, painted = _size(source), 0, 0
    while chunk := source.read(CHUNK_BYTES):
        yield chunk
        sent += len(chunk)
        if not quiet and sent - painted >= _REPAINT_BYTES:
            painted = sent
            canvas.paint([_line(sent, total)])
    if painted:
        canvas.paint([])


def write_out(chunks: Iterable[bytes], path: str) -> None:
    """Write to a file, which is there only once it is whole, or to standard output for `-`."""
    if path == "-":
        if sys.stdout.isatty():
            raise Invalid("standard output is a terminal", hint="name a file (-o) or redirect it")
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        return
    half = Path(f"{path}.part")
    try:
        with half.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _line(sent: int, total: int) -> str:
    if not total:
        return f"Sending {format_size(sent)}"
    return f"Sending {bar(sent, total, width=30)} {format_size(sent)}/{format_size(total)}"


def _size(source: BinaryIO) -> int:
    found = Path(f"/proc/self/fd/{source.fileno()}").stat()
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
