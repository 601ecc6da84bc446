"""Run the name service of one node.

The agent starts it and speaks to it through `RUN_ROOT/dns.sock`. It outlives the agent, and goes
when it has neither an agent nor a container left. There is one for each run root: it holds a
lock, and a second one waits for a moment, in case the first is about to leave, and gives up.
Why it died, if ever, is in `RUN_ROOT/dns.log`.

usage: python -m agent.dns.main --run-root DIR [--resolv-conf FILE]
"""

# What is loaded here is what the process weighs. Plain strings: the paths are the runtime's.
# ruff: noqa: E402, PTH108, PTH118

import contextlib
import fcntl
import gc
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from runtime.light import load_msgspec

load_msgspec()

from agent.dns.io.control import Control
from agent.dns.io.polling import Events
from agent.dns.io.service import Service
from agent.dns.link import SOCKET
from runtime.io import sockets
from runtime.io.title import arguments, set_title_through_proc

TITLE: Final = "swarmd-dns"
LOCK: Final = "dns.lock"
LOG: Final = "dns.log"
_LARGEST_LOG: Final = 1 << 16
_WAIT_S: Final = 5.0
_RETRY_S: Final = 0.01
_LINGER_S: Final = 10.0
_BACKLOG: Final = 16


def main() -> None:
    """Parse the command line and serve."""
    run_root, resolv_conf = _parse(sys.argv[1:])
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # a terminal's are for others
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(PermissionError):
        os.setsid()
    _raise_limit()
    lock = _lock(os.path.join(run_root, LOCK))
    if lock is None:
        return
    path = os.path.join(run_root, SOCKET)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    sockets.bind(listener, path, _BACKLOG)
    _keep_errors(os.path.join(run_root, LOG))
    set_title_through_proc(TITLE, run_root, place=arguments())
    os.chdir("/")
    gc.collect()
    gc.freeze()
    _serve(listener, resolv_conf)
    os.unlink(path)


def _serve(listener: socket.socket, resolv_conf: str) -> None:
    """Go on until another takes over, or nobody is there for a while."""
    events = Events()
    service = Service(events, Path(resolv_conf))
    control = Control(listener, events, service)
    leave_at = time.monotonic() + _LINGER_S
    while not control.is_over and time.monotonic() < leave_at:
        events.turn(service.timeout_s())
        service.tick()
        if service.containers or not control.is_alone:
            leave_at = time.monotonic() + _LINGER_S


def _lock(path: str) -> int | None:
    """The lock's descriptor, which is held as long as we live; None if another keeps it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return None
            time.sleep(_RETRY_S)
        else:
            return descriptor


def _keep_errors(path: str) -> None:
    """Write to a file of our own why we die, and hold nothing open that is the agent's."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    if os.fstat(descriptor).st_size > _LARGEST_LOG:
        os.ftruncate(descriptor, 0)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _raise_limit() -> None:
    """Two sockets for each container: take as many descriptors as we may."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _parse(argv: list[str]) -> tuple[str, str]:
    """The options, without a parser that would weigh as much as all of us."""
    given = dict(zip(argv[::2], argv[1::2], strict=False))
    run_root = given.pop("--run-root", "")
    resolv_conf = given.pop("--resolv-conf", "/etc/resolv.conf")
    if given or not run_root or len(argv) % 2:
        sys.exit(f"usage: {TITLE} --run-root DIR [--resolv-conf FILE]")
    return run_root, resolv_conf


if __name__ == "__main__":
    main()
