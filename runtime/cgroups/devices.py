"""Let a container use the usual harmless devices, what its config adds, and no other.

CAP_MKNOD is among the default capabilities, so without this filter root in a container could
make a node for the host's disk and read it. Rules are an ordered list that starts from nothing
allowed; for each kind of access the last rule that fits a device decides. v1 knows only a
default and unordered exceptions from it, so the list is boiled down to these; what it cannot
express is refused. v2 runs a program (`runtime.cgroups.device_program`) which can say it all.
"""

from collections.abc import Iterable
from itertools import combinations
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from runtime.cgroups.setting import Demand, Refusal, Setting
from runtime.oci.config import DeviceRule

ANY: Final = -1
_ALL_ACCESS: Final = "rwm"
_OPENING: Final = frozenset("rw")
_MOST: Final = 1 << 32  # device numbers are 32 bits

# What every container may use besides: making nodes is allowed for all, what counts is opening.
USUAL: Final = (
    DeviceRule(allow=True, type="c", access="m"),
    DeviceRule(allow=True, type="b", access="m"),
    DeviceRule(allow=True, type="c", major=1, minor=3, access="rwm"),  # null
    DeviceRule(allow=True, type="c", major=1, minor=5, access="rwm"),  # zero
    DeviceRule(allow=True, type="c", major=1, minor=7, access="rwm"),  # full
    DeviceRule(allow=True, type="c", major=1, minor=8, access="rwm"),  # random
    DeviceRule(allow=True, type="c", major=1, minor=9, access="rwm"),  # urandom
    DeviceRule(allow=True, type="c", major=5, minor=0, access="rwm"),  # tty
    DeviceRule(allow=True, type="c", major=5, minor=1, access="rwm"),  # console
    DeviceRule(allow=True, type="c", major=5, minor=2, access="rwm"),  # ptmx
    DeviceRule(allow=True, type="c", major=136, access="rwm"),  # pts
)


class Rule(Struct, frozen=True):
    """Devices of `kind` b or c, by numbers or ANY, and what of `r`, `w`, `m` it is about."""

    allow: bool
    kind: str
    major: int
    minor: int
    access: frozenset[str]

    def covers(self, other: "Rule") -> bool:
        """Whether all devices of `other` are among these."""
        return (
            self.kind == other.kind
            and self.major in (ANY, other.major)
            and self.minor in (ANY, other.minor)
        )

    def meets(self, other: "Rule") -> bool:
        """Whether some device is of both."""
        return (
            self.kind == other.kind
            and (ANY in (self.major, other.major) or self.major == other.major)
            and (ANY in (self.minor, other.minor) or self.minor == other.minor)
        )


class Filter(Struct, frozen=True):
    """What is decided where no rule fits, and the rules in order."""

    allow: bool
    rules: tuple[Rule, ...]


def parse(text: str) -> DeviceRule | None:
    """What `c 1:3 rwm` or `b *:* r` allows; None if it says nothing of that kind."""
    kind, _, rest = text.partition(" ")
    numbers, _, access = rest.partition(" ")
    major, colon, minor = numbers.partition(":")
    if kind not in ("a", "b", "c") or not colon or not access or not set(access) <= {*_ALL_ACCESS}:
        return None
    if not all(each == "*" or (each.isascii() and each.isdecimal()) for each in (major, minor)):
        return None
    return DeviceRule(
        allow=True,
        type=kind,
        major=None if major == "*" else int(major),
        minor=None if minor == "*" else int(minor),
        access=access,
    )


def read_rules(rules: Iterable[DeviceRule]) -> Filter:
    """A rule of type `a` for everything makes all before it irrelevant."""
    found = Filter(allow=False, rules=())
    for rule in rules:
        access = frozenset(rule.access or _ALL_ACCESS)
        major, minor = _number(rule.major), _number(rule.minor)
        kinds = ("b", "c") if rule.type in ("", "a") else (rule.type,)
        if len(kinds) == 2 and major == minor == ANY and access == frozenset(_ALL_ACCESS):
            found = Filter(allow=rule.allow, rules=())
            continue
        # Beyond what a device can have, it fits none.
        if major < _MOST and minor < _MOST:
            made = (Rule(rule.allow, kind, major, minor, access) for kind in kinds)
            found = replace(found, rules=(*found.rules, *made))
    return found


def v1(asked: Filter) -> tuple[Demand, ...]:
    """For a group that is new; Documentation/admin-guide/cgroup-v1/devices.rst."""
    lines = exceptions(asked)
    if isinstance(lines, Refusal):
        return (lines,)
    default, but = ("allow", "deny") if asked.allow else ("deny", "allow")
    settings: tuple[Setting, ...] = (Setting(f"devices.{default}", ("a",)),)
    if lines:
        settings += (Setting(f"devices.{but}", lines),)
    return settings


def exceptions(asked: Filter) -> tuple[str, ...] | Refusal:
    """What differs from the default, as lines that v1 takes in any order."""
    found: dict[tuple[str, int, int], Rule] = {}
    for rule in asked.rules:
        if rule.allow is asked.allow:
            refusal = _take_back(found, rule)
            if refusal is not None:
                return refusal
        else:
            _add(found, rule)
    if not asked.allow:
        _join(found)
    return tuple(_line(rule) for rule in found.values())


def _add(found: dict[tuple[str, int, int], Rule], rule: Rule) -> None:
    before = found.get(_key(rule))
    access = rule.access | before.access if before is not None else rule.access
    found[_key(rule)] = replace(rule, access=access)


def _take_back(found: dict[tuple[str, int, int], Rule], rule: Rule) -> Refusal | None:
    for key, other in list(found.items()):
        if not (rule.meets(other) and rule.access & other.access):
            continue
        if not rule.covers(other):
            what = "deny" if other.allow else "allow"
            text = f"cgroup v1 cannot {what} {_line(rule)!r} after {_line(other)!r}, which is wider"
            return Refusal("devices", text)
        left = other.access - rule.access
        if left:
            found[key] = replace(other, access=left)
        else:
            del found[key]
    return None


def _join(found: dict[tuple[str, int, int], Rule]) -> None:
    """Have one exception allow by itself what several allow together: the kernel asks one.

    It asks for reading and writing at once, but never for more along with making a node.
    """
    changed = True
    while changed:
        changed = False
        for one, other in combinations(tuple(found.values()), 2):
            if one.meets(other):
                both = Rule(
                    one.allow,
                    one.kind,
                    max(one.major, other.major),
                    max(one.minor, other.minor),
                    (one.access | other.access) & _OPENING,
                )
                before = found.get(_key(both), one)
                if not any(both.access <= each.access for each in (one, other, before)):
                    _add(found, both)
                    changed = True


def _key(rule: Rule) -> tuple[str, int, int]:
    return rule.kind, rule.major, rule.minor


def _number(number: int | None) -> int:
    return ANY if number is None or number < 0 else number


def _line(rule: Rule) -> str:
    major, minor = ("*" if number == ANY else str(number) for number in (rule.major, rule.minor))
    access = "".join(letter for letter in _ALL_ACCESS if letter in rule.access)
    return f"{rule.kind} {major}:{minor} {access}"
