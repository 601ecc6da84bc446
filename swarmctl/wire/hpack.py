"""Write and read HTTP/2 header blocks (RFC 7541).

We write every header as a literal that enters no table: a command makes one or two calls, so
compression would cost more than it saves. We read whatever a server may send, Huffman codes
included, but announce a dynamic table of size zero, so that there is no table to keep.
"""

from collections.abc import Iterable
from functools import cache

from swarm.errors import Unavailable

Header = tuple[str, bytes]

# RFC 7541 appendix A: values where an index stands for a name and a value, then names.
_NAMES = (
    "accept-language accept-ranges accept access-control-allow-origin age allow "
    "authorization cache-control content-disposition content-encoding content-language "
    "content-length content-location content-range content-type cookie date etag expect "
    "expires from host if-match if-modified-since if-none-match if-range "
    "if-unmodified-since last-modified link location max-forwards proxy-authenticate "
    "proxy-authorization range referer refresh retry-after server set-cookie "
    "strict-transport-security transfer-encoding user-agent vary via www-authenticate"
)
_STATIC: tuple[Header, ...] = (
    (":authority", b""),
    (":method", b"GET"),
    (":method", b"POST"),
    (":path", b"/"),
    (":path", b"/index.html"),
    (":scheme", b"http"),
    (":scheme", b"https"),
    *((":status", code) for code in (b"200", b"204", b"206", b"304", b"400", b"404", b"500")),
    ("accept-charset", b""),
    ("accept-encoding", b"gzip, deflate"),
    *((name, b"") for name in _NAMES.split()),
)

# RFC 7541 appendix B: the code of each byte, and last of the end of string. The code is
# canonical, so the lengths are enough: A is 5 bits, B is 6, and so on.
_LENGTHS = (
    "ISXXXXXXXTZXXZXXXXXXXXZXXXXXXXXXBFFHIBDGFFDGDBBBAAABBBBBBBCDKBHF"
    "IBCCCCCCCCCCCCCCCCCCCCCCDCDIOIJBKABABABBBACCBBBABCBAABCCCCCKGJIX"
    "PRPPRRRSRSSSSSTSTTRSTSSSSQRSRSSTRQPRRSSQSRRTQRSSQQRQSRSSPRRRSRRS"
    "VVPORSRUVVVWWVTUOQVWWVWTQQVVXWWWPTPQRQQSRRUUTTVSVWVVWWWWWXWWWWWVZ"
)


def encode(headers: Iterable[Header]) -> bytes:
    """A header block of literals without indexing."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name.encode(), value):
            block += _integer(len(text), bits=7)
            block += text
    return bytes(block)


def decode(block: bytes) -> list[Header]:
    """The headers in `block`; `Unavailable` when it is malformed."""
    headers: list[Header] = []
    try:
        at = 0
        while at < len(block):
            at = _decode_one(block, at, headers)
    except IndexError as err:
        raise Unavailable("the daemon sent a malformed header block") from err
    return headers


def _decode_one(block: bytes, at: int, headers: list[Header]) -> int:
    first = block[at]
    if first & 0x80:
        index, at = _read_integer(block, at, bits=7)
        headers.append(_static(index))
        return at
    if first & 0xE0 == 0x20:
        _, at = _read_integer(block, at, bits=5)
        return at
    index, at = _read_integer(block, at, bits=6 if first & 0x40 else 4)
    if index:
        name = _static(index)[0]
    else:
        raw, at = _read_text(block, at)
        name = raw.decode("ascii", "replace")
    value, at = _read_text(block, at)
    headers.append((name, value))
    return at


def _static(index: int) -> Header:
    if not 0 < index <= len(_STATIC):
        raise IndexError(index)
    return _STATIC[index - 1]


def _integer(number: int, *, bits: int) -> bytes:
    full = (1 << bits) - 1
    if number < full:
        return bytes([number])
    encoded = bytearray([full])
    number -= full
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _read_integer(block: bytes, at: int, *, bits: int) -> tuple[int, int]:
    full = (1 << bits) - 1
    number, at = block[at] & full, at + 1
    if number < full:
        return number, at
    for shift in range(0, 35, 7):
        octet, at = block[at], at + 1
        number += (octet & 0x7F) << shift
        if not octet & 0x80:
            return number, at
    raise IndexError(at)


def _read_text(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = bool(block[at] & 0x80)
    length, at = _read_integer(block, at, bits=7)
    text = block[at : at + length]
    if len(text) != length:
        raise IndexError(at)
    return (_huffman(text) if is_huffman else text), at + length


def _huffman(data: bytes) -> bytes:
    codes, text = _codes(), bytearray()
    code = length = 0
    for octet in data:
        for bit in range(7, -1, -1):
            code, length = code << 1 | octet >> bit & 1, length + 1
            symbol = codes.get((length, code))
            if symbol is not None:
                text.append(symbol)
                code = length = 0
    if length > 7 or code != (1 << length) - 1:
        raise IndexError(length)
    return bytes(text)


@cache
def _codes() -> dict[tuple[int, int], int]:
    codes: dict[tuple[int, int], int] = {}
    code = width = 0
    for length, symbol in sorted((ord(c) - ord("A") + 5, n) for n, c in enumerate(_LENGTHS)):
        code, width = code << (length - width), length
        if symbol < 256:
            codes[length, code] = symbol
        code += 1
    return codes
