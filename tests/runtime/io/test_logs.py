import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.io.logfile import LogFile
from runtime.io.logs import extent, read_logs, read_until
from runtime.spec import Log

NS = 1_000_000_000


def write(path: Path, *lines: str, max_bytes: int = 400, max_files: int = 4) -> None:
    log = LogFile(Log(path=str(path), max_bytes=max_bytes, max_files=max_files))
    for second, line in enumerate(lines):
        log.feed("stdout", line.encode(), now_ns=second * NS)
    log.close(now_ns=len(lines) * NS)


def read(path: Path, **options: object) -> list[str]:
    async def story() -> list[str]:
        return [line.text async for line in read_logs(path, **options)]  # type: ignore[arg-type]

    return asyncio.run(asyncio.wait_for(story(), 60))


def test_a_log_that_was_never_written_is_empty(tmp_path: Path) -> None:
    assert read(tmp_path / "none" / "log") == []


def test_rotated_files_come_first_and_the_oldest_are_gone(tmp_path: Path) -> None:
    lines = [f"line {number}\n" for number in range(50)]

    write(tmp_path / "log", *lines)

    found = read(tmp_path / "log")
    assert 10 < len(found) < 50
    assert found == lines[-len(found) :]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log", "log.1", "log.2", "log.3"]
    assert all(path.stat().st_size <= 400 for path in tmp_path.iterdir())


def test_a_single_file_starts_anew(tmp_path: Path) -> None:
    write(tmp_path / "log", *[f"line {number}\n" for number in range(50)], max_files=1)

    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert read(tmp_path / "log")[-1] == "line 49\n"


@given(st.lists(st.sampled_from(["a", "b\n", "\n", "c" * 90, "d" * 20_000]), max_size=30))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_law_a_log_is_the_same_whether_lines_come_alone_or_together(
    tmp_path: Path, parts: list[str]
) -> None:
    """What differs is when they came, and so how much fits into a file."""
    directory = Path(tempfile.mkdtemp(dir=tmp_path))
    write(directory / "alone", *parts, max_files=99, max_bytes=9000)
    write(directory / "together", "".join(parts), max_files=99, max_bytes=9000)

    assert "".join(read(directory / "together")) == "".join(read(directory / "alone"))
    for path in directory.iterdir():
        assert path.stat().st_size <= 9000 or len(path.read_text().splitlines()) == 1


def test_a_log_that_is_gone_on_with_rotates_when_it_is_full(tmp_path: Path) -> None:
    write(tmp_path / "log", "a\n", "b\n", "c\n")
    before = (tmp_path / "log").stat().st_size

    write(tmp_path / "log", *["d\n"] * 20, max_bytes=400)

    assert 200 < before <= 400
    assert all(path.stat().st_size <= 400 for path in tmp_path.iterdir())


def test_since_leaves_out_what_is_older(tmp_path: Path) -> None:
    write(tmp_path / "log", "a\n", "b\n", "c\n")

    assert read(tmp_path / "log", since=1.0) == ["b\n", "c\n"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(
    count=st.integers(0, 30),
    tail=st.integers(0, 40),
    width=st.sampled_from([1, 100, 3000, 40_000]),
    max_bytes=st.sampled_from([0, 400, 100_000]),
)
def test_law_a_tail_is_the_end_of_the_whole(
    tmp_path: Path, count: int, tail: int, width: int, max_bytes: int
) -> None:
    path = Path(tempfile.mkdtemp(dir=tmp_path)) / "log"
    write(path, *[f"{number} {'x' * width}\n" for number in range(count)], max_bytes=max_bytes)
    whole = "".join(read(path)).splitlines()

    found = "".join(read(path, tail=tail)).splitlines()

    assert found == (whole[-tail:] if tail else [])


def test_following_sees_lines_as_they_come_and_ends_when_stopped(tmp_path: Path) -> None:
    """The log does not even exist when the follower comes."""
    path = tmp_path / "later" / "log"

    async def story() -> None:
        stop = asyncio.Event()
        lines = read_logs(path, follow=True, stop=stop)
        first = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        log = LogFile(Log(path=str(path), max_bytes=200, max_files=5))
        log.feed("stdout", b"one\n", now_ns=0)
        assert (await first).text == "one\n"

        for number in range(5):
            log.feed("stderr", f"{number}\n".encode(), now_ns=0)
        assert [(await anext(lines)).text for _ in range(5)] == [f"{n}\n" for n in range(5)]

        log.feed("stdout", b"unfinished", now_ns=0)
        log.close(now_ns=0)
        stop.set()
        assert [line.text async for line in lines] == ["unfinished"]

    asyncio.run(asyncio.wait_for(story(), 60))


def test_following_ends_although_nothing_was_ever_written(tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def story() -> list[object]:
        stop.set()
        return [line async for line in read_logs(tmp_path / "x" / "log", follow=True, stop=stop)]

    assert asyncio.run(asyncio.wait_for(story(), 60)) == []


def test_a_follower_that_leaves_closes_what_it_opened(tmp_path: Path) -> None:
    write(tmp_path / "log", "a\n")
    before = len(list(Path("/proc/self/fd").iterdir()))

    async def story() -> None:
        lines = read_logs(tmp_path / "log", follow=True)
        assert (await anext(lines)).text == "a\n"
        await lines.aclose()  # type: ignore[attr-defined]

    asyncio.run(story())

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_log_of_no_files_keeps_nothing(tmp_path: Path) -> None:
    write(tmp_path / "log", "one\n", "two\n", max_files=0)

    assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_found_again_through_rotations(tmp_path: Path) -> None:
    """A log is read up to where it was; meanwhile it has grown, and moved.

    1. Some lines are written, and somebody remembers how far.
    2. More are written, twice as much as a file holds.
    3. What is read is what there was, as far as it is not gone.
    """
    path = tmp_path / "log"
    log = LogFile(Log(path=str(path), max_bytes=400, max_files=9))
    for number in range(12):
        log.feed("stdout", b"line %d\n" % number, now_ns=0)
    inode, size = extent(path)
    assert (inode, size) == log.extent()
    for number in range(12, 24):
        log.feed("stdout", b"line %d\n" % number, now_ns=0)
    log.close(now_ns=0)

    found = [line.text for line in read_until(path, inode, size)]

    assert found == [f"line {number}\n" for number in range(12)]
    assert extent(tmp_path / "none") == (0, 0)
    assert list(read_until(tmp_path / "none", 0, 0)) == []


def test_what_was_rotated_away_is_not_there_any_more(tmp_path: Path) -> None:
    path = tmp_path / "log"
    write(path, "a\n")
    inode, size = extent(path)
    write(path, *[f"line {number}\n" for number in range(50)], max_files=2)

    assert list(read_until(path, inode, size, at=0.0)) == []
