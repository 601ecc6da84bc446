"""Write to files of the kernel: at once, whole, or not at all."""

import errno
import os


def write(path: str, value: str, *, directory: int | None = None) -> None:
    """Write `value` with one write(2), below the open `directory` if one is given."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        raw = value.encode()
        if os.write(descriptor, raw) != len(raw):
            raise OSError(errno.EIO, "the kernel took only a part of it", path)
    finally:
        os.close(descriptor)


def read(path: str) -> str:
    """The text of a small file; nothing if it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
