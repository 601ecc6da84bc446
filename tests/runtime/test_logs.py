from hypothesis import given
from hypothesis import strategies as st

from runtime import logs

chunks = st.lists(st.binary(max_size=50) | st.just(b"\n") | st.just("é€😀".encode() * 3000))


def pieces_of(output: list[bytes]) -> list[bytes]:
    found: list[bytes] = []
    rest = b""
    for chunk in output:
        pieces, rest = logs.frame(rest + chunk)
        found += pieces
    return [*found, rest] if rest else found


@given(chunks)
def test_law_framing_loses_and_invents_nothing(output: list[bytes]) -> None:
    assert b"".join(pieces_of(output)) == b"".join(output)


@given(chunks)
def test_law_a_piece_is_one_line_at_most_and_never_too_long(output: list[bytes]) -> None:
    for piece in pieces_of(output):
        assert 0 < len(piece) <= logs.PIECE_BYTES
        assert b"\n" not in piece[:-1]


@given(st.text(min_size=1).map(lambda text: text * 9000))
def test_law_characters_are_never_cut(text: str) -> None:
    for piece in pieces_of([text.encode()]):
        piece.decode()


@given(chunks, chunks)
def test_law_it_does_not_matter_how_output_is_chopped(one: list[bytes], two: list[bytes]) -> None:
    whole = b"".join([*one, *two])
    lines = [piece for piece in pieces_of([whole]) if len(piece) < logs.PIECE_BYTES - 4]

    chopped = pieces_of([*one, *two])

    assert [p for p in chopped if p.endswith(b"\n")] == [
        p for p in pieces_of([whole]) if p.endswith(b"\n")
    ]
    assert all(line in chopped for line in lines)


def test_a_record_is_what_tools_for_dockers_logs_expect() -> None:
    record = logs.encode(b"h\xff\n", "stderr", 1_700_000_000_000_000_123)

    assert record == (
        '{"log":"h\ufffd\\n","stream":"stderr","time":"2023-11-14T22:13:20.000000123Z"}\n'.encode()
    )


@given(st.binary(), st.integers(0, 2**62))
def test_law_records_can_be_read_back(output: bytes, time_ns: int) -> None:
    line = logs.decode(logs.encode(output, "stdout", time_ns).rstrip(b"\n"))

    assert line is not None
    assert line.text == output.decode("utf-8", "replace")
    assert abs(line.time - time_ns / 1e9) < 1e-3


awkward = st.sampled_from(
    [b'"', b",", b"\\", b"n", b"\n", b"\xff", b"\xe2\x82", "€".encode(), b"\r"]
)


@given(st.lists(awkward | st.binary(max_size=9), max_size=40))
def test_law_lines_are_encoded_together_as_they_would_be_alone(parts: list[bytes]) -> None:
    lines = b"".join(parts) + b"\n"
    pieces, rest = logs.frame(lines)

    together = logs.encode_lines(lines, "stdout", 7)

    assert rest == b""
    assert together == b"".join(logs.encode(piece, "stdout", 7) for piece in pieces)


@given(st.lists(st.integers(0, 3 * logs.PIECE_BYTES), min_size=1, max_size=6))
def test_law_lines_are_short_if_each_is_one_piece(lengths: list[int]) -> None:
    lines = b"".join(b"x" * length + b"\n" for length in lengths)

    assert logs.are_short(lines) == (len(logs.frame(lines)[0]) == len(lengths))


def test_a_half_written_record_is_skipped() -> None:
    assert logs.decode(b'{"log":"x","stre') is None
    assert logs.decode(b'{"log":"x","stream":"stdout","time":"yesterday"}') is None


def test_rotation_renames_from_the_oldest_down() -> None:
    assert logs.rotation("/l", 3) == (("/l.1", "/l.2"), ("/l", "/l.1"))
    assert logs.rotation("/l", 1) == ()


def test_a_file_rotates_before_it_would_be_too_large_but_never_when_empty() -> None:
    assert logs.must_rotate(90, 11, 100)
    assert not logs.must_rotate(90, 10, 100)
    assert not logs.must_rotate(0, 500, 100)
    assert not logs.must_rotate(90, 500, 0)


def record(text: str) -> bytes:
    return logs.encode(text.encode(), "stdout", 0)


def test_the_last_lines_count_lines_and_not_pieces() -> None:
    newest_first = [record(x) for x in ("c3\n", "c2", "c1", "b\n", "a\n")]

    assert list(logs.last(newest_first, 0)) == []
    assert list(logs.last(newest_first, 1)) == newest_first[:3]
    assert list(logs.last(newest_first, 2)) == newest_first[:4]
    assert list(logs.last(newest_first, 9)) == newest_first


def test_a_line_that_has_not_ended_counts_as_one() -> None:
    newest_first = [record(x) for x in ("open2", "open1", "b\n", "a\n")]

    assert list(logs.last(newest_first, 1)) == newest_first[:2]
    assert list(logs.last(newest_first, 2)) == newest_first[:3]
