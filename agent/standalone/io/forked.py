"""Fork processes for errands: `python -P -m agent.standalone.io.forked PARENT`.

An interpreter takes a tenth of a second to start and to load what an errand needs. This process has
done that once, and every errand is a fork of it. Requests come over the socket that is standard
input, one message each, with the sockets that are to be the errand's standard streams; it is told
who was forked, and later how that ended. Whoever is forked dies with this process, and this one
with the agent, or once nobody has asked it for anything for a while.
"""

import ctypes
import gc
import os
import select
import signal
import socket
import sys
from typing import Final, NoReturn

import msgspec

from agent.standalone.forks import Asked, Began, Ended
from agent.standalone.io import errand, layering
from runtime.constants import PR_SET_PDEATHSIG

_IDLE_MS: Final = 60_000
_MESSAGE_BYTES: Final = 1 << 16
_MOST_FILES: Final = 65_536
_PROGRAMS: Final = {
    "errand": errand.run,
    "compare": layering.compare,
    "collect": layering.collect,
}


def die_with(parent: int) -> None:
    """End when our parent does; at once if it has ended."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def serve(link: socket.socket) -> None:
    """Fork whoever is asked for, until nobody asks any more."""
    running: dict[int, tuple[int, int]] = {}  # descriptor -> the caller's number, process id
    poll = select.poll()
    poll.register(link, select.POLLIN)
    while True:
        ready = poll.poll(None if running else _IDLE_MS)
        if not ready:
            return
        for descriptor, _ in ready:
            if descriptor in running:
                poll.unregister(descriptor)
                number, pid = running.pop(descriptor)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                os.close(descriptor)
                link.send(msgspec.json.encode(Ended(number, status)))
                continue
            said, streams, _, _ = socket.recv_fds(link, _MESSAGE_BYTES, 3)
            if not said:
                return
            asked = msgspec.json.decode(said, type=Asked)
            pid = _fork(asked.program, streams)
            pidfd = os.pidfd_open(pid)
            running[pidfd] = asked.number, pid
            poll.register(pidfd, select.POLLIN)
            socket.send_fds(link, [msgspec.json.encode(Began(asked.number))], [pidfd])
            for each in streams:
                os.close(each)


def _fork(program: str, streams: list[int]) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become(program, streams, parent)
    return pid


def _become(program: str, streams: list[int], parent: int) -> NoReturn:
    status = 1
    try:
        die_with(parent)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, _MOST_FILES)
        status = _PROGRAMS[program]()
    except BaseException as bug:
        os.write(2, f"{bug!r}\n".encode(errors="replace"))
    finally:
        os._exit(status)


def main() -> None:
    """Serve the agent, whose process id is our argument."""
    die_with(int(sys.argv[1]))
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=os.dup(0)) as link:
        serve(link)


if __name__ == "__main__":
    main()
