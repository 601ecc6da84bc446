"""Compressed streams come out as they went in, or are refused; never cut short in silence."""

import gzip
import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from agent.images.compression import GZIP, PLAIN, ZSTD, Decompressor, compression_of
from swarm.errors import Invalid

contents = st.binary(max_size=20_000)
sizes = st.integers(1, 5000)


def compress(compression: str, content: bytes) -> bytes:
    if compression == GZIP:
        return gzip.compress(content)
    if compression == ZSTD:
        return zstandard.ZstdCompressor().compress(content)
    return content


def decompress(compression: str, data: bytes, size: int) -> bytes:
    machine = Decompressor(compression)
    pieces = [
        piece
        for start in range(0, len(data), size)
        for piece in machine.feed(data[start : start + size])
    ]
    machine.finish()
    return b"".join(pieces)


kinds = st.sampled_from([PLAIN, GZIP, ZSTD])


@given(kinds, contents, sizes)
def test_law_what_was_compressed_comes_back(kind: str, content: bytes, size: int) -> None:
    assert decompress(kind, compress(kind, content), size) == content


@given(st.sampled_from([GZIP, ZSTD]), contents, contents, sizes)
def test_law_concatenated_frames_are_one_stream(
    kind: str, first: bytes, second: bytes, size: int
) -> None:
    data = compress(kind, first) + compress(kind, second) + bytes(512)

    assert decompress(kind, data, size) == first + second


@given(st.sampled_from([GZIP, ZSTD]), contents, st.data())
def test_law_a_stream_that_is_cut_short_is_refused(
    kind: str, content: bytes, data: st.DataObject
) -> None:
    whole = compress(kind, content)
    cut = whole[: data.draw(st.integers(1, len(whole) - 1))]

    with pytest.raises(Invalid, match="ends in the middle"):
        decompress(kind, cut, 1000)


@pytest.mark.parametrize("kind", [GZIP, ZSTD])
def test_a_damaged_stream_is_refused(kind: str) -> None:
    whole = bytearray(compress(kind, b"content " * 1000))
    whole[len(whole) // 2 :] = b"\xff" * (len(whole) - len(whole) // 2)

    with pytest.raises(Invalid):
        decompress(kind, bytes(whole), 1000)


def test_the_first_bytes_decide() -> None:
    assert compression_of(gzip.compress(b"")) == GZIP
    assert compression_of(zstandard.ZstdCompressor().compress(b"")) == ZSTD
    assert compression_of(b"") == PLAIN
    assert compression_of(zlib.compress(b"x")) == PLAIN


@pytest.mark.parametrize(
    ("head", "name"), [(b"\xfd7zXZ\0", "xz"), (b"BZh91A", "bzip2"), (b"PK\3\4", "zip")]
)
def test_compressions_that_we_cannot_read_are_named(head: bytes, name: str) -> None:
    with pytest.raises(Invalid, match=f"compressed with {name}") as refusal:
        compression_of(head)

    assert refusal.value.hint == "compress it with gzip or zstd"
