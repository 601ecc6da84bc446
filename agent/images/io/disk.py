"""Write files so that a crash leaves the old content or the new, never half of either."""

import os
import secrets
from collections.abc import Generator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from runtime.io import host
from swarm.errors import KernelRefused

FULL = (ENOSPC, EDQUOT)


@contextmanager
def failing(step: str, path: Path) -> Generator[None]:
    """Turn an `OSError` inside the block into `KernelRefused`, naming `step` and `path`."""
    try:
        yield
    except OSError as err:
        raise refusal(step, path, err.errno or 0) from err


def refusal(step: str, path: Path, errno: int) -> KernelRefused:
    """The error of a `step` that the kernel refused at `path`."""
    hint = "look at the disk under the image store"
    if errno in FULL:
        hint = f"free space on the disk under {path}: remove images or move the data root"
    return KernelRefused(step, errno, f"{step}: {os.strerror(errno).lower()}: {path}", hint=hint)


def is_full(error: BaseException) -> bool:
    """Whether `error` says that the disk is full."""
    return isinstance(error, KernelRefused) and error.errno in FULL


def write_atomically(path: Path, content: bytes, *, temporary: Path) -> None:
    """Replace `path` by `content`, by way of a file in the directory `temporary`."""
    draft = temporary / f"file-{secrets.token_hex(8)}"
    with failing("write file", path):
        try:
            with draft.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames in the directory `path` survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_tree(path: Path) -> None:
    """Delete `path` and all below it; nothing happens when it is gone already."""
    with failing("delete directory", path):
        host.remove_tree(str(path))
