"""Read a tar from a stream, plain or compressed with gzip, bzip2, xz or zstd."""

import bz2
import io
import lzma
import os
import tarfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final, Protocol

import zstandard

from agent.images.io.unpack import refuse_long_header
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


class Stream(io.RawIOBase):
    """The plain bytes of `source`, as a file that can only be read on."""

    def __init__(self, source: BinaryIO) -> None:
        super().__init__()
        self._source = source
        self.head = source.read(MAGIC_BYTES)
        self._pieces = self._all()
        self._rest = b""
        self.length = 0

    @property
    def is_compressed(self) -> bool:
        """Whether it has to be unpacked at all."""
        return not isinstance(_frame(self.head), _Plain)

    def read(self, size: int = -1, /) -> bytes:
        """The next piece, of any length; empty at the end."""
        if self._rest:
            found, self._rest = self._rest, b""
        else:
            found = next(self._pieces, b"")
        self.length += len(found)
        return found

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or as many as there are, without taking them."""
        while len(self._rest) < size and (more := next(self._pieces, b"")):
            self._rest += more
        return self._rest[:size]

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
            raise Invalid("the archive ends too early", hint="it was cut short: send it again")
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


class _StrictInfo(tarfile.TarInfo):
    """A header that must be whole: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_StrictInfo":
        try:
            return super().fromtarfile(tarfile)
        except _HEADER_ERROR as err:
            if tarfile.offset == 0 or type(err).__name__ in ("EOFHeaderError", "EmptyHeaderError"):
                raise
            raise Invalid(f"the archive is damaged: {err}", hint="send it again") from err

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictInfo":
        info = super().frombuf(buf, encoding, errors)
        refuse_long_header(info)
        return info


_HEADER_ERROR = tarfile.HeaderError


@contextmanager
def reading(stream: Stream) -> Generator[tarfile.TarFile]:
    """The tar that `stream` is; damage that shows while it is read is `Invalid`."""
    try:
        with tarfile.open(
            fileobj=stream,
            mode="r|",
            bufsize=CHUNK_BYTES,
            tarinfo=_StrictInfo,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as err:
        raise Invalid(f"not a whole tar archive: {err}", hint="send it again") from err
    except RecursionError as err:
        # tarfile reads a header that belongs to the next one by calling itself.
        raise Invalid("the archive has too many headers in a row", hint="send it again") from err


def entries_of(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries, each to be read before the next."""
    while (entry := tar.next()) is not None:
        yield entry
        read: list[tarfile.TarInfo] = vars(tar)["members"]
        read.clear()  # it would remember every entry of the archive
