"""Undo the compression of a layer, in bounded pieces, and notice when its end is missing.

The first bytes decide, never the media type: archives announce none and registries announce
wrong ones. A stream that stops in mid-frame is `Invalid`; the decoders' own readers would
call it the end.
"""

import zlib
from collections.abc import Iterator
from typing import Protocol

from swarm.errors import Invalid

GZIP, ZSTD, PLAIN = "gzip", "zstd", ""
_PIECE_BYTES = 4096  # bounds what one call can inflate to: a piece of zstd may mean megabytes
_MAGIC = {
    b"\x1f\x8b": GZIP,
    b"\x28\xb5\x2f\xfd": ZSTD,
}
_FOREIGN = {
    b"\xfd7zXZ\0": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x04\x22\x4d\x18": "lz4",
}
MAGIC_BYTES = 6


class _Frame(Protocol):
    """One member of gzip or one frame of zstd."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def compression_of(head: bytes) -> str:
    """How a stream that starts with `head` is compressed; `Invalid` when we cannot read it."""
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise Invalid(
                f"the archive is compressed with {name}", hint="compress it with gzip or zstd"
            )
    for magic, name in _MAGIC.items():
        if head.startswith(magic):
            return name
    return PLAIN


class Decompressor:
    """Turns compressed bytes into plain ones; concatenated frames are one stream."""

    def __init__(self, compression: str) -> None:
        self._compression = compression
        self._frame: _Frame | None = None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The plain bytes that `data` completes, piece by piece."""
        if self._compression == PLAIN:
            yield data
            return
        for start in range(0, len(data), _PIECE_BYTES):
            yield from self._feed(data[start : start + _PIECE_BYTES])

    def finish(self) -> None:
        """Say that no more comes; `Invalid` when more had to."""
        if self._frame is not None:
            raise Invalid(
                f"the archive ends in the middle of its {self._compression} stream",
                hint="it was cut short: copy or create it again",
            )

    def _feed(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._frame is None:
                if not data.strip(b"\0"):
                    return  # padding between or after members
                self._frame = _frame(self._compression)
            try:
                plain = self._frame.decompress(data)
            except _errors(self._compression) as err:
                raise Invalid(
                    f"the archive's {self._compression} stream is damaged: {err}"
                ) from err
            if plain:
                yield plain
            data = self._frame.unused_data
            if not self._frame.eof:
                return
            self._frame = None


def _frame(compression: str) -> _Frame:
    if compression == GZIP:
        return zlib.decompressobj(wbits=31)
    import zstandard

    return zstandard.ZstdDecompressor().decompressobj()


def _errors(compression: str) -> tuple[type[Exception], ...]:
    if compression == GZIP:
        return (zlib.error,)
    import zstandard

    return (zstandard.ZstdError,)
