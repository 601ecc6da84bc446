"""Plan the agent's containers with what only this host knows: its devices, its kernel.

It runs in the process that will be the container's, which throws away what it has touched.
"""

# Plain strings: pathlib would cost every start time.
# ruff: noqa: PTH116, PTH118, PTH208

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from typing import Final

import msgspec

from runtime.cgroups.layout import Layout
from runtime.defaults import CAPABILITIES
from runtime.io import host, seccomp
from runtime.joining import ExecSpec
from runtime.layout import ContainerDir, seccomp_cache
from runtime.oci.config import Device, Seccomp
from runtime.oci.names import NAMESPACES
from runtime.outcome import ContainerState
from runtime.plan import Plan
from runtime.seccomp.profiles import DEFAULT, filter_for, surroundings
from runtime.spec import CONTAINER, ContainerSpec
from runtime.translation import NOTHING, Known, to_exec_plan, to_plan
from swarm.errors import Invalid, KernelRefused, Refused

_DEV: Final = "/dev"
# What a container has of its own, and what udev and init systems keep beside devices.
_OWN: Final = ("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev")


def plan_container(
    spec: ContainerSpec,
    directory: str,
    *,
    run_root: str,
    layout: Layout,
    last_capability: int,
    default_filter: bytes,
) -> Plan:
    """Plan the container of `spec`. Raises `KernelRefused` for what this host has not.

    `default_filter` is what `default_filter()` has found, or empty.
    """
    return to_plan(
        spec,
        directory=directory,
        layout=layout,
        last_capability=last_capability,
        known=msgspec.structs.replace(
            _filter(spec, run_root, default_filter),
            devices=_devices(spec),
            joined=_joined(spec, run_root),
            shm_owner=_shm_owner(spec, run_root),
        ),
    )


def plan_program(
    spec: ContainerSpec,
    program: ExecSpec,
    directory: str,
    *,
    run_root: str,
    layout: Layout,
    last_capability: int,
    default_filter: bytes,
    pid: int,
) -> Plan:
    """Plan one more program of a running container, for a process in its pid namespace.

    There `pid` is the container's first process.
    """
    known = _filter(spec, run_root, default_filter)
    return to_exec_plan(
        spec,
        program,
        directory=directory,
        layout=layout,
        last_capability=last_capability,
        known=known,
        pid=pid,
    )


def default_filter(run_root: str) -> bytes:
    """The compiled filter of most containers, to be kept; empty if there can be none.

    A child compiles it, so that the library and what it needs are not kept as well.
    """
    pid = os.fork()
    if pid == 0:
        with contextlib.suppress(Invalid, Refused, OSError):
            _compile_default(run_root)
        os._exit(0)
    with contextlib.suppress(ChildProcessError):  # where children are not waited for at all
        os.waitpid(pid, 0)
    kept = seccomp.kept_filter(_default(), seccomp_cache(run_root))
    return kept or b""


def _compile_default(run_root: str) -> None:
    seccomp.compile_filter(_default(), seccomp_cache(run_root))


def _default() -> Seccomp:
    found = _resolve(DEFAULT, CAPABILITIES)
    assert found is not None
    return found


def _resolve(asked: str, capabilities: tuple[str, ...]) -> Seccomp | None:
    machine = os.uname()
    return filter_for(asked, surroundings(capabilities, machine.machine, machine.release))


def _filter(spec: ContainerSpec, run_root: str, default_filter: bytes) -> Known:
    """What is compiled already is not looked at again."""
    if spec.privileged:
        return NOTHING
    if default_filter and spec.seccomp == DEFAULT and spec.capabilities == CAPABILITIES:
        return Known(filter=default_filter)
    try:
        asked = _resolve(spec.seccomp, spec.capabilities)
    except Invalid as err:
        raise KernelRefused("read seccomp profile", errno.EINVAL, err.message) from err
    return Known(seccomp=asked, seccomp_cache=seccomp_cache(run_root))


def _joined(spec: ContainerSpec, run_root: str) -> dict[str, str]:
    """The namespaces of other containers, by kind, as descriptors: whatever becomes of those."""
    found: dict[str, str] = {}
    for kind, asked in (
        ("pid", spec.pid_namespace),
        ("ipc", spec.ipc_namespace),
        ("network", spec.network_namespace),
    ):
        if asked.startswith(CONTAINER):
            found[kind] = _namespace(asked, kind, run_root)
    return found


def _shm_owner(spec: ContainerSpec, run_root: str) -> str:
    asked = spec.ipc_namespace
    return _namespace(asked, "mount", run_root) if asked.startswith(CONTAINER) else ""


def _namespace(asked: str, kind: str, run_root: str) -> str:
    other = ContainerDir(run_root, asked.removeprefix(CONTAINER))
    try:
        state = msgspec.json.decode(host.read(other.state_file), type=ContainerState)
        path = f"/proc/{state.pid}/ns/{NAMESPACES[kind][1]}"
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        fields = host.read(f"/proc/{state.pid}/stat").rpartition(")")[2].split()
        # Once it has ended its number may be somebody else's.
        if state.exited is None and int(fields[19]) == state.pid_started_ticks:
            return f"/proc/self/fd/{descriptor}"
    except (OSError, msgspec.DecodeError, IndexError):
        pass
    raise KernelRefused(
        "join container", errno.ESRCH, f"container {other.container_id} is not running",
        hint="start it first",
    )  # fmt: skip


def _devices(spec: ContainerSpec) -> tuple[tuple[str, str, Device], ...]:
    """Each with its path on the host and what may be done with it."""
    found: dict[str, tuple[str, str, Device]] = {}
    if spec.privileged:
        found |= {device.path: (path, "rwm", device) for path, device in _below(_DEV, _DEV)}
    for asked in spec.devices:
        below = list(_device(asked.source, asked.target))
        if not below:
            raise KernelRefused(
                "find device", errno.ENODEV, f"no device in {asked.source}",
                hint="name a device, or a directory with devices",
            )  # fmt: skip
        found |= {device.path: (path, asked.access, device) for path, device in below}
    return tuple(found.values())


def _device(source: str, target: str) -> Iterator[tuple[str, Device]]:
    try:
        status = os.stat(source)
    except OSError as err:
        number = err.errno or errno.EIO
        raise KernelRefused(
            "find device", number, f"device {source}: {os.strerror(number).lower()}",
            hint="place the service on nodes that have it",
        ) from err  # fmt: skip
    if stat.S_ISDIR(status.st_mode):
        yield from _below(source, target)
    else:
        yield from _described(source, target, status)


def _below(source: str, target: str) -> Iterator[tuple[str, Device]]:
    for name in sorted(os.listdir(source)):
        path = os.path.join(source, name)
        if source == _DEV and name in _OWN:
            continue
        with contextlib.suppress(OSError):  # gone again
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                yield from _below(path, os.path.join(target, name))
            else:
                yield from _described(path, os.path.join(target, name), status)


def _described(source: str, target: str, status: os.stat_result) -> Iterator[tuple[str, Device]]:
    """Nothing for what is not a device."""
    kind = {stat.S_IFCHR: "c", stat.S_IFBLK: "b"}.get(stat.S_IFMT(status.st_mode))
    if kind is not None:
        device = Device(
            type=kind,
            path=target,
            major=os.major(status.st_rdev),
            minor=os.minor(status.st_rdev),
            file_mode=stat.S_IMODE(status.st_mode),
            uid=status.st_uid,
            gid=status.st_gid,
        )
        yield source, device
