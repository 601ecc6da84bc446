"""Start this manager's etcd, know when it serves, and stop it.

etcd itself tells us when it is ready, in the way of sd_notify(3), once its membership went
through raft: from then on it answers, so nothing has to be polled. The socket has no file
that could be left behind; should anyone else send that message, readiness is announced too
early and callers wait at etcd instead of here.
"""

import asyncio
import os
import socket
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path

from swarm.errors import Refused, Unavailable
from swarmd.etcd import EtcdConfig, command, environment, last_words

_TAIL_BYTES = 16_384


class EtcdProcess:
    """One run of an etcd member; make another one to start it again."""

    def __init__(self, config: EtcdConfig, *, log_file: Path) -> None:
        self._config = config
        self._log_file = log_file
        self._log_start = 0
        self._process: Process | None = None
        self._notify: socket.socket | None = None

    @property
    def pid(self) -> int:
        """The process id of etcd itself, not of what guards its start."""
        return self._running.pid

    @property
    def returncode(self) -> int | None:
        """How it ended, once it has; negative for a signal."""
        return self._running.returncode

    async def start(self) -> None:
        """Start etcd; returns before it serves."""
        assert self._process is None, "one run each"
        self._config.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._notify.setblocking(False)
        self._notify.bind("")  # the kernel picks an abstract name, see unix(7)
        address = "@" + self._notify.getsockname()[1:].decode()
        try:
            with self._log_file.open("ab") as log:
                self._log_start = log.tell()
                self._process = await asyncio.create_subprocess_exec(
                    *command(self._config, parent_pid=os.getpid()),
                    env=environment(os.environ, notify_socket=address),
                    stdin=DEVNULL,
                    stdout=log,
                    stderr=log,
                    # An interrupt at the terminal is for swarmd, which stops its parts in order.
                    start_new_session=True,
                )
        except OSError as err:
            self._close_socket()
            raise Refused(
                f"etcd cannot be started: {err}", hint="install etcd-server and util-linux"
            ) from err

    async def wait_ready(self, timeout_s: float = 60.0) -> None:
        """Return once etcd serves; `Unavailable` says what it complained about when it ends."""
        assert self._notify is not None, "start it first"
        ready = asyncio.ensure_future(_told_ready(self._notify))
        gone = asyncio.ensure_future(self._running.wait())
        try:
            await asyncio.wait(
                (ready, gone), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if ready.done():
                return
            what = (
                f"exited with code {gone.result()}"
                if gone.done()
                else f"does not serve after {timeout_s:g} s; it may lack a majority of its members"
            )
            words = last_words(self._said())
            raise Unavailable(
                f"etcd {what}" + (f" ({words})" if words else ""), hint=f"see {self._log_file}"
            )
        finally:
            for waiting in (ready, gone):
                waiting.cancel()
            await asyncio.gather(ready, gone, return_exceptions=True)
            self._close_socket()

    async def wait(self) -> int:
        """Return how it ended, once it has."""
        return await self._running.wait()

    async def stop(self, grace_s: float = 5.0) -> None:
        """Have it end: by SIGTERM, and by SIGKILL when it takes longer than `grace_s`."""
        self._close_socket()
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(grace_s):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    def _said(self) -> bytes:
        with self._log_file.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(self._log_start, size - _TAIL_BYTES))
            return log.read()

    @property
    def _running(self) -> Process:
        assert self._process is not None, "start it first"
        return self._process

    def _close_socket(self) -> None:
        if self._notify is not None:
            self._notify.close()


async def _told_ready(notify: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while b"READY=1" not in (await loop.sock_recv(notify, 4_096)).splitlines():
        pass
