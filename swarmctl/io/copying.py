"""Copy between this host and a container, as tars that neither side trusts."""

import io
import os
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec.structs import replace

from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Invalid, Missing, Refused
from swarmctl.containers.copying import Landing, Place, landing, renamed
from swarmctl.io.building import content, is_socket
from swarmctl.io.session import Session

if TYPE_CHECKING:
    from typing_extensions import Buffer

_CHUNK_BYTES = 1 << 18
_GO_DIRECTORY, _GO_LINK = 1 << 31, 1 << 27


def copy(session: Session, source: Place, target: Place, *, archive: bool, follow: bool) -> None:
    """Copy; `archive` keeps owners, `follow` copies what a link at the source leads to."""
    if bool(source.container) == bool(target.container):
        raise Invalid("one of the two paths has to be of a container", hint="write CONTAINER:PATH")
    if source.container:
        _from_container(session, source, target, follow=follow)
    else:
        _to_container(session, source, target, archive=archive, follow=follow)


def _from_container(session: Session, source: Place, target: Place, *, follow: bool) -> None:
    stat = session.containers.stat(source.container, source.path)
    if follow and stat.mode & _GO_LINK and stat.link_target:
        source = replace(source, path=stat.link_target)
        stat = session.containers.stat(source.container, source.path)
    chunks = session.containers.read_archive(source.container, source.path)
    if target.is_stream:
        for chunk in chunks:
            sys.stdout.buffer.write(chunk)
        return
    local = Path(target.path)
    lands = landing(
        source,
        is_directory=bool(stat.mode & _GO_DIRECTORY),
        target=target,
        exists=os.path.lexists(local),
        target_is_directory=local.is_dir(),
    )
    if not Path(lands.directory).is_dir():
        raise Missing(f"no such directory: {lands.directory}", hint="make it first")
    _unpack(chunks, lands)


def _unpack(chunks: Iterable[bytes], lands: Landing) -> None:
    """Unpack what a container gave; nothing of it gets out of its place."""
    stream = io.BufferedReader(_Stream(chunks), _CHUNK_BYTES)
    with tarfile.open(fileobj=stream, mode="r|") as tar:
        tar.errorlevel = 1

        def entries() -> Iterator[tarfile.TarInfo]:
            for entry in tar:
                name = renamed(entry.name, lands.name)
                if name:
                    link = renamed(entry.linkname, lands.name) if entry.islnk() else entry.linkname
                    yield entry.replace(name=name, linkname=link, deep=False)

        try:
            for entry in entries():
                tar.extract(entry, lands.directory, filter="tar")
        except tarfile.FilterError as err:
            raise Refused(f"the container's files lead out of their place: {err}") from err


def _to_container(
    session: Session, source: Place, target: Place, *, archive: bool, follow: bool
) -> None:
    stat = _stat(session, target)
    first = pb.WriteArchiveRequest(container=target.container, copy_uid_gid=archive)
    if source.is_stream:
        if stat is None or not stat.mode & _GO_DIRECTORY:
            raise Refused(
                f"{target.path} is not a directory of the container",
                hint="a tar is unpacked in a directory that exists",
            )
        first.path = target.path
        session.containers.write_archive(first, _read(sys.stdin.buffer))
        return
    local = Path(source.path)
    if not os.path.lexists(local):
        raise Missing(f"{source.path}: no such file or directory", hint="look at the path")
    local = local.resolve() if follow else local
    lands = landing(
        source,
        is_directory=local.is_dir() and (follow or not local.is_symlink()),
        target=target,
        exists=stat is not None,
        target_is_directory=stat is not None and bool(stat.mode & _GO_DIRECTORY),
    )
    first.path, first.no_overwrite_dir_non_dir = lands.directory, True
    session.containers.write_archive(first, _packed(local, lands.name))


def _stat(session: Session, place: Place) -> pb.PathStat | None:
    """What is there, where links lead; nothing if nothing is."""
    try:
        stat = session.containers.stat(place.container, place.path)
        if stat.mode & _GO_LINK and stat.link_target:
            stat = session.containers.stat(place.container, stat.link_target)
    except Missing:
        if session.containers.has(place.container):
            return None
        raise
    return stat


def _packed(local: Path, name: str) -> Iterator[bytes]:
    """A tar of a file or directory under another name, piece by piece."""
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
        for path, inside in _walk(local, name):
            entry = tar.gettarinfo(path, inside)
            yield entry.tobuf(tarfile.PAX_FORMAT)
            if entry.isreg():
                yield from content(path, entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(local: Path, name: str) -> Iterator[tuple[Path, str]]:
    if name and not is_socket(local):
        yield local, name
    if local.is_dir() and not (name and local.is_symlink()):
        for child in sorted(local.iterdir()):
            yield from _walk(child, f"{name}/{child.name}" if name else child.name)


def _read(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_BYTES):
        yield chunk


class _Stream(io.RawIOBase):
    """Chunks as they come, as a file."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is for reading only."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """Fill as much of `buffer` as one chunk can."""
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        into = memoryview(buffer).cast("B")
        count = min(len(into), len(self._rest))
        into[:count], self._rest = self._rest[:count], self._rest[count:]
        return count
