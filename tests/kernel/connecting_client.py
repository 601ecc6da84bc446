"""Run containers for tests that kill whoever does: a process for each `Order` on its input.

It tells each one's number on its output. They are forked from here because it has no threads,
and because a fork is there sooner than a Python.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from runtime.io.client import Runtime
from runtime.spec import ContainerSpec
from tests.kernel.machine import REPOSITORY, Machine

_FOREVER_S = 9999.0


class Order(Struct, frozen=True, kw_only=True):
    """A container, and how long it takes to connect its network."""

    run_root: str
    socket: str
    spec: ContainerSpec
    takes_s: float = _FOREVER_S


class Clients:
    """The process that clients are forked from, as the test has it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kernel.connecting_client"],
            cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, spec: ContainerSpec, *, takes_s: float = _FOREVER_S) -> Iterator[int]:
        """A client that runs a container, as a pidfd; it is killed and dead at the end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        machine = self._machine
        order = Order(
            run_root=str(machine.run_root), socket=str(machine.socket), spec=spec, takes_s=takes_s
        )
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        pidfd = os.pidfd_open(int(self._process.stdout.readline()))
        try:
            yield pidfd
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            select.select((pidfd,), (), ())
            os.close(pidfd)

    def close(self) -> None:
        """There are no more to come."""
        self._process.communicate()


async def _run(order: Order) -> None:
    runtime = Runtime(run_root=Path(order.run_root), launcher_socket=Path(order.socket))
    await runtime.run(order.spec, lambda _: asyncio.sleep(order.takes_s))
    await asyncio.sleep(_FOREVER_S)


def main() -> None:
    """Fork until the input ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(_run(order))
            finally:
                os._exit(1)
        print(pid, flush=True)


if __name__ == "__main__":
    main()
