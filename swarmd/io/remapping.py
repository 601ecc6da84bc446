"""Read what this host has to say about other ids for its containers."""

import grp
import os
import pwd
from collections.abc import Callable
from pathlib import Path

from runtime.spec import UserNamespace
from swarmd.remapping import Range, of_owner, of_range, parse_remap, require_kernel


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def resolve(text: str, *, read: Callable[[str], str] = _read) -> UserNamespace | None:
    """What `--userns-remap` means here; None when it was not given."""
    if not text:
        return None
    wanted = parse_remap(text)
    require_kernel(os.uname().release)
    if isinstance(wanted, Range):
        return of_range(wanted)
    return of_owner(
        wanted,
        users=_names(wanted.user, _user),
        groups=_names(wanted.group, _group),
        subuid=read("/etc/subuid"),
        subgid=read("/etc/subgid"),
    )


def _names(text: str, known: Callable[[str], tuple[str, int]]) -> frozenset[str]:
    """The owner by name and by number, where the host knows both."""
    try:
        name, number = known(text)
    except (KeyError, OverflowError):
        return frozenset((text,))
    return frozenset((text, name, str(number)))


def _user(text: str) -> tuple[str, int]:
    found = pwd.getpwuid(int(text)) if text.isdecimal() else pwd.getpwnam(text)
    return found.pw_name, found.pw_uid


def _group(text: str) -> tuple[str, int]:
    found = grp.getgrgid(int(text)) if text.isdecimal() else grp.getgrnam(text)
    return found.gr_name, found.gr_gid
