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

from runtime.cgroups.layout import Layout
from runtime.joining import ExecSpec
from runtime.layout import seccomp_cache
from runtime.oci.config import Device, Seccomp
from runtime.plan import Plan
from runtime.seccomp.profiles import filter_for, surroundings
from runtime.spec import ContainerSpec
from runtime.translation import Known, to_exec_plan, to_plan
from swarm.errors import Invalid, KernelRefused

_DEV: Final = "/dev"
# What a container has of its own, and what udev and init systems keep beside devices.
_OWN: Final = ("pts", "shm", "fd", "mqueue", "console", ".lxc", ".lxd-mounts", ".udev")


def plan_container(
    spec: ContainerSpec, directory: str, *, run_root: str, layout: Layout, last_capability: int
) -> Plan:
    """Plan the container of `spec`. Raises `KernelRefused` for what this host has not."""
    return to_plan(
        spec,
        directory=directory,
        layout=layout,
        last_capability=last_capability,
        known=Known(
            seccomp=_filter(spec), seccomp_cache=seccomp_cache(run_root), devices=_devices(spec)
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
) -> Plan:
    """Plan one more program of a running container, for a process in its pid namespace."""
    known = Known(seccomp=_filter(spec), seccomp_cache=seccomp_cache(run_root))
    return to_exec_plan(
        spec,
        program,
        directory=directory,
        layout=layout,
        last_capability=last_capability,
        known=known,
    )


def _filter(spec: ContainerSpec) -> Seccomp | None:
    if spec.privileged:
        return None
    machine = os.uname()
    around = surroundings(spec.capabilities, machine.machine, machine.release)
    try:
        return filter_for(spec.seccomp, around)
    except Invalid as err:
        raise KernelRefused("read seccomp profile", errno.EINVAL, err.message) from err


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
