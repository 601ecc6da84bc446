"""Own one container: start it, keep its output, record how it ends, and then end too.

Forked by the launcher, never executed. It needs nobody: agent, launcher and swarmd may come
and go. It forks process 1 at once and does as little as it can itself (`runtime.io.process`
says why), so that what a container costs besides its program is below a megabyte.
"""

import contextlib
import errno
import os
import signal
import socket
import traceback
from typing import Final, NoReturn

import msgspec

from runtime import constants as k
from runtime import wire
from runtime.io import host, kernel
from runtime.io.entering import Entrance
from runtime.io.keeper import Keeper, Process
from runtime.io.process import Executing, Fate, Pipes, Surroundings, Upkeep, become
from runtime.io.title import set_title
from runtime.layout import ContainerDir, unclaimed_dir
from runtime.plan import host_steps
from runtime.spec import ContainerSpec
from runtime.steps import own, undo

_MAX_DESCRIPTOR: Final = 65536
_SIGCHLD: Final = int(signal.SIGCHLD)
_FATES: Final[msgspec.json.Decoder[Fate]] = msgspec.json.Decoder(Fate)


def main(link: int, around: Surroundings) -> NoReturn:
    """Be the shim of the container whose spec comes as the first line on `link`."""
    try:
        _leave_launcher(link)
        keeper = _start(link, around)
        if keeper is not None:
            keeper.serve()
    except BaseException:  # top of the process: whoever finds the leftovers will want to know
        with contextlib.suppress(OSError), open(crash_file(around.run_root), "a") as file:
            traceback.print_exc(file=file)
        os._exit(70)
    os._exit(0)


def crash_file(run_root: str) -> str:
    """Where shims that fail unexpectedly say why."""
    return f"{run_root}/shim-crashes.log"


def _leave_launcher(link: int) -> None:
    """Hold on to nothing of whoever started us: a pipe kept open would hang its reader."""
    os.setsid()
    os.closerange(3, link)
    os.closerange(link + 1, _MAX_DESCRIPTOR)
    kernel.reset_signal(_SIGCHLD)


def _start(link: int, around: Surroundings) -> Keeper | None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # bound by process 1
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    fate, report = os.pipe()
    kernel.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        become(link, listener, Pipes(out, err, report), around)
    for descriptor in (out, err, report):
        os.close(descriptor)
    told = [_FATES.decode(line) for line in _read_all(fate).splitlines()]
    os.close(fate)
    match told:
        case [Upkeep() as upkeep, Executing(state=state)]:
            set_title("swarmd-shim", upkeep.container_id, around.run_root, place=around.title)
            directory = ContainerDir(around.run_root, upkeep.container_id)
            process = Process(pid, stdout, stderr, bytes(state))
            entrance = Entrance(directory, around)
            keeper = Keeper(directory, upkeep, process, listener, entrance)
            keeper.adopt(link)
            return keeper
        case _:
            _, status = os.waitpid(pid, 0)
            host.remove_tree(unclaimed_dir(around.run_root, pid))
            _give_up(link, told, os.waitstatus_to_exitcode(status), around)
            return None


def _read_all(descriptor: int) -> bytes:
    told = b""
    while part := os.read(descriptor, 65536):
        told += part
    return told


def _give_up(link: int, told: list[Fate], code: int, around: Surroundings) -> None:
    """Undo what was done, and then say why."""
    if told and isinstance(told[0], Upkeep):
        _undo(ContainerDir(around.run_root, told[0].container_id), around)
    match told:
        case [*_, wire.Refused() as no]:
            pass
        case [] if code == 0:
            return  # the client left before it had said what to run
        case _:
            no = wire.Refused(
                "start", errno.EIO, f"process 1 ended with {code} before its program could run",
                hint="a memory limit that is too low for a start does this",
            )  # fmt: skip
    with contextlib.suppress(OSError):
        os.write(link, wire.encode(no))


def _undo(directory: ContainerDir, around: Surroundings) -> None:
    """Leave nothing of a container that could not be started; its directory goes last."""
    spec = msgspec.json.decode(host.read(directory.spec_file), type=ContainerSpec)
    steps = host_steps(spec, layout=around.layout, directory=directory.path)
    host.revert(undo(own(steps)))
    host.remove_tree(directory.path)
