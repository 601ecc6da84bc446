"""Resolve a user as the image's own passwd and group files know it.

The forms are Docker's: nothing, `uid`, `uid:gid`, `name`, `name:group`. A number that no
file knows is taken as it is, with group 0; a name that no file knows is refused. Without an
explicit group, the user's memberships in the group file are added.
"""

from collections.abc import Iterator
from errno import EINVAL

from msgspec import Struct

from swarm.errors import KernelRefused

# One more is -1 to the kernel: an id that is to stay as it is, which is root's.
_LAST_ID = 2**32 - 2
_DIGITS = 10


class Identity(Struct, frozen=True):
    """Whom a process runs as."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


class _Entry(Struct, frozen=True):
    name: str
    uid: int
    gid: int
    home: str


def resolve(user: str, additional: tuple[str, ...], passwd: str, group: str) -> Identity:
    """Read `user` (and groups by name or number) against the texts of both files."""
    wanted, colon, wanted_group = user.partition(":")
    entry = _find_user(wanted or "0", passwd)
    if entry is None:
        if not wanted.isdecimal():
            raise _unknown("user", wanted, "/etc/passwd")
        entry = _Entry("", _number(wanted), 0, "/")
    if colon and wanted_group:
        gid, groups = _find_gid(wanted_group, group), set[int]()
    else:
        gid = entry.gid
        groups = {each for _, each, members in _groups(group) if entry.name in members}
    groups |= {_find_gid(each, group) for each in additional}
    for number in (entry.uid, gid, *groups):
        if number > _LAST_ID:
            raise _too_large(number)
    return Identity(entry.uid, gid, tuple(sorted(groups - {gid} | {gid})), entry.home or "/")


def home_of(uid: int, passwd: str) -> str:
    """The home directory of a user by number, where the image knows one."""
    entry = _find_user(str(uid), passwd)
    return (entry.home if entry else "") or "/"


def _find_user(wanted: str, passwd: str) -> _Entry | None:
    entries = list(_users(passwd))
    for entry in entries:
        if entry.name == wanted:
            return entry
    number = _number(wanted) if wanted.isdecimal() else None
    found = next((entry for entry in entries if entry.uid == number), None)
    return found if found or number != 0 else _Entry("root", 0, 0, "/root")


def _find_gid(wanted: str, group: str) -> int:
    for name, gid, _ in _groups(group):
        if name == wanted:
            return gid
    if wanted.isdecimal():
        return _number(wanted)
    raise _unknown("group", wanted, "/etc/group")


def _users(passwd: str) -> Iterator[_Entry]:
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) >= 6 and fields[2].isdecimal() and fields[3].isdecimal():
            yield _Entry(fields[0], _number(fields[2]), _number(fields[3]), fields[5])


def _groups(group: str) -> Iterator[tuple[str, int, tuple[str, ...]]]:
    for line in group.splitlines():
        fields = line.split(":")
        if len(fields) >= 3 and fields[2].isdecimal():
            members = tuple(filter(None, fields[3].split(","))) if len(fields) > 3 else ()
            yield fields[0], _number(fields[2]), members


def _number(digits: str) -> int:
    """Python refuses to read thousands of digits, and nobody has such a number."""
    return int(digits) if len(digits) <= _DIGITS else _LAST_ID + 1


def _too_large(number: int) -> KernelRefused:
    return KernelRefused(
        "set user", EINVAL, f"no user or group can have the number {number}",
        hint=f"use one between 0 and {_LAST_ID}",
    )  # fmt: skip


def _unknown(kind: str, name: str, file: str) -> KernelRefused:
    return KernelRefused(
        f"set {kind}",
        EINVAL,
        f"the image's {file} has no {kind} {name!r}",
        hint=f"use a number, or an image that has this {kind}",
    )
