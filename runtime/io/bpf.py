"""Have BPF programs decide what devices a cgroup v2 directory may use.

Programs are attached so that those of nested groups are asked too: a container may filter its
own. So there can be several at once, and a new one replaces what it finds in one step; only if
there were more than one (nobody attaches a second, but the operator may) it joins them first.
"""

import contextlib
import ctypes
import os
import struct
from collections.abc import Generator
from typing import Final

_PROG_LOAD, _PROG_ATTACH, _PROG_DETACH, _PROG_GET_FD_BY_ID, _PROG_QUERY = 5, 8, 9, 13, 16
_TYPE_CGROUP_DEVICE: Final = 15
_CGROUP_DEVICE: Final = 6
_ALLOW_MULTI, _REPLACE = 2, 4
_MOST_PROGRAMS: Final = 64  # the kernel's limit
_NUMBER: Final = {"x86_64": 321, "aarch64": 280}.get(os.uname().machine, 0)
_SYSCALL: Final = ctypes.CDLL(None, use_errno=True).syscall
_SYSCALL.restype = ctypes.c_long


def filter_devices(program: bytes, group: int) -> None:
    """Attach `program` to the group open as `group`, in the place of those before it."""
    new = _load(program)
    try:
        before = _attached(group)
        if len(before) == 1:
            with _opened(before[0]) as old:
                _attach(group, new, _ALLOW_MULTI | _REPLACE, old)
            return
        _attach(group, new, _ALLOW_MULTI)
        for identity in before:
            with _opened(identity) as old:
                _call(_PROG_DETACH, struct.pack("<4I", group, old, _CGROUP_DEVICE, 0))
    finally:
        os.close(new)


def _load(program: bytes) -> int:
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"Apache-2.0")
    where = ctypes.addressof(code), ctypes.addressof(licence)
    asked = struct.pack("<IIQQIIQII", _TYPE_CGROUP_DEVICE, len(program) // 8, *where, 0, 0, 0, 0, 0)
    return _call(_PROG_LOAD, asked)


def _attach(group: int, program: int, flags: int, replaced: int = 0) -> None:
    _call(_PROG_ATTACH, struct.pack("<5I", group, program, _CGROUP_DEVICE, flags, replaced))


def _attached(group: int) -> list[int]:
    """The ids of the programs that decide in this very group, not in its parents."""
    ids = (ctypes.c_uint32 * _MOST_PROGRAMS)()
    query = ctypes.create_string_buffer(
        struct.pack("<4IQII", group, _CGROUP_DEVICE, 0, 0, ctypes.addressof(ids), len(ids), 0)
    )
    _call(_PROG_QUERY, query)
    count: int = struct.unpack_from("<I", query.raw, 24)[0]
    return list(ids[:count])


@contextlib.contextmanager
def _opened(identity: int) -> Generator[int, None, None]:
    descriptor = _call(_PROG_GET_FD_BY_ID, struct.pack("<3I", identity, 0, 0))
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _call(command: int, attributes: "bytes | ctypes.Array[ctypes.c_char]") -> int:
    result: int = _SYSCALL(_NUMBER, command, attributes, len(attributes))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "bpf")
    return result
