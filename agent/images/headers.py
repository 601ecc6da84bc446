"""Write the headers of a tar, the same bytes for the same entry, whoever writes them.

POSIX ustar with pax records (IEEE 1003.1, `pax`) for what does not fit: long or non-ASCII
names, big numbers, extended attributes. Names are bytes, since a file system knows no
encoding, and go into records as they are: other tools read them so. Times are whole seconds.
"""

from msgspec import Struct

BLOCK_BYTES = 512
END = bytes(2 * BLOCK_BYTES)

FILE, HARDLINK, SYMLINK = b"0", b"1", b"2"
CHARACTER, BLOCK, DIRECTORY, FIFO = b"3", b"4", b"5", b"6"
_EXTENDED = b"x"
_NAME_BYTES, _PREFIX_BYTES = 100, 155
_XATTR = "SCHILY.xattr."


class Header(Struct, frozen=True, kw_only=True):
    """One entry. `name` ends with a slash if it is a directory; `link` is for links."""

    name: bytes
    kind: bytes = FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime: int = 0
    link: bytes = b""
    major: int = 0
    minor: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


def encode(header: Header) -> bytes:
    """The blocks before the entry's content."""
    records: list[tuple[bytes, bytes]] = []
    prefix, name = _split(header.name)
    if name is None:
        records.append((b"path", header.name))
        name = _shortened(header.name)
    link = header.link
    if len(link) > _NAME_BYTES or not link.isascii():
        records.append((b"linkpath", link))
        link = _shortened(link)
    numbers = {
        key: _fitting(records, key, value, digits)
        for key, value, digits in (
            (b"uid", header.uid, 7),
            (b"gid", header.gid, 7),
            (b"size", header.size, 11),
            (b"mtime", header.mtime, 11),
        )
    }
    records += [(f"{_XATTR}{key}".encode(), value) for key, value in header.xattrs]
    block = _block(
        name, prefix, header.kind, link,
        mode=header.mode & 0o7777, uid=numbers[b"uid"], gid=numbers[b"gid"],
        size=numbers[b"size"], mtime=numbers[b"mtime"], major=header.major, minor=header.minor,
    )  # fmt: skip
    return _extended(header, records) + block if records else block


def padding(size: int) -> bytes:
    """What follows content of `size` bytes."""
    return bytes(-size % BLOCK_BYTES)


def _fitting(records: list[tuple[bytes, bytes]], key: bytes, value: int, digits: int) -> int:
    if 0 <= value < 8**digits:
        return value
    records.append((key, b"%d" % value))
    return 0


def _split(name: bytes) -> tuple[bytes, bytes | None]:
    """The two fields that a name fits into; None if it does not."""
    if not name.isascii():
        return b"", None
    if len(name) <= _NAME_BYTES:
        return b"", name
    at = name.rfind(b"/", 0, min(_PREFIX_BYTES + 1, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > _NAME_BYTES:
        return b"", None
    return name[:at], name[at + 1 :]


def _shortened(name: bytes) -> bytes:
    """What readers see that know no records."""
    return bytes(each if each < 128 else ord("_") for each in name[:_NAME_BYTES])


def _extended(header: Header, records: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(_record(key, value) for key, value in records)
    last = _shortened(header.name.rstrip(b"/").rpartition(b"/")[2])
    name = b"PaxHeaders.0/" + last[: _NAME_BYTES - 13]
    block = _block(
        name, b"", _EXTENDED, b"",
        mode=0o644, uid=0, gid=0, size=len(body), mtime=0, major=0, minor=0,
    )  # fmt: skip
    return block + body + padding(len(body))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE\\n`, where the length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %s=%s\n" % (length, key, value)


def _block(
    name: bytes, prefix: bytes, kind: bytes, link: bytes, *,
    mode: int, uid: int, gid: int, size: int, mtime: int, major: int, minor: int,
) -> bytes:  # fmt: skip
    head = b"%s%07o\0%07o\0%07o\0%011o\0%011o\0" % (
        name.ljust(_NAME_BYTES, b"\0"), mode, uid, gid, size, mtime,
    )  # fmt: skip
    tail = b"%s%sustar\x0000%64s%07o\0%07o\0%s" % (
        kind, link.ljust(_NAME_BYTES, b"\0"), bytes(64), major & 0o7777777, minor & 0o7777777,
        prefix.ljust(_PREFIX_BYTES, b"\0"),
    )  # fmt: skip
    checksum = sum(head) + sum(tail) + 8 * ord(" ")
    return b"%s%06o\0 %s%s" % (head, checksum, tail, bytes(12))
