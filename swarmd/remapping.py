"""Work out which ids of the host a node's containers get for their own.

`--userns-remap` takes what Docker's takes, the owner of ranges in /etc/subuid and /etc/subgid,
or the range itself. A range has to hold the ids that images use, up to nobody's 65534, and
never the host's root: a container with half of its users missing, or with the host's root
among them, would be worse than a node that does not start.
"""

from collections.abc import Collection, Iterator, Sequence

from msgspec import Struct

from runtime.oci.config import IdMapping
from runtime.spec import UserNamespace
from swarm.errors import Invalid, Refused

DEFAULT = "default"
DEFAULT_OWNER = "swarmd"
LEAST_IDS = 65536
OLDEST_KERNEL = (5, 19)

_LARGEST_ID = 2**32 - 2  # the last one means "none" to the kernel
_FIRST_FREE = 231072
_HINT = "give default, FIRST:COUNT or USER[:GROUP]"


class Owner(Struct, frozen=True, kw_only=True):
    """Whose ranges are wanted, as the lines of a file may name it: by name or by number."""

    user: str
    group: str


class Range(Struct, frozen=True, kw_only=True):
    """Ids of the host, the same numbers for users and groups."""

    first: int
    count: int


def parse_remap(text: str) -> Owner | Range:
    """Read the flag; `Invalid` when it is none of its forms."""
    if text == DEFAULT:
        return Owner(user=DEFAULT_OWNER, group=DEFAULT_OWNER)
    left, colon, right = text.partition(":")
    if not left or (colon and not right) or ":" in right or any(map(str.isspace, text)):
        raise Invalid(f"--userns-remap {text!r} cannot be read", hint=_HINT)
    if colon and _is_number(left) and _is_number(right):
        return Range(first=int(left), count=int(right))
    return Owner(user=left, group=right or left)


def of_range(found: Range) -> UserNamespace:
    """The mapping of one range."""
    mapping = _mapping("--userns-remap", [(found.first, found.count)])
    return UserNamespace(uids=mapping, gids=mapping)


def of_owner(
    owner: Owner,
    *,
    users: Collection[str],
    groups: Collection[str],
    subuid: str,
    subgid: str,
) -> UserNamespace:
    """The mapping of all ranges that the files give to `users` and `groups`, the owner's names.

    `Refused` with the lines to add when there is none.
    """
    uids, gids = _ranges(users, subuid), _ranges(groups, subgid)
    if not uids or not gids:
        raise Refused(_missing(owner, bool(uids), bool(gids)), hint=_remedy(owner, subuid, subgid))
    return UserNamespace(uids=_mapping("/etc/subuid", uids), gids=_mapping("/etc/subgid", gids))


def require_kernel(release: str) -> None:
    """`Refused` on a kernel that cannot share image layers between mapped and other containers."""
    numbers = [each for each in release.replace("-", ".").split(".")[:2] if _is_number(each)]
    if len(numbers) == 2 and (int(numbers[0]), int(numbers[1])) < OLDEST_KERNEL:
        raise Refused(
            f"--userns-remap needs Linux 5.19 or newer, and this is {release}",
            hint="leave it out: older kernels cannot mount image layers with other ids",
        )


def _ranges(names: Collection[str], text: str) -> list[tuple[int, int]]:
    return [(first, count) for name, first, count in _lines(text) if name in names]


def _lines(text: str) -> Iterator[tuple[str, int, int]]:
    """Lines of subuid(5); what cannot be read belongs to nobody, as for other programs."""
    for line in text.splitlines():
        name, *numbers = line.strip().split(":")
        if len(numbers) == 2 and all(map(_is_number, numbers)):
            yield name, int(numbers[0]), int(numbers[1])


def _mapping(where: str, ranges: Sequence[tuple[int, int]]) -> tuple[IdMapping, ...]:
    """Ids of the container from 0 on, range after range."""
    found: list[IdMapping] = []
    total = 0
    for first, count in sorted(ranges):
        if first <= 0 or count <= 0 or first + count - 1 > _LARGEST_ID:
            raise Invalid(
                f"{where}: {first}:{count} is not a range of ids besides the host's root",
                hint=f"such as {_FIRST_FREE}:{LEAST_IDS}",
            )
        if found and first < found[-1].host_id + found[-1].size:
            raise Invalid(f"{where}: {first}:{count} overlaps another range of the same owner")
        found.append(IdMapping(container_id=total, host_id=first, size=count))
        total += count
    if total < LEAST_IDS:
        raise Invalid(
            f"{where}: {total} ids are too few, for images use those up to {LEAST_IDS - 2}",
            hint=f"give {LEAST_IDS}",
        )
    return tuple(found)


def _missing(owner: Owner, has_uids: bool, has_gids: bool) -> str:
    lacking = [
        f"/etc/subuid has no range for {owner.user}" * (not has_uids),
        f"/etc/subgid has no range for {owner.group}" * (not has_gids),
    ]
    return f"--userns-remap: {' and '.join(filter(None, lacking))}"


def _remedy(owner: Owner, subuid: str, subgid: str) -> str:
    """Lines that overlap nobody's."""
    ends = [first + count for text in (subuid, subgid) for _, first, count in _lines(text)]
    first = max((_FIRST_FREE, *ends))
    return (
        f"add {owner.user}:{first}:{LEAST_IDS} to /etc/subuid "
        f"and {owner.group}:{first}:{LEAST_IDS} to /etc/subgid"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 12
