"""Start the name service, in a session of its own.

It is nobody's part: it outlives whoever started it, and goes when it is not needed. Of two that
are started at once one gives up by itself.
"""

import asyncio
import contextlib
import os
import sys
from pathlib import Path
from typing import Final

_MODULE: Final = "agent.dns.main"


class Process:
    """The service, started by us. Make it inside a loop, and `close` it in the end."""

    def __init__(self, run_root: Path, resolv_conf: Path) -> None:
        """Start it. Raises `OSError`."""
        options = ("--run-root", str(run_root), "--resolv-conf", str(resolv_conf))
        argv = (sys.executable, "-P", "-m", _MODULE, *options)
        null = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0)
        actions = (null, (os.POSIX_SPAWN_DUP2, 0, 1))
        self.pid = os.posix_spawn(argv[0], argv, os.environ, file_actions=actions, setsid=True)
        self.is_gone = False
        self._loop = asyncio.get_running_loop()
        self._pidfd = os.pidfd_open(self.pid)
        self._loop.add_reader(self._pidfd, self._reap)

    def close(self) -> None:
        """Care for it no more; it goes on."""
        if self._pidfd >= 0:
            self._loop.remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)
        self.is_gone = True
        self.close()
