"""Archives that strangers send, unpacked in this process."""

import io
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.build.io import unpacking
from agent.build.io.rooted import rooted
from agent.build.io.streams import Stream, is_tar
from swarm.errors import Invalid

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

Entry = tuple[str, bytes, str]
PARTS = st.sampled_from(["a", "b", "c", "..", ".", "", "/"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
ENTRIES = st.tuples(
    PATHS,
    st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]),
    PATHS,
)


def archive(*entries: Entry) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as made:
        for name, kind, link in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname, entry.mode = kind, link, 0o755
            entry.size = 1 if kind == tarfile.REGTYPE else 0
            made.addfile(entry, io.BytesIO(b"x") if entry.size else None)
    return raw.getvalue()


def unpack(content: bytes, place: Path) -> int:
    place.mkdir(parents=True)
    with rooted(str(place)) as root:
        return unpacking.unpack(
            Stream(io.BytesIO(content)), root, what="the context", owner=lambda _: (0, 0)
        )


def listed(place: Path) -> list[str]:
    return sorted(
        f"{each.relative_to(place)} {each.lstat().st_mode:o} {each.lstat().st_nlink}"
        for each in place.rglob("*")
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ENTRIES, max_size=8))
def test_law_no_archive_touches_anything_outside(tmp_path: Path, entries: list[Entry]) -> None:
    """Links may climb and be absolute: whatever passes through them stays inside."""
    with_number = tmp_path / str(len(list(tmp_path.iterdir())))
    outside = with_number / "outside"
    (outside / "a/b").mkdir(parents=True)
    (outside / "c").write_text("c")
    before = listed(outside)
    climbing = ("up", tarfile.SYMTYPE, "../outside"), ("abs", tarfile.SYMTYPE, str(outside))
    through = [(f"{link}/{name}", kind, to) for link in ("up", "abs") for name, kind, to in entries]

    for content in (archive(*entries), archive(*climbing, *through)):
        with suppress(Invalid, OSError):
            unpack(content, with_number / f"inside{len(list(with_number.iterdir()))}")

    assert listed(outside) == before


def test_more_files_than_anybody_needs_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "MOST_ENTRIES", 3)
    entries = [(str(number), tarfile.REGTYPE, "") for number in range(4)]

    assert unpack(archive(*entries[:3]), tmp_path / "few") == 3
    with pytest.raises(Invalid, match="the context has more than 3 files"):
        unpack(archive(*entries), tmp_path / "many")


def test_later_entries_replace_earlier_ones(tmp_path: Path) -> None:
    unpack(
        archive(
            ("d", tarfile.REGTYPE, ""), ("d/", tarfile.DIRTYPE, ""), ("d/x", tarfile.REGTYPE, ""),
            ("l", tarfile.SYMTYPE, "d"), ("l/y", tarfile.REGTYPE, ""), ("l", tarfile.REGTYPE, ""),
        ),
        tmp_path / "in",
    )  # fmt: skip

    assert sorted(str(each.relative_to(tmp_path / "in")) for each in (tmp_path / "in").rglob("*")) \
        == ["d", "d/x", "d/y", "l"]  # fmt: skip
    assert (tmp_path / "in/l").is_file()


@given(st.binary(max_size=600))
def test_law_any_bytes_are_a_stream_or_damaged(content: bytes) -> None:
    with suppress(Invalid):
        stream = Stream(io.BytesIO(content))
        is_tar(stream.peek(512))
        stream.drain()


def test_directories_nested_deeper_than_python_calls_itself_are_replaced(tmp_path: Path) -> None:
    deep = "/".join(["d"] * 1500)
    content = archive((deep, tarfile.DIRTYPE, ""), ("d", tarfile.REGTYPE, ""))

    assert unpack(content, tmp_path / "deep") == 2

    assert (tmp_path / "deep/d").read_bytes() == b"x"


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_is_not_read_that_no_archive_needs(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("header")
    entry.type, entry.size = kind, 1 << 40

    with pytest.raises(Invalid, match="has a header of 1099511627776 bytes"):
        unpack(entry.tobuf(tarfile.GNU_FORMAT), tmp_path / "huge")


def test_headers_without_end_are_an_error(tmp_path: Path) -> None:
    entry = tarfile.TarInfo("header")
    entry.type = tarfile.XGLTYPE

    with pytest.raises(Invalid, match="too many headers in a row"):
        unpack(entry.tobuf(tarfile.USTAR_FORMAT) * 3000, tmp_path / "many")
