"""Live and die with the process that started us.

The kernel sends SIGTERM when the parent dies (PR_SET_PDEATHSIG, prctl(2)), but only if it
dies after we asked. A process whose parent was faster belongs to init by now and ends itself;
unless init is the parent, as in a container that holds nothing but a swarm's node.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1


def live_with_parent() -> None:
    """Call this first thing in `main`, before anything slow is imported."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() == 1 and "swarmd" not in _command_line(1):
        sys.exit(0)


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return ""
