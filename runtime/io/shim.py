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
from runtime.io.process import Executing, Fate, Forked, Passing, Pipes, Surroundings, Upkeep, become
from runtime.io.title import set_title
from runtime.layout import ContainerDir, unclaimed_dir
from runtime.spec import ContainerSpec
from runtime.steps import own, undo
from runtime.translation import container_steps

_MAX_DESCRIPTOR: Final = 65536
_SIGCHLD: Final = int(signal.SIGCHLD)
_FATES: Final[msgspec.json.Decoder[Fate]] = msgspec.json.Decoder(Fate)


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
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)  # bound by process 1
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    fate, report = socket.socketpair()
    if not mapped:
        kernel.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        become(link, listener, Pipes(out, err, report.detach()), around)
    os.close(out)
    os.close(err)
    report.close()
    told, passed = _hear(fate)
    fate.close()
    match told:
        case [Upkeep() as upkeep, *between, Executing(state=state)]:
            set_title("swarmd-shim", upkeep.container_id, around.run_root, place=around.title)
            directory = ContainerDir(around.run_root, upkeep.container_id)
            streams = _streams(between, passed, stdout, stderr)
            process = Process(_first(pid, between), *streams[:2], bytes(state), streams[2])
            entrance = Entrance(directory, around)
            keeper = Keeper(directory, upkeep, process, listener, entrance)
            keeper.adopt(link)
            return keeper
        case _:
            status = _reap(pid, told)
            host.remove_tree(unclaimed_dir(around.run_root, pid))
            _give_up(link, told, os.waitstatus_to_exitcode(status), around)
            return None


def _hear(fate: socket.socket) -> tuple[list[Fate], list[int]]:
    """All that is said, and the descriptors that came along."""
    told, passed = b"", list[int]()
    while True:
        part, descriptors, _, _ = socket.recv_fds(fate, 65536, 1)
        passed += descriptors
        if not part:
            return [_FATES.decode(line) for line in told.splitlines()], passed
        told += part


def _streams(told: list[Fate], passed: list[int], stdout: int, stderr: int) -> tuple[int, int, int]:
    """Our ends of the container's standard output, error and input, -1 for none."""
    stdin = -1
    for message in told:
        if isinstance(message, Passing):
            stdin = passed.pop(0)
            if message.is_terminal:
                os.close(stdout)
                os.close(stderr)
                stdout, stderr = stdin, -1
    return stdout, stderr, stdin


def _first(pid: int, told: list[Fate]) -> int:
    """Process 1, where the container's own pid namespace is: our children are born there."""
    for message in told:
        if isinstance(message, Forked):
            os.waitpid(pid, 0)
            namespace = os.open(f"/proc/{message.pid}/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
            kernel.setns(namespace, k.CLONE_NEWPID)
            os.close(namespace)
            return message.pid
    return pid


def _reap(pid: int, told: list[Fate]) -> int:
    """Wait for the last one that was to become the program: how it ended."""
    _, status = os.waitpid(pid, 0)
    for message in told:
        if isinstance(message, Forked):
            _, status = os.waitpid(message.pid, 0)
    return status


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
    steps = container_steps(spec, layout=around.layout, directory=directory.path)
    host.revert(undo(own(steps)))
    host.remove_tree(directory.path)
