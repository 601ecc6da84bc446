"""Become the container's process 1: from the spec on a socket to the exec of its program.

All work is done here, planning and the steps of the host too: what this process touches is
gone with its exec, while every page that the shim touched would stay for as long as the
container runs. The shim is told how far it came over a socket that closes on exec, line by
line; if `EXECUTING` is the last of them, the program runs.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH102, PTH104, PTH115

import contextlib
import errno
import os
import signal
import socket
import sys
import time
from functools import partial
from typing import Final, NoReturn

import msgspec
from msgspec import Struct

from runtime import constants as k
from runtime.allotting import to_resources
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.io import host, kernel, sockets
from runtime.io.inside.ahead import fit, make_ahead
from runtime.io.inside.applying import Inside, carry_out
from runtime.io.inside.held import Ahead
from runtime.io.planning import plan_container
from runtime.layout import SOCKET_NAME, SPEC_NAME, ContainerDir, unclaimed_dir
from runtime.outcome import ContainerState
from runtime.plan import Plan
from runtime.spec import ContainerSpec, File, Log, Mount, Overlay
from runtime.steps import RemoveCgroup
from runtime.translation import group_path
from runtime.wire import MOST_VIEWERS, Claimed, Offered, Refused, encode
from swarm.errors import KernelRefused

_SPEC_TIMEOUT_S: Final = 10.0
_SPEC_BYTES: Final = 1 << 18
_BACKLOG: Final = 16
_ONE_DESCRIPTOR: Final = socket.CMSG_SPACE(4)
_VIEWERS_BYTES: Final = socket.CMSG_SPACE(4 * MOST_VIEWERS)
ORDER: Final = b"."  # of the launcher: a descriptor comes along, the link to a client
_CHANGED: Final = (int(signal.SIGCHLD), int(signal.SIGINT))  # by Python and the launcher
_SIGKILL: Final = int(signal.SIGKILL)


class Surroundings(Struct, frozen=True, kw_only=True):
    """What the launcher found out once, for all containers."""

    run_root: str
    layout: Layout
    last_capability: int
    title: tuple[int, int]
    default_filter: bytes = b""


class Burial(Struct, frozen=True, kw_only=True):
    """What the shim needs when the program has ended, and not before.

    `procs_file` lists processes that may outlive it, for they are not alone in their pid
    namespace, and `kill_file` kills them at once, where that is possible.
    """

    oom_file: str
    groups: tuple[RemoveCgroup, ...]
    procs_file: str = ""
    kill_file: str = ""


# What process 1 tells the shim: one line each, of which the first byte says what follows. What
# is JSON is decoded when it is needed; a shim that decodes more weighs more.
LINK: Final = b"o"  # a descriptor comes along: the link to the client that wants this
VIEWERS: Final = b"v"  # descriptors come along: connections of who wants to be attached
CLAIMED: Final = b"c"  # the id: the container's directory is ours
LOG: Final = b"l"  # a `Log`
HEALTH: Final = b"h"  # a `Health`, and
GROUP: Final = b"g"  # the path of the groups, if there is one
BURIAL: Final = b"b"  # a `Burial`
FORKED: Final = b"f"  # a pid: process 1 is this one, and no longer the one that reported first
TERMINAL: Final = b"t"  # a descriptor comes along: the terminal's master
INPUT: Final = b"i"  # a descriptor comes along: the end to write input to
EXECUTING: Final = b"x"  # a `ContainerState`: what follows is the program, or
REFUSED: Final = b"r"  # a `Refused` as a line for the client


class Pipes(Struct, frozen=True):
    """The writing ends: the container's output, and a socket to report to the shim on."""

    stdout: int
    stderr: int
    report: int


_SPECS: Final = msgspec.json.Decoder(ContainerSpec)


class _Oversight:
    """How the shim learns how far its container has come (`runtime.io.inside.held.Overseer`)."""

    preserved = 0
    has_gate = False

    def __init__(self, report: int, title: tuple[int, int], state: ContainerState) -> None:
        self.title = title
        self._report = report
        self._state = state

    def continued(self) -> None:
        """It tells its number: /proc is still the host's."""
        _die_with_parent()
        self._state = _identify(self._state.container_id)
        _say(self._report, FORKED, b"%d" % self._state.pid)

    def created(self) -> None:
        """There is nobody to wait for."""

    def terminal(self, master: int) -> None:
        """The shim keeps it."""
        _pass(self._report, TERMINAL, master)

    def ready(self) -> None:
        """There is no gate."""

    def executing(self) -> None:
        """The last word, unless the exec fails."""
        kernel.prctl(k.PR_SET_PDEATHSIG, 0)
        state = msgspec.structs.replace(self._state, started_at=time.time())
        _say(self._report, EXECUTING, msgspec.json.encode(state))


def become(
    orders: int, listener: socket.SocketType, pipes: Pipes, around: Surroundings
) -> NoReturn:
    """Be a container, or say why not and leave it to the shim to undo what was done."""
    try:
        _prepare(pipes)
        identity = _identify("")  # while nobody waits for it
        ahead = Ahead() if sockets.is_readable(orders) else make_ahead(rehearse(around).container)
        link = _receive_link(orders)
        _pass(pipes.report, LINK, link.fileno())
        raw, viewers = _receive_spec(link)
        if viewers:
            _pass(pipes.report, VIEWERS, *viewers)
            for viewer in viewers:
                os.close(viewer)
        spec = _decode(raw)
        state = msgspec.structs.replace(identity, container_id=spec.id)
        directory = ContainerDir(around.run_root, spec.id)
        _claim(unclaimed_dir(around.run_root, state.pid), directory.path, raw, listener)
        os.write(pipes.report, _upkeep(spec, around.layout))
        with contextlib.suppress(OSError):  # a client that has left learns it from the directory
            link.sendall(encode(Claimed()))
        plan = _plan(spec, directory.path, around)
        if spec.open_stdin and not spec.tty:
            _open_stdin(pipes.report)
        oversight = _Oversight(pipes.report, around.title, state)
        fitting = fit(ahead, (*plan.first, *plan.container))
        no = carry_out(plan, Inside(oversight, fitting, partial(_offer, link)))
    except KernelRefused as failure:
        no = failure
    except BaseException as bug:  # nobody above us: unsaid, it would look like a kill
        no = KernelRefused("start", errno.EIO, f"bug: {bug!r}")
    refused = Refused(no.step, no.errno, no.message, no.hint)
    _say(pipes.report, REFUSED, encode(refused).rstrip())
    os._exit(127)


def _plan(spec: ContainerSpec, directory: str, around: Surroundings) -> Plan:
    return plan_container(
        spec,
        directory,
        run_root=around.run_root,
        layout=around.layout,
        last_capability=around.last_capability,
        default_filter=around.default_filter,
    )


def rehearse(around: Surroundings) -> Plan:
    """Plan a container for nobody, so that what runs need not be made ready for it any more.

    The interpreter writes into code as it learns what it is used for; in a fork each such page
    is copied at its first use.
    """
    overlay = Overlay(lower_dirs=("/l",), upper_dir="/u/u", work_dir="/u/w")
    spec = ContainerSpec(
        id="rehearsal",
        args=("/x",),
        env=("PATH=/bin",),
        hostname="h",
        rootfs=overlay,
        log=Log(path="/u/log"),
        files=(File(path="/etc/hosts", content=""),),
        mounts=(Mount(source="/s", target="/t"),),
        awaits_network=True,
    )
    known = _decode(msgspec.json.encode(spec))
    for report in (Claimed(), Offered()):
        encode(report)
    _upkeep(known, around.layout)
    return _plan(known, "/d/rehearsal", msgspec.structs.replace(around, default_filter=b"1"))


def _receive_link(orders: int) -> socket.socket:
    """To the client that we are for."""
    with socket.socket(fileno=orders) as order:
        try:
            message, passed, _, _ = order.recvmsg(len(ORDER), _ONE_DESCRIPTOR)
        except ConnectionResetError:
            message, passed = b"", []
    if not message or not passed:  # the launcher is gone
        os._exit(0)
    return socket.socket(fileno=int.from_bytes(passed[0][2][:4], sys.byteorder))


def _receive_spec(link: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """The first line, and the viewers who came with it.

    A client that goes away before its end takes this process along.
    """
    link.settimeout(_SPEC_TIMEOUT_S)
    parts: list[bytes] = []
    viewers: tuple[int, ...] = ()
    while not parts or not parts[-1].endswith(b"\n"):
        try:
            part, passed, _, _ = link.recvmsg(_SPEC_BYTES, _VIEWERS_BYTES)
        except TimeoutError:
            os._exit(0)
        if not part:
            os._exit(0)
        parts.append(part)
        for _, _, raw in passed:
            viewers += tuple(
                int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), 4)
            )
    return b"".join(parts), viewers


def _decode(raw: bytes) -> ContainerSpec:
    try:
        return _SPECS.decode(raw)
    except msgspec.DecodeError as err:
        raise KernelRefused("read spec", errno.EINVAL, f"spec: {err}") from err


def _claim(unclaimed: str, claimed: str, raw: bytes, listener: socket.SocketType) -> None:
    """Make the container's directory appear whole, or raise `KernelRefused` if it exists.

    What is left of it then is the shim's to remove.
    """
    try:
        host.remove_tree(unclaimed)  # of somebody who had our number
        os.mkdir(unclaimed, 0o700)
        sockets.bind(listener, f"{unclaimed}/{SOCKET_NAME}", _BACKLOG)
        host.replace_file(f"{unclaimed}/{SPEC_NAME}", raw)
        os.rename(unclaimed, claimed)
    except OSError as err:
        number = err.errno or errno.EIO
        text = f"{claimed}: {os.strerror(number).lower()}"
        raise KernelRefused("claim", number, text) from err


def _upkeep(spec: ContainerSpec, layout: Layout) -> bytes:
    """That the container is claimed, and what it takes to keep it: `CLAIMED` to `BURIAL`."""
    group = group_path(spec)
    paths = groups.paths(layout, group, to_resources(spec.resources))
    burial = Burial(
        oom_file=groups.oom_file(layout, group),
        groups=tuple(RemoveCgroup(path, shared=False) for path in paths),
        procs_file=groups.procs_file(layout, group) if spec.pid_namespace else "",
        kill_file=groups.kill_file(layout, group) if spec.pid_namespace else "",
    )
    lines = [
        CLAIMED + spec.id.encode(),
        LOG + msgspec.json.encode(spec.log),
        BURIAL + msgspec.json.encode(burial),
    ]
    if spec.health is not None:
        lines += [HEALTH + msgspec.json.encode(spec.health), GROUP + group.encode()]
    return b"\n".join((*lines, b""))


def _identify(container_id: str) -> ContainerState:
    """Who we are to the host. /proc is still the host's; our own number for us is 1 already."""
    pid = int(os.readlink("/proc/self"))
    fields = host.read("/proc/self/stat").rpartition(")")[2].split()
    return ContainerState(
        container_id=container_id, pid=pid, pid_started_ticks=int(fields[19]), started_at=0.0
    )


def _say(report: int, word: bytes, what: bytes) -> None:
    os.write(report, word + what + b"\n")


def _pass(report: int, word: bytes, *descriptors: int) -> None:
    with socket.socket(fileno=os.dup(report)) as link:
        socket.send_fds(link, [word + b"\n"], descriptors)


def _offer(link: socket.socket, namespace: int, go: int) -> None:
    """The client has it connected; one that has left wants no container any more."""
    socket.send_fds(link, [encode(Offered())], [namespace, go])


def _open_stdin(report: int) -> None:
    """Whoever holds the other end is asked; nobody is as long as the shim does not say so."""
    reading, writing = os.pipe()
    os.dup2(reading, 0, inheritable=True)
    os.close(reading)
    _pass(report, INPUT, writing)
    os.close(writing)


def _die_with_parent() -> None:
    """Until the program runs, nobody but the shim knows how to undo what we do."""
    kernel.prctl(k.PR_SET_PDEATHSIG, _SIGKILL)


def _prepare(pipes: Pipes) -> None:
    os.setsid()
    _die_with_parent()
    if sockets.is_readable(pipes.report):  # nobody says anything there: our parent is dead already
        os._exit(0)
    os.dup2(pipes.stdout, 1, inheritable=True)
    os.dup2(pipes.stderr, 2, inheritable=True)
    kernel.reset_signals(*_CHANGED)
    os.umask(0)
