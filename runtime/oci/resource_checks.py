"""Check the limits of a config.json, or of an update."""

import re
from collections.abc import Iterator
from typing import Final

from runtime.oci.config import BlockIo, DeviceRule, Memory, Resources
from runtime.oci.problem import Problem, one_of, twice

# What the kernel's bitmap_parselist() takes, steps included.
_LIST: Final = re.compile(r"\s*(\d+(-\d+(:\d+/\d+)?)?|all)?([,\s]+(\d+(-\d+(:\d+/\d+)?)?|all)?)*")
_ACCESS: Final = re.compile(r"[rwm]*")
_PAGE_SIZE: Final = re.compile(r"[1-9]\d*[KMG]B")
_UNLIMITED: Final = -1


def of_resources(path: str, resources: Resources) -> Iterator[Problem]:
    """Its problems."""
    prefix = f"{path}." if path else ""
    yield from _devices(f"{prefix}devices", resources.devices)
    if resources.memory is not None:
        yield from _memory(f"{prefix}memory", resources.memory)
    if resources.cpu is not None:
        for name in ("cpus", "mems"):
            value: str = getattr(resources.cpu, name)
            if not _LIST.fullmatch(value):
                yield Problem(f"{prefix}cpu.{name}", f"must be a list such as 0-3,7, is {value!r}")
    if resources.pids is not None and resources.pids.limit < _UNLIMITED:
        text = f"must not be below -1 (unlimited), is {resources.pids.limit}"
        yield Problem(f"{prefix}pids.limit", text)
    if resources.block_io is not None:
        yield from _block_io(f"{prefix}blockIO", resources.block_io)
    for number, limit in enumerate(resources.hugepage_limits):
        if not _PAGE_SIZE.fullmatch(limit.page_size):
            where = f"{prefix}hugepageLimits[{number}].pageSize"
            yield Problem(where, f"must be a size such as 2MB, is {limit.page_size!r}")
    yield from twice(
        f"{prefix}hugepageLimits[{{}}].pageSize",
        (each.page_size for each in resources.hugepage_limits),
    )
    for name in resources.unified:
        if "/" in name or "." not in name.strip("."):
            yield Problem(f"{prefix}unified[{name}]", "must be a file such as memory.high")
    for name in resources.rdma:
        if not name or " " in name:
            yield Problem(f"{prefix}rdma[{name}]", "must be the name of a device")


def _devices(path: str, rules: tuple[DeviceRule, ...]) -> Iterator[Problem]:
    for number, rule in enumerate(rules):
        yield from one_of(f"{path}[{number}].type", rule.type, ("", "a", "b", "c"))
        if not _ACCESS.fullmatch(rule.access):
            yield Problem(f"{path}[{number}].access", f"must be of r, w and m, is {rule.access!r}")


def _memory(path: str, memory: Memory) -> Iterator[Problem]:
    for name in ("limit", "reservation", "swap", "kernel"):
        value: int | None = getattr(memory, name)
        if value is not None and value < _UNLIMITED:
            yield Problem(f"{path}.{name}", f"must not be below -1 (unlimited), is {value}")
    limit, swap = memory.limit or 0, memory.swap or 0
    if limit > 0 and 0 < swap < limit:
        text = f"counts memory too, so must not be below the limit {limit}, is {swap}"
        yield Problem(f"{path}.swap", text, f"{path}.limit")


def _block_io(path: str, block_io: BlockIo) -> Iterator[Problem]:
    weights: list[tuple[str, int | None]] = [
        (f"{path}.weight", block_io.weight),
        (f"{path}.leafWeight", block_io.leaf_weight),
    ]
    for number, device in enumerate(block_io.weight_device):
        where = f"{path}.weightDevice[{number}]"
        weights += [(f"{where}.weight", device.weight), (f"{where}.leafWeight", device.leaf_weight)]
    for where, weight in weights:
        if weight is not None and 0 < weight < 10:
            yield Problem(where, f"must be between 10 and 1000, or 0 for none, is {weight}")
