"""Become a program in a running container: in a fork of its shim, from the request to the exec.

The shim forks into the container's pid namespace, so one fork is enough. Everything is done
here: what this process reads and imports is gone with its exec. Nobody in the container may
look into it before then, for it still holds what is the host's.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH115

import errno
import os
import signal
import socket
from typing import Final, NoReturn

import msgspec

from runtime import constants as k
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.defaults import CAPABILITY_NAMES, RLIMIT_NAMES
from runtime.io import host, kernel
from runtime.io.inside import Inside
from runtime.io.process import Surroundings, execute
from runtime.joining import ExecSpec
from runtime.layout import ContainerDir
from runtime.spec import ContainerSpec
from runtime.steps import (
    ContainerStep,
    DropBounding,
    JoinKeyring,
    NoNewPrivileges,
    SetCapabilities,
    SetIdentity,
    SetOomScore,
    SetRlimit,
    SetUmask,
)
from runtime.translation import group_path, to_resources
from runtime.users import Identity, resolve
from runtime.wire import Entered, Refused, decode_exec, encode
from swarm.errors import KernelRefused

_REQUEST_TIMEOUT_S: Final = 10.0
_REQUEST_BYTES: Final = 1 << 18
_MAX_DESCRIPTOR: Final = 65536
_IGNORED: Final = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT)


class Entrance:
    """The way into one container, for whoever is forked by its shim."""

    def __init__(self, directory: ContainerDir, around: Surroundings) -> None:
        self._directory = directory
        self._around = around

    @property
    def layout(self) -> Layout:
        """Where control groups are."""
        return self._around.layout

    def serve(self, report: int, client: int, streams: tuple[int, ...]) -> NoReturn:
        """Become the program that `client` asks for, with its streams."""
        self._become(report, None, client, streams)

    def check(self, report: int, program: ExecSpec, output: int) -> NoReturn:
        """Become a health check."""
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._become(report, program, -1, (null, output, output))

    def _become(
        self, report: int, program: ExecSpec | None, client: int, streams: tuple[int, ...]
    ) -> NoReturn:
        try:
            os.setsid()
            report, client, streams = _keep_only(report, client, streams)
            for number in _IGNORED:
                signal.signal(number, signal.SIG_DFL)
            kernel.reset_internal_signals()
            if program is None:
                program = decode_exec(_receive(client))
            raise _join(self._directory, self._around, program, report)
        except KernelRefused as failure:
            no = failure
        except BaseException as bug:  # nobody above us: unsaid, it would look like a kill
            no = KernelRefused("exec", errno.EIO, f"bug: {bug!r}")
        os.write(report, encode(Refused(no.step, no.errno, no.message, no.hint)))
        os._exit(127)


def _keep_only(
    report: int, client: int, streams: tuple[int, ...]
) -> tuple[int, int, tuple[int, ...]]:
    """Hold on to nothing else of the shim's, and have three streams where they belong."""
    if len(streams) == 3:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        streams = ()
    kept = sorted({report, *streams, *((client,) if client >= 0 else ())})
    start = 3
    for descriptor in kept:
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, _MAX_DESCRIPTOR)
    return report, client, streams


def _receive(client: int) -> bytes:
    """The request. A client that goes away before its end takes this process along."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, client)
    link.settimeout(_REQUEST_TIMEOUT_S)
    parts: list[bytes] = []
    while not parts or not parts[-1].endswith(b"\n"):
        try:
            parts.append(link.recv(_REQUEST_BYTES))
        except TimeoutError:
            os._exit(0)
        if not parts[-1]:
            os._exit(0)
    return b"".join(parts)


def _become_user(step: SetIdentity) -> Identity:
    passwd, group = host.read("/etc/passwd"), host.read("/etc/group")
    identity = resolve(step.user, step.additional_groups, passwd, group)
    os.setgroups(identity.groups)
    os.setgid(identity.gid)
    os.setuid(identity.uid)
    return identity


def _join(
    directory: ContainerDir, around: Surroundings, program: ExecSpec, report: int
) -> KernelRefused:
    spec = msgspec.json.decode(host.read(directory.spec_file), type=ContainerSpec)
    pid = int(os.readlink("/proc/self"))
    pidfd = os.pidfd_open(1)
    inside = Inside()
    doing: ContainerStep | None = None
    try:
        for doing in groups.join(around.layout, group_path(spec), to_resources(spec.resources)):
            inside.apply(doing)
        limits: list[ContainerStep] = [SetOomScore(spec.oom_score_adj)]
        limits += [SetRlimit(x.name, RLIMIT_NAMES[x.name], x.soft, x.hard) for x in spec.rlimits]
        for doing in limits:
            inside.apply(doing)
        kernel.setns(
            pidfd,
            k.CLONE_NEWNS | k.CLONE_NEWUTS | k.CLONE_NEWIPC | k.CLONE_NEWCGROUP | k.CLONE_NEWNET,
        )
        os.chdir(program.workdir or spec.workdir)
        names = CAPABILITY_NAMES if program.privileged else spec.capabilities
        kept = {CAPABILITY_NAMES.index(name) for name in names}
        for doing in (
            JoinKeyring(),
            DropBounding(tuple(n for n in range(around.last_capability + 1) if n not in kept)),
            SetUmask(spec.umask),
            SetIdentity(program.user or spec.user, spec.additional_groups),
            SetCapabilities(sum(1 << n for n in kept if n <= around.last_capability)),
            *((NoNewPrivileges(),) if spec.no_new_privs else ()),
        ):
            if isinstance(doing, SetIdentity):
                inside.identity = _become_user(doing)
            else:
                inside.apply(doing)
    except OSError as err:
        assert doing is not None
        raise host.refusal(doing, err) from err
    env = {"HOME": inside.identity.home}
    for variable in (*spec.env, *program.env):
        name, _, env[name] = variable.partition("=")
    os.write(report, encode(Entered(pid)))
    return execute(program.args, env)
