"""Keep small secret files whole: a crash leaves the old content or the new, never a part.

Readable by root only from the first byte on: a file that is narrowed after it is written
was readable for a moment.
"""

import os
from pathlib import Path

from swarm.errors import Refused, Unavailable
from swarm.sealing import DataKey, parse_data_key

_TEMPORARY = ".new"


def write_private(path: Path, content: bytes) -> None:
    """Replace `path` by `content`, mode 0600, on disk when we return."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    try:
        # A crash may have left one; its mode is not ours to trust.
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync(path.parent)
    except OSError as err:
        temporary.unlink(missing_ok=True)
        raise Unavailable(
            f"cannot write {path}: {err.strerror}", hint="is the disk full or read-only?"
        ) from err


def read_private(path: Path) -> bytes | None:
    """The content of `path`, or None when there is no such file."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as err:
        raise Refused(f"cannot read {path}: {err.strerror}", hint="run as root") from err


def remove_private(path: Path) -> None:
    """Remove `path`, if it is there, for good."""
    if path.parent.is_dir():
        path.unlink(missing_ok=True)
        _sync(path.parent)


def save_data_key(path: Path, key: DataKey) -> None:
    """Write a manager's data key. Whoever reads this file and etcd reads everything."""
    write_private(path, f"{key.text}\n".encode())


def load_data_key(path: Path) -> DataKey:
    """Read a manager's data key; `Refused` when it is not there."""
    content = read_private(path)
    if content is None:
        raise Refused(
            f"{path} is missing: this manager cannot open the swarm's secrets",
            hint="restore it from another manager or from a backup",
        )
    return parse_data_key(content.decode("ascii", "replace"))


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
