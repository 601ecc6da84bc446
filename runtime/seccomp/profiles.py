"""Turn what a user names a profile into the filter of one container.

Profiles are JSON in Docker's format: the filter of an OCI config, and beside it conditions, so
that one file serves every machine, kernel and set of capabilities. A plain OCI filter is such a
profile without conditions. Resolving them here leaves a filter that says the same to everyone.
"""

import errno
import re
from collections.abc import Collection, Iterator
from typing import Final

from msgspec import Struct

from runtime.oci import names, ranges
from runtime.oci.config import Seccomp, Syscall, SyscallArg
from runtime.oci.problem import Problem, one_of
from runtime.oci.reading import read
from runtime.oci.seccomp_checks import of_seccomp
from runtime.seccomp.default import default_profile
from swarm.errors import Invalid

DEFAULT: Final = "default"
UNCONFINED: Final = "unconfined"

# Docker's names of machines, which are Go's, libseccomp's or Linux's own.
_MACHINES: Final = {
    "x86_64": ("amd64", "x86_64", "SCMP_ARCH_X86_64"),
    "i386": ("x86", "386", "SCMP_ARCH_X86"),
    "i686": ("x86", "386", "SCMP_ARCH_X86"),
    "aarch64": ("arm64", "aarch64", "SCMP_ARCH_AARCH64"),
    "armv7l": ("arm", "SCMP_ARCH_ARM"),
    "ppc64le": ("ppc64le", "SCMP_ARCH_PPC64LE"),
    "riscv64": ("riscv64", "SCMP_ARCH_RISCV64"),
    "s390x": ("s390x", "SCMP_ARCH_S390X"),
    "loongarch64": ("loong64", "loongarch64", "SCMP_ARCH_LOONGARCH64"),
}
_ERRNOS: Final = {name: number for number, name in errno.errorcode.items()}
_VERSION: Final = re.compile(r"(\d{1,3})\.(\d{1,3})")


class _Part(Struct, frozen=True, rename="camel"):
    """A JSON object of a profile."""


class Machines(_Part, frozen=True, kw_only=True):
    """An architecture, and those whose programs it runs too."""

    architecture: str
    sub_architectures: tuple[str, ...] = ()


class Condition(_Part, frozen=True, kw_only=True):
    """When a rule counts: all of `caps`, any of `arches`, a kernel from `min_kernel` on."""

    caps: tuple[str, ...] = ()
    arches: tuple[str, ...] = ()
    min_kernel: str = ""


class Rule(_Part, frozen=True, kw_only=True):
    """A rule of a filter, with conditions. `name` is an old way to write one of `names`."""

    names: tuple[str, ...] = ()
    name: str = ""
    action: str
    errno_ret: int | None = None
    errno: str = ""
    args: tuple[SyscallArg, ...] = ()
    includes: Condition = Condition()
    excludes: Condition = Condition()


class Profile(_Part, frozen=True, kw_only=True):
    """The file. The names of error numbers are Podman's addition."""

    default_action: str
    default_errno_ret: int | None = None
    default_errno: str = ""
    architectures: tuple[str, ...] = ()
    arch_map: tuple[Machines, ...] = ()
    flags: tuple[str, ...] = ()
    listener_path: str = ""
    listener_metadata: str = ""
    syscalls: tuple[Rule, ...] = ()


class Surroundings(Struct, frozen=True, kw_only=True):
    """What conditions are about: the bounding set, and uname(2)'s machine and kernel."""

    capabilities: frozenset[str]
    machine: str
    kernel: tuple[int, int]


def surroundings(capabilities: Collection[str], machine: str, release: str) -> Surroundings:
    """`machine` and `release` as uname(2) has them, such as `6.1.0-18-amd64`."""
    found = _VERSION.match(release)
    kernel = (int(found[1]), int(found[2])) if found else (0, 0)
    return Surroundings(capabilities=frozenset(capabilities), machine=machine, kernel=kernel)


def filter_for(asked: str, around: Surroundings) -> Seccomp | None:
    """The filter for `default`, `unconfined` (none) or a profile's text.

    Raises `Invalid` with every problem of the text.
    """
    if asked == UNCONFINED:
        return None
    if asked == DEFAULT:
        return default_profile(around.capabilities, machine=around.machine, kernel=around.kernel)
    return resolve(read_profile(asked), around)


def read_profile(text: bytes | str) -> Profile:
    """Raise `Invalid` with every problem of the file, whichever conditions hold."""
    return read("seccomp profile", text, Profile, _problems)


def problems(asked: str) -> tuple[str, ...]:
    """What `filter_for` would refuse, whatever surrounds it; for whoever only passes it on."""
    if asked in ("", DEFAULT, UNCONFINED):
        return ()
    try:
        read_profile(asked)
    except Invalid as err:
        return err.problems
    return ()


def resolve(profile: Profile, around: Surroundings) -> Seccomp:
    """The filter that the profile means here."""
    return Seccomp(
        default_action=profile.default_action,
        default_errno_ret=_errno(profile.default_errno_ret, profile.default_errno),
        architectures=profile.architectures or _architectures(profile, around),
        flags=profile.flags,
        listener_path=profile.listener_path,
        listener_metadata=profile.listener_metadata,
        syscalls=tuple(_plain(rule) for rule in profile.syscalls if _counts(rule, around)),
    )


def _architectures(profile: Profile, around: Surroundings) -> tuple[str, ...]:
    for each in profile.arch_map:
        if each.architecture in _MACHINES.get(around.machine, ()):
            return (each.architecture, *each.sub_architectures)
    return ()


def _counts(rule: Rule, around: Surroundings) -> bool:
    machines = _MACHINES.get(around.machine, (around.machine,))
    wanted, unwanted = rule.includes, rule.excludes
    return (
        around.capabilities.issuperset(wanted.caps)
        and (not wanted.arches or not set(machines).isdisjoint(wanted.arches))
        and (not wanted.min_kernel or around.kernel >= _version(wanted.min_kernel))
        and around.capabilities.isdisjoint(unwanted.caps)
        and set(machines).isdisjoint(unwanted.arches)
        and (not unwanted.min_kernel or around.kernel < _version(unwanted.min_kernel))
    )


def _plain(rule: Rule) -> Syscall:
    return Syscall(
        names=rule.names or (rule.name,),
        action=rule.action,
        errno_ret=_errno(rule.errno_ret, rule.errno),
        args=rule.args,
    )


def _version(text: str) -> tuple[int, int]:
    major, _, minor = text.partition(".")
    return int(major), int(minor)


def _errno(number: int | None, name: str) -> int | None:
    return number if number is not None else _ERRNOS.get(name)


def _problems(profile: Profile) -> list[Problem]:
    """Those of the conditions, and of the filter if all of them held."""
    whole = Seccomp(
        default_action=profile.default_action,
        default_errno_ret=_errno(profile.default_errno_ret, profile.default_errno),
        architectures=profile.architectures,
        flags=profile.flags,
        listener_path=profile.listener_path,
        listener_metadata=profile.listener_metadata,
        syscalls=tuple(_plain(rule) for rule in profile.syscalls),
    )
    return [*_own_problems(profile), *ranges.problems(whole), *of_seccomp("", whole)]


def _own_problems(profile: Profile) -> Iterator[Problem]:
    if profile.architectures and profile.arch_map:
        yield Problem("archMap", "must be absent where architectures are given")
    for number, machines in enumerate(profile.arch_map):
        for name in (machines.architecture, *machines.sub_architectures):
            yield from one_of(f"archMap[{number}]", name, names.SECCOMP_ARCHITECTURES)
    yield from _errno_problems("defaultErrno", profile.default_errno)
    for number, rule in enumerate(profile.syscalls):
        path = f"syscalls[{number}]"
        if bool(rule.name) == bool(rule.names):
            yield Problem(path, "must have either name or names")
        yield from _errno_problems(f"{path}.errno", rule.errno)
        yield from _condition(f"{path}.includes", rule.includes)
        yield from _condition(f"{path}.excludes", rule.excludes)


def _errno_problems(path: str, name: str) -> Iterator[Problem]:
    if name and name not in _ERRNOS:
        yield Problem(path, f"no error is called {name!r}")


def _condition(path: str, condition: Condition) -> Iterator[Problem]:
    for number, name in enumerate(condition.caps):
        if name not in names.CAPABILITIES:
            yield Problem(f"{path}.caps[{number}]", f"no capability is called {name!r}")
    if condition.min_kernel and not _VERSION.fullmatch(condition.min_kernel):
        text = f"must be a version such as 4.8, is {condition.min_kernel!r}"
        yield Problem(f"{path}.minKernel", text)
