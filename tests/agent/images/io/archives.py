"""Build small layers, archives and streams for the tests of the store."""

import io
import os
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path


def entry(name: str, kind: bytes = tarfile.REGTYPE, **fields: object) -> tarfile.TarInfo:
    """A tar header; `fields` are attributes of `TarInfo`."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar(*entries: tarfile.TarInfo | tuple[tarfile.TarInfo, bytes] | tuple[str, bytes]) -> bytes:
    """A tar of headers, and of headers or names with content."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for item in entries:
            info, content = item if isinstance(item, tuple) else (item, b"")
            if isinstance(info, str):
                info = entry(info)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return raw.getvalue()


async def chunks(source: bytes | Path, size: int = 1 << 16) -> AsyncIterator[bytes]:
    """`source` in pieces, as a client would send it."""
    content = source if isinstance(source, bytes) else source.read_bytes()
    for start in range(0, len(content), size):
        yield content[start : start + size]


def everything(root: Path) -> set[str]:
    """Every path below `root`, but the empty directories that a store always has."""
    always = {"tmp", "partial", "layers", "blobs", "blobs/sha256", "empty"}
    found = {
        os.path.relpath(os.path.join(directory, name), root)  # noqa: PTH118
        for directory, directories, files in os.walk(root)
        for name in (*directories, *files)
    }
    return found - always


def is_clean(root: Path) -> bool:
    """Whether nothing is left in the store at `root`."""
    return everything(root) <= {"index.json"}
