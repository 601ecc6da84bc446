"""Say which version of Docker's API a request speaks, or that it cannot be spoken.

A path may begin with `/v1.43`; without it, and for every client that asked first (`/_ping`), the
latest is meant. What differs by version asks `version >= Version(1, 44)`.

Versions below 1.24 are answered as 1.24 is: skopeo and what else is made of containers/image says
that it speaks 1.22, and never asks what we do.
"""

import re
from typing import NamedTuple

from swarm.errors import Invalid


class Version(NamedTuple):
    """One version of the API."""

    major: int
    minor: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


LATEST = Version(1, 47)
LEAST = Version(1, 12)  # as Docker had it for as long as it spoke 1.41

_PREFIX = re.compile(r"/v([0-9.]+)(?=/)")
_VERSION = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?(?:\.\d+)*\.?")


def split(path: str) -> tuple[str, str]:
    """The version that `path` begins with, as it was written and maybe empty, and the rest."""
    found = _PREFIX.match(path)
    return ("", path) if found is None else (found[1], path[found.end() :])


def judge(text: str) -> Version:
    """The version that `text` means; `Invalid` in the words that clients look for."""
    if not text:
        return LATEST
    found = _VERSION.fullmatch(text)
    if found is None:
        raise Invalid(f"client version {text} is not a version of the API: write it like {LATEST}")
    version = Version(int(found[1]), int(found[2] or 0))
    if version < LEAST:
        raise Invalid(
            f"client version {text} is too old. Minimum supported API version is {LEAST}, "
            "please upgrade your client to a newer version"
        )
    if version > LATEST:
        raise Invalid(
            f"client version {text} is too new. Maximum supported API version is {LATEST}"
        )
    return version
