"""Headers of tars read back as they were written, by another reader than ours."""

import io
import tarfile

from hypothesis import given
from hypothesis import strategies as st

from agent.images import headers
from agent.images.headers import Header, encode, padding


def read(*written: Header) -> list[tarfile.TarInfo]:
    raw = b"".join(encode(each) for each in written) + headers.END
    with tarfile.open(fileobj=io.BytesIO(raw), errors="surrogateescape") as packed:
        return packed.getmembers()


names = st.binary(min_size=1, max_size=300).filter(
    lambda name: b"\0" not in name and not name.startswith(b"/") and not name.endswith(b"/")
)
headers_of_files = st.builds(
    Header,
    name=names,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 2**32 - 2),
    gid=st.integers(0, 2**32 - 2),
    mtime=st.integers(0, 2**40),
)


@given(st.lists(headers_of_files, max_size=5))
def test_law_a_header_reads_back_as_it_was_written(written: list[Header]) -> None:
    found = read(*written)

    assert [
        (each.name.encode(errors="surrogateescape"), each.mode, each.uid, each.gid, each.mtime)
        for each in found
    ] == [(each.name, each.mode, each.uid, each.gid, each.mtime) for each in written]


@given(names, st.binary(max_size=100).filter(bool))
def test_law_links_and_attributes_read_back(link: bytes, value: bytes) -> None:
    (found,) = read(
        Header(name=b"x", kind=headers.SYMLINK, link=link, xattrs=(("user.some", value),))
    )

    assert found.linkname.encode(errors="surrogateescape") == link
    told = found.pax_headers["SCHILY.xattr.user.some"]
    assert told.encode(errors="surrogateescape") == value


def test_large_files_and_devices_have_room_for_their_numbers() -> None:
    raw = encode(Header(name=b"big", size=1 << 40))
    found = tarfile.TarInfo.frombuf(raw[-512:], "utf-8", "strict")
    assert found.size == 0
    assert b"size=1099511627776\n" in raw
    (device,) = read(Header(name=b"d", kind=headers.BLOCK, major=259, minor=7))

    assert (device.devmajor, device.devminor) == (259, 7)


def test_plain_names_cost_one_block() -> None:
    assert len(encode(Header(name=b"usr/lib/x86_64-linux-gnu/" + b"n" * 70))) == 512
    assert len(encode(Header(name=b"d" * 140 + b"/" + b"n" * 99))) == 512
    assert len(encode(Header(name="ü".encode()))) == 3 * 512
    assert padding(0) == b""
    assert len(padding(1)) == 511
