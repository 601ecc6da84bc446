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
import sys
import traceback
from _socket import socketpair  # without the objects around it, which shims need not carry
from typing import Final, NoReturn

import msgspec

from runtime import constants as k
from runtime import wire
from runtime.io import host, kernel
from runtime.io import process as p
from runtime.io.entering import Entrance
from runtime.io.keeper import Keeper, Process, Upkeep
from runtime.io.process import Pipes, Surroundings, become
from runtime.io.title import set_title_through_proc
from runtime.layout import ContainerDir, unclaimed_dir
from runtime.spec import ContainerSpec
from runtime.steps import own, undo
from runtime.translation import container_steps

_MAX_DESCRIPTOR: Final = 65536
_SIGCHLD: Final = int(signal.SIGCHLD)
_UNIX, _STREAM = int(socket.AF_UNIX), int(socket.SOCK_STREAM)
_TOLD_BYTES: Final = 65536
_ONE_DESCRIPTOR: Final = socket.CMSG_SPACE(4)


def main(link: int, around: Surroundings, *, mapped: bool) -> NoReturn:
    """Be the shim of the container whose spec comes as the first line on `link`.

    `mapped` says whether it has a user namespace.
    """
    try:
        _leave_launcher(link)
        keeper = _start(link, around, mapped=mapped)
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


def _start(link: int, around: Surroundings, *, mapped: bool) -> Keeper | None:
    """Fork process 1, and hear from it until its program runs.

    With a user namespace of its own a container's pid namespace has to belong to that, so
    then what we fork is not process 1 yet, and tells who is.
    """
    listener = socket.SocketType(_UNIX, _STREAM)  # bound by process 1
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    fate, report = socketpair(_UNIX, _STREAM)
    if not mapped:
        kernel.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        become(link, listener, Pipes(out, err, report.detach()), around)
    os.close(out)
    os.close(err)
    report.close()
    told, passed = _hear(fate)
    if p.EXECUTING not in told or p.REFUSED in told:
        status = _reap(pid, told)
        host.remove_tree(unclaimed_dir(around.run_root, pid))
        _give_up(link, told, os.waitstatus_to_exitcode(status), around)
        return None
    fate.close()
    container_id = told[p.CLAIMED].decode()
    set_title_through_proc("swarmd-shim", container_id, around.run_root, place=around.title)
    directory = ContainerDir(around.run_root, container_id)
    process = _process(_first(pid, told), told, passed, stdout, stderr)
    upkeep = Upkeep(told[p.LOG], told[p.BURIAL], told.get(p.HEALTH, b""), told.get(p.GROUP, b""))
    keeper = Keeper(directory, upkeep, process, listener, Entrance(directory, around))
    keeper.adopt(link)
    return keeper


def _hear(fate: socket.SocketType) -> tuple[dict[bytes, bytes], int]:
    """All that is said, by its first byte, and the descriptor that came along, or -1."""
    told, passed = b"", -1
    while True:
        part, ancillary, _, _ = fate.recvmsg(_TOLD_BYTES, _ONE_DESCRIPTOR)
        for _, _, raw in ancillary:
            passed = int.from_bytes(raw[:4], sys.byteorder)
        if not part:
            return {line[:1]: line[1:] for line in told.split(b"\n")}, passed
        told += part


def _process(pid: int, told: dict[bytes, bytes], passed: int, stdout: int, stderr: int) -> Process:
    """Process 1, and our ends of its streams."""
    if p.TERMINAL in told:
        os.close(stdout)
        os.close(stderr)
        stdout, stderr = passed, -1
    return Process(pid, stdout, stderr, told[p.EXECUTING], passed)


def _first(pid: int, told: dict[bytes, bytes]) -> int:
    """Process 1, where the container's own pid namespace is: our children are born there."""
    if p.FORKED not in told:
        return pid
    os.waitpid(pid, 0)
    first = int(told[p.FORKED])
    namespace = os.open(f"/proc/{first}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    kernel.setns(namespace, k.CLONE_NEWPID)
    os.close(namespace)
    return first


def _reap(pid: int, told: dict[bytes, bytes]) -> int:
    """Wait for the last one that was to become the program: how it ended."""
    _, status = os.waitpid(pid, 0)
    if p.FORKED in told:
        _, status = os.waitpid(int(told[p.FORKED]), 0)
    return status


def _give_up(link: int, told: dict[bytes, bytes], code: int, around: Surroundings) -> None:
    """Undo what was done, and then say why."""
    if p.CLAIMED in told:
        _undo(ContainerDir(around.run_root, told[p.CLAIMED].decode()), around)
    elif p.REFUSED not in told and code == 0:
        return  # the client left before it had said what to run
    no = wire.encode(
        wire.Refused(
            "start", errno.EIO, f"process 1 ended with {code} before its program could run",
            hint="a memory limit that is too low for a start does this",
        )
    )  # fmt: skip
    with contextlib.suppress(OSError):
        os.write(link, told[p.REFUSED] + b"\n" if p.REFUSED in told else no)


def _undo(directory: ContainerDir, around: Surroundings) -> None:
    """Leave nothing of a container that could not be started; its directory goes last."""
    spec = msgspec.json.decode(host.read(directory.spec_file), type=ContainerSpec)
    steps = container_steps(spec, layout=around.layout, directory=directory.path)
    host.revert(undo(own(steps)))
    host.remove_tree(directory.path)
