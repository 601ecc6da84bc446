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
_PASSED_BYTES: Final = socket.CMSG_SPACE(4 * wire.MOST_VIEWERS)


def main(orders: int, around: Surroundings, *, apart: bool) -> NoReturn:
    """Be the shim of the container whose spec comes as the first line on a link to a client.

    The link comes over the socket `orders`; if that is closed before, nobody needs us.

    `apart` says that its pid namespace is another's, or has to belong to a user namespace.
    """
    try:
        _leave_launcher(orders, around)
        keeper = _start(orders, around, apart=apart)
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


def _leave_launcher(orders: int, around: Surroundings) -> None:
    """Hold on to nothing of whoever started us: a pipe kept open would hang its reader."""
    os.setsid()
    os.closerange(3, orders)
    os.closerange(orders + 1, _MAX_DESCRIPTOR)
    kernel.reset_signal(_SIGCHLD)
    set_title_through_proc("swarmd-spare", around.run_root, place=around.title)


def _start(orders: int, around: Surroundings, *, apart: bool) -> Keeper | None:
    """Fork process 1, and hear from it until its program runs.

    Where process 1 has to be forked once more, to be in another's pid namespace or in one that
    belongs to its user namespace, what we fork is not process 1 yet, and tells who is.
    """
    listener = socket.SocketType(_UNIX, _STREAM)  # bound by process 1
    stdout, out = os.pipe()
    stderr, err = os.pipe()
    fate, report = socketpair(_UNIX, _STREAM)
    if not apart:
        kernel.unshare(k.CLONE_NEWPID)
    pid = os.fork()
    if pid == 0:
        fate.close()  # or it would not notice our death
        become(orders, listener, Pipes(out, err, report.detach()), around)
    for descriptor in (orders, out, err):
        os.close(descriptor)
    report.close()
    heard = _Heard(fate)
    keeper = None
    if heard.executing():  # or so it says: the kernel works on that while we get ready
        directory = ContainerDir(around.run_root, heard.told[p.CLAIMED].decode())
        set_title_through_proc(
            "swarmd-shim", directory.container_id, around.run_root, place=around.title
        )
        process = _process(_first(pid, heard.told), heard, stdout, stderr)
        keeper = Keeper(
            directory, _upkeep(heard.told), process, listener, Entrance(directory, around)
        )
    link = heard.passed.get(p.LINK, (-1,))[0]
    if heard.refusal():
        status = _reap(pid, heard.told)
        host.remove_tree(unclaimed_dir(around.run_root, pid))
        _give_up(link, heard.told, os.waitstatus_to_exitcode(status), around)
        return None
    assert keeper is not None
    fate.close()
    keeper.begin(link, heard.passed.get(p.VIEWERS, ()))
    return keeper


class _Heard:
    """What process 1 has said, by its first byte, and what came along with it, likewise."""

    def __init__(self, fate: socket.SocketType) -> None:
        self.told: dict[bytes, bytes] = {}
        self.passed: dict[bytes, tuple[int, ...]] = {}
        self._fate = fate
        self._rest = b""

    def executing(self) -> bool:
        """Listen until it is about to run its program; False if it never will be."""
        while p.EXECUTING not in self.told and self._hear():
            pass
        return p.EXECUTING in self.told

    def refusal(self) -> bool:
        """Listen to the end; whether there is no program."""
        while self._hear():
            pass
        return p.EXECUTING not in self.told or p.REFUSED in self.told

    def _hear(self) -> bool:
        """Listen for a while; whether it was not the end."""
        part, ancillary, _, _ = self._fate.recvmsg(_TOLD_BYTES, _PASSED_BYTES)
        *lines, self._rest = (self._rest + part).split(b"\n")
        for line in lines:
            self.told[line[:1]] = line[1:]
        for _, _, raw in ancillary:  # with the last line: the kernel reads no further in one go
            self.passed[lines[-1][:1]] = tuple(
                int.from_bytes(raw[at : at + 4], sys.byteorder)
                for at in range(0, len(raw) - len(raw) % 4, 4)
            )
        return bool(part)


def _upkeep(told: dict[bytes, bytes]) -> Upkeep:
    return Upkeep(told[p.LOG], told[p.BURIAL], told.get(p.HEALTH, b""), told.get(p.GROUP, b""))


def _process(pid: int, heard: _Heard, stdout: int, stderr: int) -> Process:
    """Process 1, and our ends of its streams."""
    stdin = heard.passed.get(p.INPUT, (-1,))[0]
    if p.TERMINAL in heard.passed:
        os.close(stdout)
        os.close(stderr)
        stdin = stdout = heard.passed[p.TERMINAL][0]
        stderr = -1
    return Process(pid, stdout, stderr, heard.told[p.EXECUTING], stdin)


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
