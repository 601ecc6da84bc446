"""Tell where a container is on this host, and what removing it takes."""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH112

import os
from typing import Final

import msgspec

from runtime.command.record import Record
from runtime.io import host
from runtime.io.command.caller import Caller
from runtime.oci.config import Config
from runtime.plan import Extras, Place, host_steps
from runtime.steps import RemoveTree, Undo, own, undo
from swarm.errors import Missing

_CACHE: Final = ",seccomp"  # no id, since it contains a comma


def place_of(caller: Caller, record: Record) -> Place:
    """Where it is, or will be."""
    return Place(
        directory=caller.store.directory(record.id),
        rootfs=record.rootfs,
        bundle=record.bundle,
        cgroup=record.group,
        layout=caller.layout,
        last_capability=int(host.read("/proc/sys/kernel/cap_last_cap") or 40),
        seccomp_cache=f"{caller.store.root}/{_CACHE}",
        labels=os.path.isdir("/sys/fs/selinux"),
    )


def config_of(caller: Caller, record: Record) -> Config:
    """The config that it was made from."""
    return msgspec.json.decode(caller.store.config(record.id), type=Config)


def undos_of(caller: Caller, record: Record) -> tuple[Undo, ...]:
    """What takes back everything that making it may have done; parents of groups stay."""
    place = place_of(caller, record)
    try:
        config = config_of(caller, record)
    except (Missing, msgspec.DecodeError):
        return (RemoveTree(place.directory),)
    return undo(own(host_steps(config, place, Extras())))
