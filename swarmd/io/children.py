"""Have one generation of parts end before the next one starts.

The kernel tells the parts of a swarmd that crashed to end, and they take a moment: etcd still
holds its data, the manager its port. Whoever starts meanwhile would fail, and whoever asks
would get an answer from a manager that is about to go. So swarmd writes down its children,
and the next one waits for their end. A process id alone may be someone else's by then; with
its start time it is not.
"""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct

GRACE_S = 5.0


class Child(Struct, frozen=True):
    """A process: its id, and when it started (ticks since boot, proc_pid_stat(5))."""

    pid: int
    started: int


def write_children(path: Path, pids: list[int]) -> None:
    """Write down who is to end with us. The run root does not outlive a boot, nor need this."""
    children = [Child(pid, started) for pid in pids if (started := _started(pid)) is not None]
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(msgspec.json.encode(children))
    temporary.replace(path)


async def wait_gone(path: Path, *, grace_s: float = GRACE_S) -> None:
    """Wait until every child in the list has ended; kill those that take too long."""
    try:
        children = msgspec.json.decode(path.read_bytes(), type=list[Child])
    except (FileNotFoundError, msgspec.DecodeError):
        return
    await asyncio.gather(*(_end(child, grace_s) for child in children))


async def _end(child: Child, grace_s: float) -> None:
    try:
        descriptor = os.pidfd_open(child.pid)
    except ProcessLookupError:
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)
    try:
        if _started(child.pid) != child.started:
            return
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        try:
            await asyncio.wait_for(gone.wait(), grace_s)
        except TimeoutError:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _started(pid: int) -> int | None:
    try:
        # The name in parentheses may hold anything, so fields are counted after the last one.
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, IndexError):
        return None
