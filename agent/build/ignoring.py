"""Decide what a .dockerignore keeps out of a build.

The last pattern that fits a path, or a directory above it, decides; one with `!` lets it in
again. The root itself cannot be kept out.
"""

import posixpath
import re

from msgspec import Struct

from agent.build.globbing import compile_ignored
from swarm.errors import Invalid


class Rule(Struct, frozen=True):
    """One pattern; an `is_exception` lets in what others kept out."""

    expression: re.Pattern[str]
    is_exception: bool


class Ignored(Struct, frozen=True):
    """What is kept out, rule by rule."""

    rules: tuple[Rule, ...] = ()

    @property
    def has_exceptions(self) -> bool:
        """Whether something below a directory that is kept out may come in all the same."""
        return any(rule.is_exception for rule in self.rules)

    def covers(self, path: str) -> bool:
        """Whether `path`, relative and clean, is kept out."""
        parts = path.split("/")
        ways = ["/".join(parts[: count + 1]) for count in range(len(parts))]
        is_out = False
        for rule in self.rules:
            if rule.is_exception == is_out and any(rule.expression.match(way) for way in ways):
                is_out = not rule.is_exception
        return is_out


def patterns(text: str) -> tuple[str, ...]:
    """The patterns of an ignore file, cleaned, exceptions with their `!`."""
    found: list[str] = []
    for line in text.removeprefix("\ufeff").splitlines():
        pattern = line.strip()
        if line.startswith("#") or not pattern:
            continue
        is_exception = pattern.startswith("!")
        pattern = pattern[is_exception:].strip()
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        found.append(f"{'!' * is_exception}{pattern}")
    return tuple(found)


def ignored(lines: tuple[str, ...]) -> Ignored:
    """The rules of `patterns`; `Invalid` names the one that is malformed."""
    rules: list[Rule] = []
    for line in lines:
        pattern = line.strip()
        if pattern == "!":
            raise Invalid('illegal exclusion pattern: "!"', hint="name what it lets in")
        is_exception = pattern.startswith("!")
        cleaned = _clean(pattern[is_exception:])
        rules.append(Rule(compile_ignored(cleaned), is_exception))
    return Ignored(tuple(rules))


def _clean(pattern: str) -> str:
    """As Go's filepath.Clean; Python keeps two leading slashes, which mean nothing here."""
    cleaned = posixpath.normpath(pattern)
    return cleaned[1:] if cleaned.startswith("//") else cleaned
