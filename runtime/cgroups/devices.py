"""Let a container use the usual harmless devices and no other.

CAP_MKNOD is among the default capabilities, so without this filter root in a container could
make a node for the host's disk and read it. v1 takes rules as lines; v2 takes a BPF program,
which is assembled here: it is run for each access and answers 1 (allowed) or 0.
"""

import struct
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from runtime.cgroups.setting import Setting


class Rule(Struct, frozen=True):
    """Devices that may be used; `kind` is c or b, -1 any number, access of `r`, `w`, `m`."""

    kind: str
    major: int
    minor: int
    access: str


# Making nodes is allowed for all: what counts is opening them.
ALLOWED: Final = (
    Rule("c", -1, -1, "m"),
    Rule("b", -1, -1, "m"),
    Rule("c", 1, 3, "rwm"),  # null
    Rule("c", 1, 5, "rwm"),  # zero
    Rule("c", 1, 7, "rwm"),  # full
    Rule("c", 1, 8, "rwm"),  # random
    Rule("c", 1, 9, "rwm"),  # urandom
    Rule("c", 5, 0, "rwm"),  # tty
    Rule("c", 5, 1, "rwm"),  # console
    Rule("c", 5, 2, "rwm"),  # ptmx
    Rule("c", 136, -1, "rwm"),  # pts
)


def v1(rules: tuple[Rule, ...]) -> tuple[Setting, ...]:
    """Deny everything, then allow; Documentation/admin-guide/cgroup-v1/devices.rst."""
    return (
        Setting("devices.deny", ("a",)),
        Setting("devices.allow", tuple(_line(rule) for rule in rules)),
    )


def _line(rule: Rule) -> str:
    major, minor = ("*" if number < 0 else str(number) for number in (rule.major, rule.minor))
    return f"{rule.kind} {major}:{minor} {rule.access}"


# struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; } of linux/bpf.h, where
# access_type is access << 16 | type.
_TYPES: Final = {"b": 1, "c": 2}
_ACCESS: Final = {"m": 1, "r": 2, "w": 4}
_ALL_ACCESS: Final = 7

# Operation codes of Documentation/bpf/standardization/instruction-set.rst.
_LOAD_WORD, _MOVE, _MOVE_REGISTER, _AND, _SHIFT_RIGHT = 0x61, 0xB7, 0xBF, 0x57, 0x77
_JUMP_UNLESS_EQUAL, _JUMP_UNLESS_EQUAL_REGISTER, _EXIT = 0x55, 0x5D, 0x95
_RESULT, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR, _SCRATCH = range(7)


def v2(rules: tuple[Rule, ...]) -> bytes:
    """A program of type BPF_PROG_TYPE_CGROUP_DEVICE."""
    program = [
        _op(_LOAD_WORD, _TYPE, _CONTEXT),
        _op(_MOVE_REGISTER, _WANTED, _TYPE),
        _op(_AND, _TYPE, value=0xFFFF),
        _op(_SHIFT_RIGHT, _WANTED, value=16),
        _op(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _op(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
    ]
    for rule in rules:
        program += _rule(rule)
    program += [_op(_MOVE, _RESULT, value=0), _op(_EXIT)]
    return b"".join(program)


def _rule(rule: Rule) -> Iterator[bytes]:
    access = sum(_ACCESS[letter] for letter in rule.access)
    tests: list[tuple[int, int]] = [(_TYPE, _TYPES[rule.kind])]
    tests += [(_MAJOR, rule.major)] if rule.major >= 0 else []
    tests += [(_MINOR, rule.minor)] if rule.minor >= 0 else []
    # Each failed test jumps behind this rule; two instructions end it, three ask for access.
    left = len(tests) + (3 if access != _ALL_ACCESS else 0) + 2
    for register, value in tests:
        left -= 1
        yield _op(_JUMP_UNLESS_EQUAL, register, offset=left, value=value)
    if access != _ALL_ACCESS:
        yield _op(_MOVE_REGISTER, _SCRATCH, _WANTED)
        yield _op(_AND, _SCRATCH, value=access)
        yield _op(_JUMP_UNLESS_EQUAL_REGISTER, _SCRATCH, _WANTED, offset=2)
    yield _op(_MOVE, _RESULT, value=1)
    yield _op(_EXIT)


def _op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhi", code, target | source << 4, offset, value)
