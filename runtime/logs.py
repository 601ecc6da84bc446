"""Decide how output becomes log lines, and which file a line goes to.

One JSON object a line, with the members `log`, `stream` and `time`, as tools for Docker's
json-file expect. A line longer than 16 KiB becomes several objects, of which only the last
ends in a newline; that is also how output without a final newline looks. Pieces are cut
between characters, not within.
"""

import datetime
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec import Struct

PIECE_BYTES: Final = 16 * 1024
_CONTINUATION, _CONTINUATION_MASK = 0x80, 0xC0
_BEGIN: Final = b'{"log":"'


class LogLine(Struct, frozen=True):
    """A piece of output; `text` ends in a newline unless the piece is a partial line."""

    time: float
    stream: str
    text: str


class _Record(Struct, frozen=True):
    log: str
    stream: str
    time: str


_RECORDS: Final = msgspec.json.Decoder(_Record)


def frame(buffered: bytes) -> tuple[list[bytes], bytes]:
    """Cut output into pieces, and return what may still grow."""
    lines = buffered.split(b"\n")
    rest = lines.pop()
    pieces: list[bytes] = []
    for line in lines:
        pieces += _cut(line + b"\n")
    *full, rest = _cut(rest)
    return pieces + full, rest


def _cut(line: bytes) -> list[bytes]:
    """Pieces of at most PIECE_BYTES; the last one may be empty only if `line` is."""
    pieces: list[bytes] = []
    while len(line) > PIECE_BYTES:
        end = PIECE_BYTES
        while end > PIECE_BYTES - 4 and line[end] & _CONTINUATION_MASK == _CONTINUATION:
            end -= 1
        pieces.append(line[:end])
        line = line[end:]
    return [*pieces, line]


def encode(piece: bytes, stream: str, time_ns: int) -> bytes:
    """One log record as a line. Bytes that are not UTF-8 are replaced."""
    text = piece.decode("utf-8", "replace")
    return msgspec.json.encode(_Record(text, stream, timestamp(time_ns))) + b"\n"


def encode_lines(lines: bytes, stream: str, time_ns: int) -> bytes:
    """The records of whole lines, none longer than a piece: the same as one by one, in one go.

    Each string of the encoded list ends in an escaped newline. So a quote, a comma and a quote in
    a row are where one ends and the next begins, and nowhere else.
    """
    texts = [f"{text}\n" for text in lines.decode("utf-8", "replace").split("\n")[:-1]]
    end = f'","stream":"{stream}","time":"{timestamp(time_ns)}"}}\n'.encode()
    inner = msgspec.json.encode(texts)[len(b'["') : -len(b'"]')]
    return _BEGIN + inner.replace(b'","', end + _BEGIN) + end


def are_short(lines: bytes) -> bool:
    """Whether no line is longer than a piece; the last one has ended."""
    begin = 0
    while begin < len(lines):
        end = lines.rfind(b"\n", begin, begin + PIECE_BYTES)
        if end < 0:
            return False
        begin = end + 1
    return True


def timestamp(time_ns: int) -> str:
    """RFC 3339 in UTC with nanoseconds."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def decode(line: bytes) -> LogLine | None:
    """Read a record. One that was cut off by a crash or a full disk is skipped."""
    try:
        record = _RECORDS.decode(line)
        return LogLine(_seconds(record.time), record.stream, record.log)
    except (msgspec.DecodeError, ValueError):
        return None


def _seconds(text: str) -> float:
    whole, _, rest = text.removesuffix("Z").partition(".")
    moment = datetime.datetime.fromisoformat(f"{whole}+00:00")
    return moment.timestamp() + float(f"0.{rest or 0}")


def must_rotate(size_bytes: int, incoming_bytes: int, max_bytes: int) -> bool:
    """Whether a write of `incoming_bytes` belongs into a fresh file."""
    return 0 < max_bytes < size_bytes + incoming_bytes and size_bytes > 0


def rotation(path: str, max_files: int) -> tuple[tuple[str, str], ...]:
    """The renames that make room for a fresh `path`, in order; the oldest file is replaced."""
    names = (path, *older(path, max_files))
    return tuple((names[i], names[i + 1]) for i in reversed(range(len(names) - 1)))


def older(path: str, max_files: int) -> tuple[str, ...]:
    """The rotated files, the youngest first."""
    return tuple(f"{path}.{number}" for number in range(1, max_files))


def last(lines: Iterable[bytes], count: int) -> Iterator[bytes]:
    """Of records that are given newest first, those of the last `count` lines of output.

    Pieces of one long line count once, so a line is never shown by half.
    """
    wanted = count
    for line in lines:
        record = decode(line)
        if record is not None and record.text.endswith("\n"):
            if wanted == 0:
                return
            wanted -= 1
        elif wanted == count:
            wanted = max(count - 1, 0)  # the newest line has not ended yet
            if count == 0:
                return
        yield line
