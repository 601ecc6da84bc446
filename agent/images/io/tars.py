"""Read tars from streams, entry by entry; damage is never taken for the end.

tarfile reads on demand, and copies what is left of its buffer for every header: with a small
one an archive of a hundred thousand files takes half the time.
"""

import io
import tarfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Final

from swarm.errors import Invalid

AGAIN: Final = "create or send it again"
LARGEST_HEADER_BYTES: Final = 1 << 20  # as other readers have it
_BUFFER_BYTES: Final = 16 << 10
_HEADERS: Final = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_HEADER_ERROR: Final = tarfile.HeaderError
_ENDS: Final = ("EOFHeaderError", "EmptyHeaderError")  # what tarfile raises for a proper end


class Pieces(io.RawIOBase):
    """Pieces of bytes, as they come, as a file that can only be read on."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        super().__init__()
        self._pieces = pieces
        self._piece: bytes = b""
        self._at: int = 0

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, `size` at most and fewer at the end of a piece; empty at the end."""
        if self._at == len(self._piece):
            self._piece, self._at = next(self._pieces, b""), 0
        end = len(self._piece) if size < 0 else min(self._at + size, len(self._piece))
        found, self._at = self._piece[self._at : end], end
        return found

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or as many as there are, without taking them."""
        self._piece, self._at = self._piece[self._at :], 0
        while len(self._piece) < size and (more := next(self._pieces, b"")):
            self._piece += more
        return self._piece[:size]


class _StrictInfo(tarfile.TarInfo):
    """A header that must be whole: tarfile takes a damaged one for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> "_StrictInfo":
        try:
            return super().fromtarfile(tarfile)
        except _HEADER_ERROR as err:
            if tarfile.offset == 0 or type(err).__name__ in _ENDS:
                raise
            raise Invalid(f"the archive is damaged: {err}", hint=AGAIN) from err

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictInfo":
        info = super().frombuf(buf, encoding, errors)
        if info.type in _HEADERS and info.size > LARGEST_HEADER_BYTES:  # it is read into memory
            raise Invalid(
                f"the archive has a header of {info.size} bytes; {LARGEST_HEADER_BYTES} is the"
                " most",
                hint="leave out extended attributes or names that are that long",
            )
        return info


@contextmanager
def reading(stream: Pieces) -> Generator[tarfile.TarFile]:
    """The tar that `stream` is; damage that shows while it is read is `Invalid`."""
    try:
        with tarfile.open(
            fileobj=stream,
            mode="r|",
            bufsize=_BUFFER_BYTES,
            tarinfo=_StrictInfo,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            yield tar
    except (tarfile.TarError, EOFError, ValueError, OverflowError) as err:
        raise Invalid(f"not a whole tar archive: {err}", hint=AGAIN) from err
    except RecursionError as err:
        # tarfile reads a header that belongs to the next one by calling itself.
        raise Invalid("the archive has too many headers in a row", hint=AGAIN) from err


def entries_of(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """The entries, each to be read before the next."""
    while (entry := tar.next()) is not None:
        yield entry
        read: list[tarfile.TarInfo] = vars(tar)["members"]
        read.clear()  # it would remember every entry of the archive
