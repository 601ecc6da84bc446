"""Output reaches its log whole, rotates, and can be followed."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.io.logfile import LogFile
from runtime.io.logs import read_logs
from runtime.spec import Log
from tests.kernel.machine import Machine, exit_of

pytestmark = pytest.mark.kernel


def test_both_streams_are_told_apart_and_dated(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "echo out; echo err >&2; printf unfinished")
            exited = await machine.finish(runtime, spec)

            assert machine.output(spec.id, "stdout") == "out\nunfinished"
            assert machine.output(spec.id, "stderr") == "err\n"
            lines = [line async for line in read_logs(spec.log.path)]
            assert all(exited.finished_at - 60 < line.time <= exited.finished_at for line in lines)
            record = json.loads(machine.log(spec.id).read_text().splitlines()[0])
            assert set(record) == {"log", "stream", "time"}
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_output_that_nobody_wants_is_not_written(machine: Machine) -> None:
    exited, output = machine.run("echo", "out", log=Log(path=str(machine.log("none")), max_files=0))

    assert (exited.exit_code, output) == (0, "")
    assert not machine.log("none").exists()


def test_everything_written_just_before_the_end_is_kept(machine: Machine) -> None:
    _, output = machine.run("sh", "-c", "yes 0123456789abcdef | dd bs=4096 count=100 2>/dev/null")

    assert len(output) == 409600


def test_logs_rotate_and_followers_miss_nothing(machine: Machine) -> None:
    count = 3000

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec(
                "awk", f"BEGIN {{ for (i = 0; i < {count}; i++) print i }}",
                log=Log(path=str(machine.log("r")), max_bytes=40_000, max_files=20),
            )  # fmt: skip
            stop = asyncio.Event()

            async def follow() -> list[str]:
                lines = read_logs(spec.log.path, follow=True, stop=stop)
                return [line.text async for line in lines]

            following = asyncio.create_task(follow())
            await asyncio.sleep(0)
            await runtime.run(spec)
            await exit_of(runtime)
            stop.set()
            seen = await asyncio.wait_for(following, 20)

            assert seen == [f"{number}\n" for number in range(count)]
            sizes = [path.stat().st_size for path in Path(spec.log.path).parent.iterdir()]
            assert len(sizes) > 3
            assert max(sizes) <= 40_000
            await runtime.delete(spec.id)
            assert not Path(spec.log.path).parent.exists()

    asyncio.run(story())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk], check=True)
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_disk_under_the_log_does_not_hold_the_container_up(
    machine: Machine, small_disk: Path
) -> None:
    log = Log(path=str(small_disk / "log"), max_bytes=0)

    script = f"yes {'0123456789' * 20} | dd bs=65536 count=40 2>/dev/null"
    exited, _ = machine.run("sh", "-c", script, log=log)

    assert exited.exit_code == 0


def test_lines_that_a_full_disk_swallowed_are_counted_in_the_log(small_disk: Path) -> None:
    """A log that lies by omission would send someone looking in the wrong place.

    1. The disk fills up; half a batch is never left in the file.
    2. Room is made; the next line is written behind a line that tells the loss.
    """
    log = LogFile(Log(path=str(small_disk / "log")))
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 200_000)
    for number in range(100):
        log.feed("stdout", f"{number} {'y' * 2000}\n".encode(), now_ns=number)
    ballast.unlink()
    log.feed("stdout", b"after\n", now_ns=1000)
    log.close(now_ns=1000)

    records = [json.loads(line) for line in (small_disk / "log").read_text().splitlines()]
    kept = [record["log"].split()[0] for record in records[:-2]]
    assert kept == [str(number) for number in range(len(kept))]
    lost = 100 - len(kept)
    assert lost > 0
    assert records[-2]["log"] == f"[swarmd: {lost} lines lost: no space left on device]\n"
    assert records[-1]["log"] == "after\n"
