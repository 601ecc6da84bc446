"""Carry out the steps that limit a process and make it give up its rights."""

import contextlib
import errno
import os
import resource
from collections.abc import Callable
from typing import Any, Final

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.inside.dying import still_dying
from runtime.io.inside.executing import close_on_exec
from runtime.io.inside.furnishing import verify_workdir
from runtime.io.inside.held import Held
from runtime.io.inside.targets import find
from runtime.io.inside.writing import read, write
from runtime.seccomp.listening import process_state
from runtime.users import Identity, home_of, resolve
from swarm.errors import Invalid, KernelRefused, Refused, Unavailable

_OOM_SCORE: Final = "/proc/self/oom_score_adj"
_MOST_BYTES: Final = 1 << 20
_NULL: Final = os.makedev(1, 3)
_LIMITS: Final = 1 << 64
_LABELS: Final = {"apparmor": "self/attr/apparmor/exec", "selinux": "self/attr/exec"}


def _join_cgroup(_: Held, step: s.JoinCgroup) -> None:
    write(f"{step.path}/cgroup.procs", "0")


def _set_oom_score(_: Held, step: s.SetOomScore) -> None:
    """Always, or the container would inherit what protects the launcher."""
    if read(_OOM_SCORE).strip() != str(step.score):
        write(_OOM_SCORE, str(step.score))


def _set_affinity(_: Held, step: s.SetAffinity) -> None:
    os.sched_setaffinity(0, step.cpus)


def _raise_rlimit(_: Held, step: s.RaiseRlimit) -> None:
    soft, hard = resource.getrlimit(step.number)
    if step.hard % _LIMITS > hard % _LIMITS:  # -1, unlimited, is the last of them
        _setrlimit(step.number, soft, step.hard)


def _setrlimit(number: int, soft: int, hard: int) -> None:
    try:
        resource.setrlimit(number, (soft, hard))
    except ValueError as err:  # what Python makes of both EPERM and EINVAL
        raise OSError(errno.EPERM, os.strerror(errno.EPERM)) from err


def _set_scheduler(_: Held, step: s.SetScheduler) -> None:
    kernel.sched_setattr(
        policy=step.policy,
        flags=step.flags,
        nice=step.nice,
        priority=step.priority,
        runtime=step.runtime,
        deadline=step.deadline,
        period=step.period,
    )


def _drop_bounding(_: Held, step: s.DropBounding) -> None:
    for number in step.numbers:
        kernel.prctl(k.PR_CAPBSET_DROP, number)
    with contextlib.suppress(OSError):  # kernels that have no ambient set
        kernel.prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_CLEAR_ALL)


def _find_user(held: Held, step: s.FindUser) -> None:
    passwd, group = _in_image(held, "/etc/passwd"), _in_image(held, "/etc/group")
    held.identity = resolve(step.user, step.additional_groups, passwd, group)


def _in_image(held: Held, path: str) -> str:
    try:
        descriptor = find(held.root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    with contextlib.suppress(OSError), open(descriptor, "rb") as file:
        return file.read(_MOST_BYTES).decode("utf-8", "replace")
    return ""


def _set_identity(held: Held, step: s.SetIdentity) -> None:
    """Permitted capabilities are kept: which of them stay is decided by a step of its own."""
    if step.uid >= 0:
        home = home_of(step.uid, _in_image(held, "/etc/passwd"))
        held.identity = Identity(step.uid, step.gid, step.groups, home)
    who = held.identity
    _give_streams(who.uid)
    kernel.prctl(k.PR_SET_KEEPCAPS, 1)
    os.setgroups(who.groups)
    with still_dying():
        os.setresgid(who.gid, who.gid, who.gid)
        os.setresuid(who.uid, who.uid, who.uid)
    kernel.prctl(k.PR_SET_KEEPCAPS, 0)
    if who.uid:
        _effective, permitted, inheritable = kernel.capget()
        kernel.capset(permitted, permitted, inheritable)
    if held.unreached_workdir:
        os.chdir(held.unreached_workdir)
        verify_workdir(held.unreached_workdir)


def _give_streams(uid: int) -> None:
    """Or /dev/stdout could not be opened by the program. The host's null device stays its."""
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):  # closed, or on a file system that is read-only
            status = os.fstat(descriptor)
            if status.st_rdev != _NULL and status.st_uid != uid:
                os.fchown(descriptor, uid, -1)


def _set_capabilities(_: Held, step: s.SetCapabilities) -> None:
    """Never more than there are: a runtime in a container has not got all of them."""
    there = kernel.capget()[1]
    kernel.capset(step.effective & there, step.permitted & there, step.inheritable & there)
    ambient = step.ambient & step.permitted & step.inheritable & there
    for number in range(ambient.bit_length()):
        if ambient >> number & 1:
            kernel.prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_RAISE, number)


def _set_label(held: Held, step: s.SetLabel) -> None:
    """The kernel takes it at the next exec."""
    value = f"exec {step.label}" if step.module == "apparmor" else step.label
    try:
        write(_LABELS[step.module], value, directory=held.proc)
    except OSError as err:
        if err.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        why = (
            f"this kernel has no {step.module}"
            if err.errno == errno.ENOENT
            else f"{step.module} is not in use, or does not know this label"
        )
        raise OSError(err.errno, why) from err


def _prepare_seccomp(held: Held, step: s.PrepareSeccomp) -> None:
    """With the host in sight: there are the library, the compiled filters, and the listener."""
    from runtime.io import seccomp  # ctypes and libseccomp are nothing for every process

    try:
        held.filter = seccomp.compile_filter(step.filter, step.cache)
    except (Invalid, Refused) as err:
        raise KernelRefused(s.name(step), errno.EINVAL, err.message, hint=err.hint) from err
    if step.filter.listener_path:
        from runtime.io import listener  # for few

        try:
            held.listener = listener.connect(step.filter.listener_path)
        except Unavailable as err:
            raise KernelRefused(
                s.name(step), errno.ECONNREFUSED, err.message, hint=err.hint
            ) from err


def _load_seccomp(held: Held, step: s.LoadSeccomp) -> None:
    """From here on the program's filter is ours, too."""
    from runtime.io import seccomp  # has been imported: its file is out of sight by now

    told = b""
    if held.listener is not None:
        pid = int(os.readlink("self", dir_fd=held.proc))
        told = process_state(step.state, pid=pid, metadata=step.listener_metadata)
    close_on_exec(held)
    held.is_filtered = True
    descriptor = seccomp.load(step.program or held.filter, step.flags)
    if descriptor >= 0:
        if held.listener is not None:
            from runtime.io import listener  # has been imported, too

            listener.hand_over(held.listener, descriptor, told)
        os.close(descriptor)


STEPS: dict[type[s.ContainerStep], Callable[[Held, Any], None]] = {
    s.JoinCgroup: _join_cgroup,
    s.SetOomScore: _set_oom_score,
    s.GiveStreams: lambda _, step: _give_streams(step.uid),
    s.SetAffinity: _set_affinity,
    s.RaiseRlimit: _raise_rlimit,
    s.SetRlimit: lambda _, step: _setrlimit(step.number, step.soft, step.hard),
    s.SetScheduler: _set_scheduler,
    s.SetIoPriority: lambda _, step: kernel.ioprio_set(step.io_class, step.priority),
    s.SetPersonality: lambda _, step: kernel.personality(step.persona),
    s.JoinKeyring: lambda _, __: kernel.join_session_keyring(),
    s.DropBounding: _drop_bounding,
    s.FindUser: _find_user,
    s.SetIdentity: _set_identity,
    s.SetCapabilities: _set_capabilities,
    s.NoNewPrivileges: lambda _, __: kernel.prctl(k.PR_SET_NO_NEW_PRIVS, 1),
    s.SetUmask: lambda _, step: _umask(step.mask),
    s.SetLabel: _set_label,
    s.PrepareSeccomp: _prepare_seccomp,
    s.LoadSeccomp: _load_seccomp,
}


def _umask(mask: int) -> None:
    os.umask(mask)
