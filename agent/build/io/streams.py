"""Read a tar from a stream, plain or compressed with gzip, bzip2, xz or zstd."""

import bz2
import lzma
import os
import tarfile
import zlib
from collections.abc import Iterator
from typing import BinaryIO, Final, Protocol

import zstandard

from agent.images.io.tars import AGAIN, Pieces
from swarm.errors import Invalid

CHUNK_BYTES: Final = 1 << 18
MAGIC_BYTES: Final = 6
_PIECE_BYTES: Final = 4096  # of what is compressed: it may mean a thousand times as much
_MEMORY_BYTES: Final = 256 << 20


class _Frame(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


class _Plain:
    eof = False
    unused_data = b""

    def decompress(self, data: bytes, /) -> bytes:
        return data


_BAD: Final = (zlib.error, zstandard.ZstdError, lzma.LZMAError, OSError, EOFError, ValueError)


def _frame(head: bytes) -> _Frame:
    if head.startswith(b"\x1f\x8b"):
        return zlib.decompressobj(wbits=31)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor()
    if head.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor(memlimit=_MEMORY_BYTES)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor(max_window_size=_MEMORY_BYTES).decompressobj()
    return _Plain()


class Stream(Pieces):
    """The plain bytes of `source`, as a file that can only be read on."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.head = source.read(MAGIC_BYTES)
        super().__init__(self._all())

    @property
    def is_compressed(self) -> bool:
        """Whether it has to be unpacked at all."""
        return not isinstance(_frame(self.head), _Plain)

    def drain(self) -> None:
        """Read to the end: whoever writes should not be cut off."""
        while self.read():
            pass

    def _all(self) -> Iterator[bytes]:
        data, frame, total = self.head, _frame(self.head), 0
        step = CHUNK_BYTES if isinstance(frame, _Plain) else _PIECE_BYTES
        while data:
            for start in range(0, len(data), step):
                piece = data[start : start + step]
                while piece:
                    if frame.eof:
                        if not piece.strip(b"\0"):
                            break
                        frame = _frame(self.head)
                    try:
                        plain, piece = frame.decompress(piece), frame.unused_data
                    except _BAD as err:
                        raise Invalid(f"the archive is damaged: {err}") from err
                    if plain:
                        total += len(plain)
                        yield plain
                    if not frame.eof:
                        break
            data = self._source.read(CHUNK_BYTES)
        if not frame.eof and not isinstance(frame, _Plain):
            raise Invalid("the archive ends too early", hint=f"it was cut short: {AGAIN}")
        if missing := -total % tarfile.BLOCKSIZE:
            yield bytes(missing)


def is_tar(head: bytes) -> bool:
    """Whether a first block of a stream is a header of a tar, or its end."""
    if len(head) < tarfile.BLOCKSIZE:
        return False
    if not head.strip(b"\0"):
        return True
    try:
        tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


def is_archive(descriptor: int) -> bool:
    """Whether a file is a tar, compressed or not."""
    with open(os.dup(descriptor), "rb") as file:
        try:
            return is_tar(Stream(file).peek(tarfile.BLOCKSIZE))
        except Invalid:
            return False
        finally:
            os.lseek(descriptor, 0, os.SEEK_SET)
