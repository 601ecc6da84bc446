"""Start, watch and stop the parts of this node.

A child is watched through its pidfd, so no thread and no signal handler is needed. Parts
other than the launcher ask the kernel to end them when swarmd dies; the launcher must not,
since it is what brings swarmd back.
"""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from swarmd.io.children import write_children
from swarmd.parts import Part
from swarmd.supervision import Life, Supervision


class Supervisor:
    """Keeps the wanted parts running; stops them in reverse order."""

    def __init__(self, log: structlog.stdlib.BoundLogger, *, record: Path) -> None:
        self._log = log
        self._record = record
        self._parts: dict[str, Part] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._gone: dict[str, asyncio.Event] = {}
        self._supervision = Supervision()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def lives(self) -> dict[str, Life]:
        """What runs, since when, and how often it had to be started again."""
        return self._supervision.lives

    def want(self, part: Part) -> None:
        """Have `part` run; starts it before returning."""
        self._parts[part.name] = part
        self._supervision.want(part.name, now=time.monotonic())
        self._start_due()

    async def stop(self, name: str, *, by: signal.Signals = signal.SIGTERM) -> None:
        """Have `name` run no more: signal `by`, and SIGKILL when its grace is over."""
        self._supervision.forget(name)
        part, child = self._parts.pop(name, None), self._children.get(name)
        if part is None or child is None:
            return
        child.send_signal(by)
        gone = self._gone[name]
        try:
            await asyncio.wait_for(gone.wait(), part.stop_grace_s)
        except TimeoutError:
            self._log.warning("part.killed", name=name, pid=child.pid)
            child.kill()
            await gone.wait()

    async def stop_all(self) -> None:
        """Stop every part, the last one started first."""
        for name in reversed(list(self._parts)):
            await self.stop(name)

    def _start_due(self) -> None:
        for name in self._supervision.due(now=time.monotonic()):
            self._start(self._parts[name])
        self._arm()

    def _start(self, part: Part) -> None:
        with open(part.log_file or os.devnull, "ab") as log:
            child = subprocess.Popen(
                part.argv,
                env=part.env,
                stdin=subprocess.DEVNULL,
                stdout=log if part.log_file else None,
                stderr=log if part.log_file else None,
                pass_fds=part.descriptors,
            )
        self._children[part.name] = child
        self._gone[part.name] = asyncio.Event()
        self._supervision.started(part.name, child.pid, now=time.monotonic())
        # One that is being stopped is no part any more, and still has to end before its successor.
        ends = (name for name in self._children if not _outlives_us(self._parts.get(name)))
        write_children(self._record, [self._children[name].pid for name in ends])
        _watch(child.pid, lambda: self._exited(part.name, child))
        self._log.info("part.started", name=part.name, pid=child.pid)

    def _exited(self, name: str, child: subprocess.Popen[bytes]) -> None:
        code = child.wait()
        if self._children.get(name) is child:
            del self._children[name]
        self._gone[name].set()
        if name in self._parts:
            self._log.warning("part.exited", name=name, pid=child.pid, exit_code=code)
            self._supervision.exited(name, now=time.monotonic())
            self._start_due()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self._supervision.next_deadline()
        if deadline is not None:
            delay = max(0.0, deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(delay, self._start_due)


def _outlives_us(part: Part | None) -> bool:
    return part is not None and part.outlives_us


def _watch(pid: int, exited: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    descriptor = os.pidfd_open(pid)

    def fire() -> None:
        loop.remove_reader(descriptor)
        os.close(descriptor)
        exited()

    loop.add_reader(descriptor, fire)
