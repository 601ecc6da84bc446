"""Start workers and understand their answers."""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from pathlib import Path

import msgspec

import agent
from agent.images.answers import Answer, Blob, Collecting, Mark, Staged
from agent.images.io.disk import refusal
from swarm.errors import Invalid, KernelRefused, Unavailable

_ROOT = str(Path(agent.__file__).parents[1])
_ANSWER_LIMIT_BYTES = 64 << 20
_PIPE_BYTES = 1 << 20


async def unpack(source: Path, target: Path, *, expected: str) -> Mark:
    """Unpack the layer `source` into the existing directory `target`, `fs` and mark."""
    process = await _start("unpack", str(source), str(target), expected)
    answer = await _finish(process, "unpack layer", target)
    assert answer.mark is not None
    return answer.mark


async def stage(chunks: AsyncIterator[bytes], target: Path) -> Staged:
    """Spread an archive that arrives in `chunks` over files in the existing directory `target`."""
    process = await _start("stage", str(target))
    try:
        await _feed(process, chunks)
    except BaseException:
        await _kill(process)
        raise
    answer = await _finish(process, "store archive", target)
    assert answer.staged is not None
    return answer.staged


async def collect(asked: Collecting, target: Path) -> Mark:
    """Make a layer of a directory in the existing directory `target`, `fs` and mark."""
    process = await _start("collect", str(target))
    answer = await _finish(process, "make layer", target, msgspec.json.encode(asked))
    assert answer.mark is not None
    return answer.mark


async def compress(source: Path, target: Path) -> Blob:
    """Write the layer `source`, a blob or an unpacked tree, as gzip to the new file `target`."""
    process = await _start("compress", str(source), str(target))
    answer = await _finish(process, "compress layer", target)
    assert answer.blob is not None
    return answer.blob


async def pack(tree: Path, expected: str) -> AsyncGenerator[bytes]:
    """The layer that is unpacked at `tree`; `Invalid` at its end if it is not `expected`."""
    process = await _start("pack", str(tree))
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        while chunk := await process.stdout.read(_PIPE_BYTES):
            yield chunk
        blob = _understood(await process.stderr.read(), b"", process, "pack layer", tree).blob
        assert blob is not None
        if blob.digest != expected:
            raise Invalid(
                f"layer is corrupted: expected {expected}, actual {blob.digest}",
                hint=f"somebody changed {tree}: remove the image and make it again",
            )
    finally:
        await _kill(process)


async def _start(*arguments: str) -> asyncio.subprocess.Process:
    environment = {**os.environ, "PYTHONPATH": _ROOT}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent.images.io.worker",
        str(os.getpid()),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=environment,
        limit=_ANSWER_LIMIT_BYTES,
    )


async def _feed(process: asyncio.subprocess.Process, chunks: AsyncIterator[bytes]) -> None:
    """Write `chunks` to the worker; one that gave up early has its answer ready instead."""
    stdin = process.stdin
    assert stdin is not None
    stdin.transport.set_write_buffer_limits(high=_PIPE_BYTES)
    async for chunk in chunks:
        try:
            stdin.write(chunk)
            await stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            break
    stdin.close()


async def _finish(
    process: asyncio.subprocess.Process, step: str, path: Path, said: bytes | None = None
) -> Answer:
    try:
        output, errors = await process.communicate(said)
    except BaseException:
        await _kill(process)
        raise
    return _understood(output, errors, process, step, path)


def _understood(
    output: bytes, errors: bytes, process: asyncio.subprocess.Process, step: str, path: Path
) -> Answer:
    try:
        answer = msgspec.json.decode(output, type=Answer)
    except msgspec.MsgspecError as err:
        said = errors.decode(errors="replace").strip().rpartition("\n")[2][:300]
        raise Unavailable(
            f"{step}: its process ended with status {process.returncode}: {said or 'no word'}",
            hint="try again; out of memory looks like this too",
        ) from err
    if failed := answer.failed:
        if failed.errno:
            raise _refused(step, path, failed.errno, failed.message)
        raise Invalid(failed.message, hint=failed.hint)
    return answer


def _refused(step: str, path: Path, errno: int, message: str) -> KernelRefused:
    general = refusal(step, path, errno)
    return KernelRefused(step, errno, f"{general.message}: {message}", hint=general.hint)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """End a worker whose answer nobody wants; its rubble is the caller's to sweep."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await asyncio.shield(asyncio.ensure_future(process.communicate()))
