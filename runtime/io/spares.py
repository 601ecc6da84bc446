"""Have a shim ready before anyone asks for one.

A fork of Python is quick, but what it writes to first has to be copied page by page, and that
is most of what a start costs. So the launcher forks ahead: a spare is a shim with a process 1
that has done its copying, and waits for a link to a client (`runtime.io.shim`). It ends when
the launcher does. Where a spare cannot help, or none is left, one is forked for the occasion.
"""

import contextlib
import os
import socket
from typing import Final

from runtime.io import shim
from runtime.io.process import ORDER, Surroundings

KEPT: Final = 2


class Spares:
    """Shims that wait, each by the launcher's end of its socket."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._waiting: list[socket.socket] = []
        self._has_failed = False

    @property
    def are_wanted(self) -> bool:
        """Whether there should be more of them, and can be as far as we know."""
        return not self._has_failed and len(self._waiting) < KEPT

    def add(self) -> None:
        """Fork one more, or leave it until somebody needs a shim."""
        try:
            self._waiting.append(self._fork(apart=False))
        except OSError:
            self._has_failed = True

    def hand_over(self, link: int, *, apart: bool) -> None:
        """Have a shim answer on `link`; raises `OSError` if none can be had.

        `apart` says that the container's pid namespace is not for its shim to make. The spares
        are in one of their own already.
        """
        self._has_failed = False
        while self._waiting and not apart:
            with self._waiting.pop(0) as orders, contextlib.suppress(OSError):  # it was killed
                socket.send_fds(orders, [ORDER], [link])
                return
        with self._fork(apart=apart) as orders:
            socket.send_fds(orders, [ORDER], [link])

    def _fork(self, *, apart: bool) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                if os.fork() == 0:
                    shim.main(theirs.detach(), self._around, apart=apart)
            except OSError:
                ours.close()
                raise
        return ours
