"""Find, end and erase what containers leave on the host.

All that is needed is in the container's directory, so it works for whoever comes: an agent
that just started, or one that wants everything gone. Erasing removes the spec last; before
that, the next attempt knows as much as this one.
"""

import asyncio
import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TypeVar

import msgspec

from runtime import health, logs
from runtime.allotting import to_resources
from runtime.cgroups import groups
from runtime.cgroups.layout import Layout
from runtime.io import cgroups, freezing, host, usage
from runtime.layout import HEALTH_RESULTS, ContainerDir, containers_dir, unclaimed_by
from runtime.outcome import ContainerState, Exited, HealthRecord, KeptResult
from runtime.spec import ContainerSpec, Log
from runtime.steps import RemoveTree, own, undo
from runtime.translation import container_steps, group_path
from swarm.errors import KernelRefused

_DYING_S = 10.0
_Kept = TypeVar("_Kept", ContainerSpec, ContainerState, KeptResult)


def read_spec(directory: ContainerDir) -> ContainerSpec | None:
    """What the container was made from; None if it was never made or is already erased."""
    return _read(directory.spec_file, ContainerSpec)


def read_state(directory: ContainerDir) -> ContainerState | None:
    """What its shim recorded; None if the container never ran."""
    return _read(directory.state_file, ContainerState)


def read_health(directory: ContainerDir) -> HealthRecord:
    """What its health checks found; nothing if there was none yet."""
    files = [directory.health_file(number) for number in range(HEALTH_RESULTS)]
    kept = (_read(file, KeptResult) for file in files)
    return health.recorded(each for each in kept if each is not None)


def _read(path: str, kind: type[_Kept]) -> _Kept | None:
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except (OSError, msgspec.DecodeError):
        return None


def find(run_root: str) -> list[ContainerDir]:
    """Every container's directory. What a shim left before it owned one is removed."""
    sweep(run_root)
    return [ContainerDir(run_root, name) for name in _names(run_root) if not unclaimed_by(name)]


def sweep(run_root: str) -> bool:
    """Remove what nobody had claimed before he died; False if some of it is of the living."""
    is_clean = True
    for name in _names(run_root):
        pid = unclaimed_by(name)
        if pid and _lives(pid):
            is_clean = False
        elif pid:
            host.remove_tree(f"{containers_dir(run_root)}/{name}")
    return is_clean


def _names(run_root: str) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return sorted(entry.name for entry in Path(containers_dir(run_root)).iterdir())
    return []


def _lives(pid: int) -> bool:
    """A zombie does not."""
    state = host.read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return bool(state) and state[0] not in ("Z", "X")


def record_loss(directory: ContainerDir, state: ContainerState, message: str) -> ContainerState:
    """Record an exit that no shim was there to see; where nothing can be written, only tell it."""
    exited = Exited(
        container_id=state.container_id,
        exit_code=128 + signal.SIGKILL,
        signal=signal.SIGKILL,
        message=message,
        finished_at=time.time(),
    )
    lost = msgspec.structs.replace(state, exited=exited)
    new = Path(f"{directory.state_file}.new")
    try:
        new.write_bytes(msgspec.json.encode(lost))
        new.replace(directory.state_file)
    except OSError:
        # A full disk, say. Whoever asks next finds what we found, and comes to the same.
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
    return lost


def erase(
    directory: ContainerDir,
    spec: ContainerSpec | None,
    layout: Layout,
    *,
    keep_log: bool,
    keep_layer: bool,
) -> None:
    """Remove everything the container left; its processes must be gone. Bears repeating."""
    if spec is not None:
        if not keep_log:
            _remove_log(spec.log)
        steps = container_steps(spec, layout=_everywhere(layout), directory=directory.path)
        undos = undo(own(steps))
        kept = RemoveTree(spec.rootfs.upper_dir)
        if not keep_layer and spec.rootfs.lasting:
            undos = (kept, RemoveTree(spec.rootfs.work_dir), *undos)
        host.revert(each for each in undos if not (keep_layer and each == kept))
    host.remove_tree(directory.path)


def _remove_log(log: Log) -> None:
    """Its directory was made with it, so it goes too unless something else is there."""
    for path in (log.path, *logs.older(log.path, log.max_files)):
        with contextlib.suppress(OSError):
            Path(path).unlink()
    with contextlib.suppress(OSError):
        Path(log.path).parent.rmdir()


def remove_groups(spec: ContainerSpec, layout: Layout) -> None:
    """Remove the container's control groups, but not their parents."""
    made = groups.make(_everywhere(layout), group_path(spec), to_resources(spec.resources))
    host.revert(undo(own(made)))


def _everywhere(layout: Layout) -> Layout:
    """It may have been given limits in other hierarchies since it was made."""
    return msgspec.structs.replace(layout, thorough=True)


def remove_parents(parent: str, layout: Layout) -> None:
    """Remove the parents of all groups, where nothing is left in them."""
    for root in layout.hierarchies:
        with contextlib.suppress(OSError):
            Path(f"{root}/{parent}").rmdir()


async def kill_all(spec: ContainerSpec, layout: Layout) -> None:
    """Kill every process in the container's groups and wait until none is left."""
    group = group_path(spec)
    deadline = time.monotonic() + _DYING_S
    cgroups.kill(groups.kill_file(layout, group))
    while (pids := usage.pids(layout, group)) and time.monotonic() < deadline:
        descriptors = [d for pid in pids if (d := _open(pid)) >= 0]
        # A pid may have ended and been given to a stranger between the two readings; what is
        # still listed now is what the descriptor stands for.
        still = usage.pids(layout, group)
        for descriptor in descriptors:
            if _pid_of(descriptor) in still:
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        with contextlib.suppress(KernelRefused):  # v1 keeps what is paused from dying
            freezing.ask(layout, group, frozen=False)
        for descriptor in descriptors:
            await _gone(descriptor, deadline - time.monotonic())
            os.close(descriptor)


def _open(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return -1


def _pid_of(descriptor: int) -> int:
    for line in host.read(f"/proc/self/fdinfo/{descriptor}").splitlines():
        if line.startswith("Pid:"):
            return int(line.split()[1])
    return -1


async def _gone(descriptor: int, timeout_s: float) -> None:
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    try:
        await asyncio.wait_for(gone.wait(), max(0.0, timeout_s))
    except TimeoutError:
        return
    finally:
        loop.remove_reader(descriptor)
