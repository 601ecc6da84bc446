import asyncio
import os
import pty
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from agent.io.streams import CHUNK_BYTES, Reader, write_all


@contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that does not block."""
    ends = os.pipe()
    for each in ends:
        os.set_blocking(each, False)
    try:
        yield ends
    finally:
        for each in ends:
            with suppress(OSError):
                os.close(each)


async def collected(reader: Reader) -> bytes:
    return b"".join([each async for each in reader.chunks()])


def test_a_reader_gives_everything_until_the_writer_closes() -> None:
    async def story() -> None:
        data = os.urandom(10 * CHUNK_BYTES + 17)
        with pipe() as (reading, writing):
            found = asyncio.ensure_future(collected(Reader(reading)))

            assert await write_all(lambda: writing, data)
            os.close(writing)

            assert await asyncio.wait_for(found, 30) == data

    asyncio.run(story())


def test_a_finished_reader_does_not_wait_for_whoever_holds_the_other_end() -> None:
    async def story() -> None:
        with pipe() as (reading, writing):
            reader = Reader(reading)
            found = asyncio.ensure_future(collected(reader))
            os.write(writing, b"last words")
            reader.finish()

            assert await asyncio.wait_for(found, 30) == b"last words"

    asyncio.run(story())


def test_a_finished_reader_of_a_silent_pipe_ends_while_it_waits() -> None:
    async def story() -> None:
        with pipe() as (reading, _):
            reader = Reader(reading)
            found = asyncio.ensure_future(collected(reader))
            await asyncio.sleep(0)
            reader.finish()

            assert await asyncio.wait_for(found, 30) == b""

    asyncio.run(story())


def test_a_writer_that_never_stops_does_not_keep_a_finished_reader() -> None:
    async def story() -> None:
        with pipe() as (reading, writing):
            reader = Reader(reading)
            reader.finish()

            async def flood() -> None:
                while True:
                    with suppress(BlockingIOError):
                        os.write(writing, bytes(CHUNK_BYTES))
                    await asyncio.sleep(0)

            flooding = asyncio.ensure_future(flood())
            async with asyncio.timeout(30):
                total = 0
                async for each in reader.chunks():
                    total += len(each)
                    await asyncio.sleep(0)
            flooding.cancel()

            assert total < 2 << 20

    asyncio.run(story())


def test_nothing_is_read_ahead_of_whoever_takes_it() -> None:
    """The pipe fills up, and the writer stops, as it would at home."""

    async def story() -> None:
        with pipe() as (reading, writing):
            chunks = Reader(reading).chunks()
            os.write(writing, b"x")
            assert await anext(chunks) == b"x"

            written = 0
            with suppress(BlockingIOError):
                while True:
                    written += os.write(writing, bytes(CHUNK_BYTES))
            await asyncio.sleep(0.05)

            with suppress(BlockingIOError):
                written += os.write(writing, b"y")
                raise AssertionError("somebody has read ahead")
            assert written == 1 << 16
            await chunks.aclose()

    asyncio.run(story())


def test_a_terminal_whose_program_is_gone_is_read_to_its_end() -> None:
    async def story() -> None:
        master, slave = pty.openpty()
        try:
            tty.setraw(slave)
            os.set_blocking(master, False)
            os.write(slave, b"bye")
            os.close(slave)

            assert await asyncio.wait_for(collected(Reader(master)), 30) == b"bye"
        finally:
            os.close(master)

    asyncio.run(story())


def test_writing_waits_for_the_reader() -> None:
    async def story() -> None:
        data = os.urandom(1 << 20)
        with pipe() as (reading, writing):
            sending = asyncio.ensure_future(write_all(lambda: writing, data))
            await asyncio.sleep(0)
            found = b""
            while len(found) < len(data):
                with suppress(BlockingIOError):
                    found += os.read(reading, CHUNK_BYTES)
                await asyncio.sleep(0)

            assert await sending
            assert found == data

    asyncio.run(story())


def test_writing_to_whom_nobody_listens_is_given_up() -> None:
    async def story() -> None:
        with pipe() as (reading, writing):
            os.close(reading)

            assert not await write_all(lambda: writing, b"x")
            assert not await write_all(lambda: -1, b"x")

    asyncio.run(story())
