"""Keep what later commands have to know of a container.

`<root>/<id>/state.json` is replaced as a whole whenever something is learnt: who makes the
container, then its process 1, then that it is complete. Whatever command is killed wherever,
the file names every process that could still be at work, and `config.json` beside it tells
what there is to undo. A process is known by number and start, as numbers are used again.
"""

from typing import Final

import msgspec
from msgspec import Struct

from runtime.oci.config import Hooks
from runtime.oci.state import Listed, State, Status
from swarm.errors import Invalid

STATE_FILE: Final = "state.json"
CONFIG_FILE: Final = "config.json"
GATE: Final = "gate.sock"
_PUNCTUATION: Final = "_+-."
_MOST_BYTES: Final = 255  # of a file's name


class ProcessId(Struct, frozen=True):
    """A process: `ticks` is when it started, as field 22 of proc_pid_stat(5) says."""

    pid: int
    ticks: int


class Record(Struct, frozen=True, kw_only=True):
    """One container. `gate` is the inode of the socket on which process 1 waits for start.

    `group` is its control group, relative to every hierarchy. `owner` is a user id.
    `shares_pids`: it has no pid namespace of its own, so its other processes outlive process 1.
    Without `has_program` its config names none, so that it can be created but never started.
    """

    id: str
    version: str
    bundle: str
    rootfs: str
    group: str
    created: str
    owner: int
    annotations: dict[str, str] = {}
    hooks: Hooks = Hooks()
    shares_pids: bool = False
    has_program: bool = True
    creator: ProcessId
    init: ProcessId | None = None
    gate: int = 0
    is_complete: bool = False


class Seen(Struct, frozen=True, kw_only=True):
    """What the kernel says about a container's processes at one moment."""

    creator_lives: bool
    init_lives: bool
    waits_at_gate: bool
    is_frozen: bool


def check_id(container_id: str) -> None:
    """An id is the name of a directory. Raises `Invalid`."""
    if len(container_id.encode("utf-8", "surrogateescape")) > _MOST_BYTES:
        raise Invalid(
            "invalid container ID format: longer than 255 bytes", hint="choose a shorter one"
        )
    plain = container_id.isascii() and all(c.isalnum() or c in _PUNCTUATION for c in container_id)
    if not container_id or not plain or container_id in (".", ".."):
        raise Invalid(
            f"invalid container ID format: {container_id!r}",
            hint="letters, digits and _ + - . make an id",
        )


def status_of(record: Record, seen: Seen) -> Status:
    """What the container is doing. One that a dead `create` left half made has stopped."""
    if not record.is_complete and seen.creator_lives:
        return Status.CREATING
    if not record.is_complete or not seen.init_lives:
        return Status.STOPPED
    if seen.is_frozen:
        return Status.PAUSED
    return Status.CREATED if seen.waits_at_gate else Status.RUNNING


def state_json(record: Record, status: Status) -> bytes:
    """What hooks are told, as they read it."""
    return msgspec.json.encode(state_of(record, status))


def timeless_state(record: Record) -> bytes:
    """Of that, what holds from beginning to end: neither pid nor status."""
    return msgspec.json.encode(
        {
            "ociVersion": record.version,
            "id": record.id,
            "bundle": record.bundle,
            "annotations": record.annotations,
        }
    )


def state_of(record: Record, status: Status) -> State:
    """What hooks are told."""
    return State(
        oci_version=record.version,
        id=record.id,
        status=status,
        pid=_pid(record, status),
        bundle=record.bundle,
        annotations=record.annotations,
    )


def listed(record: Record, status: Status) -> Listed:
    """What `state` and `list` say."""
    return Listed(
        oci_version=record.version,
        id=record.id,
        pid=_pid(record, status),
        status=status,
        bundle=record.bundle,
        rootfs=record.rootfs,
        created=record.created,
        annotations=record.annotations,
        owner=str(record.owner),
    )


def _pid(record: Record, status: Status) -> int:
    return record.init.pid if record.init is not None and status is not Status.STOPPED else 0


def group_of(cgroups_path: str, container_id: str) -> str:
    """A container's control group, relative to every hierarchy. Raises `Invalid`.

    What config.json does not say, and what it says relatively, lies below `swarm-runtime`.
    """
    if cgroups_path.count(":") == 2 and "/" not in cgroups_path:
        raise Invalid(
            f"linux.cgroupsPath: {cgroups_path} is systemd's notation",
            hint="set the caller's cgroup driver to cgroupfs, for groups are made by path here",
        )
    names = [each for each in cgroups_path.split("/") if each not in ("", ".")]
    if ".." in names:
        raise Invalid(f"linux.cgroupsPath: must not contain .., is {cgroups_path}")
    if cgroups_path.startswith("/") and names:
        return "/".join(names)
    return "/".join(("swarm-runtime", *(names or [container_id])))
