"""Judge a seccomp profile in Docker's format before a swarm takes it.

`read_profile` reads what an operator's file holds, and says line and column where that is not
JSON; specs carry the profile without its white space. Whether the kernel of a node knows each
system call is not asked: a name that it does not know filters nothing.
"""

import re
from hashlib import sha256
from typing import Final

import msgspec
from msgspec import Struct

from swarm.capabilities import parse_capability
from swarm.errors import Invalid

UNCONFINED: Final = "unconfined"
LARGEST_BYTES: Final = 128 * 1024  # compact; Docker's own default has 13 KiB

ACTIONS: Final = frozenset(
    f"SCMP_ACT_{name}"
    for name in (
        "ALLOW", "ERRNO", "KILL", "KILL_PROCESS", "KILL_THREAD", "LOG", "NOTIFY", "TRACE", "TRAP",
    )
)  # fmt: skip
COMPARISONS: Final = frozenset(
    f"SCMP_CMP_{name}" for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ")
)
FLAGS: Final = frozenset(
    f"SECCOMP_FILTER_FLAG_{name}"
    for name in ("TSYNC", "LOG", "SPEC_ALLOW", "NEW_LISTENER", "WAIT_KILLABLE_RECV")
)
_KERNEL = re.compile(r"\d+\.\d+")
_LARGEST_ERRNO = 4095


class _Part(Struct, rename="camel"):
    """A JSON object of a profile; builders write null for what is empty."""


class _Arg(_Part):
    index: int
    value: int
    op: str
    value_two: int | None = None


class _Condition(_Part):
    caps: list[str] | None = None
    arches: list[str] | None = None
    min_kernel: str | None = None


class _Rule(_Part):
    action: str
    name: str | None = None
    names: list[str] | None = None
    errno_ret: int | None = None
    args: list[_Arg | None] | None = None
    includes: _Condition | None = None
    excludes: _Condition | None = None


class _Architecture(_Part):
    architecture: str
    sub_architectures: list[str] | None = None


class _Profile(_Part):
    default_action: str
    default_errno_ret: int | None = None
    architectures: list[str] | None = None
    arch_map: list[_Architecture] | None = None
    flags: list[str] | None = None
    syscalls: list[_Rule] | None = None


def read_profile(content: bytes) -> str:
    """The profile without its white space; `Invalid` says what is wrong, and where."""
    import json

    try:
        found: object = json.loads(content.decode())
    except UnicodeDecodeError as err:
        raise Invalid(f"is not text: {err.reason} at byte {err.start}") from err
    except json.JSONDecodeError as err:
        raise Invalid(f"is not JSON: {err.msg} at line {err.lineno}, column {err.colno}") from err
    except (ValueError, RecursionError) as err:
        raise Invalid(f"is not JSON that can be read: {err}") from err
    text = msgspec.json.encode(found).decode()
    if found_problems := problems(text):
        raise Invalid(found_problems[0], problems=found_problems)
    return text


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with a profile; none when a node can be given it."""
    if len(text.encode(errors="replace")) > LARGEST_BYTES:
        return (f"has more than {LARGEST_BYTES >> 10} KiB",)
    try:
        profile = msgspec.json.decode(text, type=_Profile)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as err:
        return (f"is not a seccomp profile: {err}",)
    found = [*_choice("defaultAction", profile.default_action, ACTIONS)]
    found += _errno("defaultErrnoRet", profile.default_errno_ret)
    if profile.architectures and profile.arch_map:
        found.append("architectures and archMap exclude each other; give one")
    for number, flag in enumerate(profile.flags or ()):
        found += _choice(f"flags[{number}]", flag, FLAGS)
    for number, rule in enumerate(profile.syscalls or ()):
        found += _rule(f"syscalls[{number}]", rule)
    return tuple(found)


def named(setting: str) -> str:
    """A setting as it is, but for a profile, which is named by its digest."""
    if setting in ("", UNCONFINED):
        return setting
    return f"sha256:{sha256(setting.encode()).hexdigest()}"


def _rule(path: str, rule: _Rule) -> list[str]:
    found = _choice(f"{path}.action", rule.action, ACTIONS)
    found += _errno(f"{path}.errnoRet", rule.errno_ret)
    if rule.name and rule.names:
        found.append(f"{path}: name and names exclude each other; give one")
    elif not rule.name and not rule.names:
        found.append(f"{path}.names: must name at least one system call")
    for number, arg in enumerate(rule.args or ()):
        if arg is not None:
            found += _arg(f"{path}.args[{number}]", arg)
    for kind, condition in (("includes", rule.includes), ("excludes", rule.excludes)):
        if condition is not None:
            found += _condition(f"{path}.{kind}", condition)
    return found


def _arg(path: str, arg: _Arg) -> list[str]:
    found = _choice(f"{path}.op", arg.op, COMPARISONS)
    if not 0 <= arg.index <= 5:
        found.append(f"{path}.index: {arg.index} is not in 0..5")
    for name, value in (("value", arg.value), ("valueTwo", arg.value_two or 0)):
        if not 0 <= value < 2**64:
            found.append(f"{path}.{name}: {value} is not in 0..2^64-1")
    return found


def _condition(path: str, condition: _Condition) -> list[str]:
    found: list[str] = []
    for number, name in enumerate(condition.caps or ()):
        try:
            parse_capability(name)
        except Invalid as err:
            found.append(f"{path}.caps[{number}]: {err.message}")
    if condition.min_kernel and not _KERNEL.fullmatch(condition.min_kernel):
        found.append(f"{path}.minKernel: {condition.min_kernel!r} is not like 4.8")
    return found


def _choice(path: str, value: str, known: frozenset[str]) -> list[str]:
    if value in known:
        return []
    return [f"{path}: {value!r} is not one of {', '.join(sorted(known))}"]


def _errno(path: str, value: int | None) -> list[str]:
    if value is None or 0 <= value <= _LARGEST_ERRNO:
        return []
    return [f"{path}: {value} is not in 0..{_LARGEST_ERRNO}"]
