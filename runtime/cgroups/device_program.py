"""Assemble the BPF program that decides for cgroup v2 which devices may be used.

The kernel runs it for each access and takes 1 for allowed, 0 for refused. It goes through the
rules from the last to the first, as the last one that fits decides: a rule that allows crosses
its kinds of access off what was wanted, one that denies any of what is left ends it.
"""

import struct
from collections.abc import Iterator
from typing import Final

from runtime.cgroups.devices import ANY, Filter, Rule

# struct bpf_cgroup_dev_ctx { u32 access_type; u32 major; u32 minor; } of linux/bpf.h, where
# access_type is access << 16 | type.
_TYPES: Final = {"b": 1, "c": 2}
_ACCESS: Final = {"m": 1, "r": 2, "w": 4}

# Operation codes of Documentation/bpf/standardization/instruction-set.rst; jumps compare 32
# bits, as device numbers are.
_LOAD_WORD, _MOVE, _AND, _SHIFT_RIGHT, _EXIT = 0x61, 0xB7, 0x57, 0x77, 0x95
_JUMP, _JUMP_UNLESS_EQUAL, _JUMP_IF_ANY_BIT = 0x05, 0x56, 0x46
_RESULT, _CONTEXT, _TYPE, _WANTED, _MAJOR, _MINOR = range(6)


def assemble(asked: Filter) -> bytes:
    """A program of type BPF_PROG_TYPE_CGROUP_DEVICE."""
    program = [
        _op(_LOAD_WORD, _TYPE, _CONTEXT),
        _op(_LOAD_WORD, _WANTED, _CONTEXT),
        _op(_AND, _TYPE, value=0xFFFF),
        _op(_SHIFT_RIGHT, _WANTED, value=16),
        _op(_LOAD_WORD, _MAJOR, _CONTEXT, offset=4),
        _op(_LOAD_WORD, _MINOR, _CONTEXT, offset=8),
    ]
    for rule in reversed(asked.rules):
        program += _rule(rule)
    program += _end(allow=asked.allow)
    return b"".join(program)


def _rule(rule: Rule) -> Iterator[bytes]:
    tests = [(_TYPE, _TYPES[rule.kind])]
    tests += [(_MAJOR, rule.major)] if rule.major != ANY else []
    tests += [(_MINOR, rule.minor)] if rule.minor != ANY else []
    access = sum(_ACCESS[letter] for letter in rule.access)
    effect = _allow(access) if rule.allow else _deny(access)
    # Each failed test jumps behind this rule.
    left = len(tests) + len(effect)
    for register, value in tests:
        left -= 1
        yield _op(_JUMP_UNLESS_EQUAL, register, offset=left, value=value)
    yield from effect


def _allow(access: int) -> list[bytes]:
    return [
        _op(_AND, _WANTED, value=~access),
        _op(_JUMP_UNLESS_EQUAL, _WANTED, offset=2),
        *_end(allow=True),
    ]


def _deny(access: int) -> list[bytes]:
    return [
        _op(_JUMP_IF_ANY_BIT, _WANTED, offset=1, value=access),
        _op(_JUMP, offset=2),
        *_end(allow=False),
    ]


def _end(*, allow: bool) -> list[bytes]:
    return [_op(_MOVE, _RESULT, value=int(allow)), _op(_EXIT)]


def _op(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("<BBhI", code, target | source << 4, offset, value & 0xFFFFFFFF)
