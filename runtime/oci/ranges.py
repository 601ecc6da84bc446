"""Find numbers that the kernel has no room for, and strings that no system call can take.

The specification gives each number the width of a C type; JSON and Python have none. This is
one walk over all values, so that no check needs to think of either.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from msgspec import Struct

from runtime.oci import config as oci
from runtime.oci.problem import Problem

_Value: TypeAlias = "str | int | float | Struct | tuple[_Value, ...] | dict[str, _Value] | None"

_UINT32: Final = (0, 2**32 - 1)
# Not the last one: to the kernel it is -1, and says that an id stays as it is.
_ID: Final = (0, 2**32 - 2)
_UINT64: Final = (0, 2**64 - 1)
_INT64: Final = (-(2**63), 2**63 - 1)
_MODE: Final = (0, 0o7777)

# What a number may be, by the class and the attribute that hold it; else 64 bits with a sign.
_RANGES: Final[dict[tuple[type[Struct], str], tuple[int, int]]] = {
    (oci.IdMapping, "container_id"): _UINT32,
    (oci.IdMapping, "host_id"): _UINT32,
    (oci.IdMapping, "size"): (1, 2**32 - 1),
    (oci.ConsoleSize, "height"): (0, 2**16 - 1),
    (oci.ConsoleSize, "width"): (0, 2**16 - 1),
    (oci.User, "uid"): _ID,
    (oci.User, "gid"): _ID,
    (oci.User, "umask"): (0, 0o777),
    (oci.User, "additional_gids"): _ID,
    (oci.Rlimit, "soft"): _UINT64,
    (oci.Rlimit, "hard"): _UINT64,
    (oci.Process, "oom_score_adj"): (-1000, 1000),
    (oci.Scheduler, "nice"): (-20, 19),
    (oci.Scheduler, "priority"): (0, 99),
    (oci.Scheduler, "runtime"): _UINT64,
    (oci.Scheduler, "deadline"): _UINT64,
    (oci.Scheduler, "period"): _UINT64,
    (oci.IoPriority, "priority"): (0, 7),
    (oci.Hook, "timeout"): (1, 2**31 - 1),
    (oci.Device, "major"): (0, 2**12 - 1),
    (oci.Device, "minor"): (0, 2**20 - 1),
    (oci.Device, "file_mode"): (0, 0o177777),  # containerd leaves the type of the file in it
    (oci.Device, "uid"): _UINT32,
    (oci.Device, "gid"): _UINT32,
    (oci.DeviceRule, "major"): (-1, 2**32 - 1),
    (oci.DeviceRule, "minor"): (-1, 2**32 - 1),
    (oci.Memory, "swappiness"): (0, 200),
    (oci.Cpu, "shares"): _UINT64,
    (oci.Cpu, "period"): _UINT64,
    (oci.Cpu, "burst"): _UINT64,
    (oci.Cpu, "realtime_period"): _UINT64,
    (oci.Cpu, "idle"): (0, 1),
    (oci.BlockIo, "weight"): (0, 1000),
    (oci.BlockIo, "leaf_weight"): (0, 1000),
    (oci.WeightDevice, "weight"): (0, 1000),
    (oci.WeightDevice, "leaf_weight"): (0, 1000),
    (oci.ThrottleDevice, "rate"): _UINT64,
    (oci.HugepageLimit, "limit"): _UINT64,
    (oci.Network, "class_id"): _UINT32,
    (oci.InterfacePriority, "priority"): _UINT32,
    (oci.Rdma, "hca_handles"): _UINT32,
    (oci.Rdma, "hca_objects"): _UINT32,
    (oci.SyscallArg, "index"): (0, 5),
    (oci.SyscallArg, "value"): _UINT64,
    (oci.SyscallArg, "value_two"): _UINT64,
    (oci.Syscall, "errno_ret"): (0, 4095),
    (oci.Seccomp, "default_errno_ret"): (0, 4095),
    (oci.TimeOffset, "nanosecs"): (0, 999_999_999),
}


def problems(value: Struct) -> Iterator[Problem]:
    """Numbers out of their range and strings with a null character, wherever they are."""
    return _struct("", value)


def _struct(path: str, value: Struct) -> Iterator[Problem]:
    kind = type(value)
    for name, written in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
        inner: _Value = getattr(value, name)
        if inner or inner == 0:  # most are absent, and empty
            where = f"{path}.{written}" if path else written
            yield from _any(where, inner, _RANGES.get((kind, name), _INT64))


def _any(path: str, value: _Value, allowed: tuple[int, int]) -> Iterator[Problem]:
    match value:
        case str():
            if "\0" in value:
                yield Problem(path, "must not contain a null character")
        case int():  # bool is within any range
            least, most = allowed
            if not least <= value <= most:
                yield Problem(path, f"must be between {least} and {most}, is {value}")
        case tuple():
            for number, each in enumerate(value):
                yield from _any(f"{path}[{number}]", each, allowed)
        case dict():
            for name, each in value.items():
                yield from _any(f"{path}[{name}]", name, allowed)
                yield from _any(f"{path}[{name}]", each, allowed)
        case Struct():
            yield from _struct(path, value)
        case _:
            pass
