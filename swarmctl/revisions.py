"""Tell what a service was, and what each change of it changed, in a line."""

import re
from collections.abc import Iterable, Sequence
from itertools import zip_longest

from msgspec import structs

from manager.differences import FieldChange, field_changes
from swarm.objects import Revision
from swarmctl.rows import ago
from swarmctl.tables import Listing, Row
from swarmctl.times import rfc3339

_PREFIXES = ("replicated.", "task.", "container.")
"""What goes without saying."""
_DIGEST = re.compile(r"(@sha256:[0-9a-f]{12})[0-9a-f]+")
_SHOWN = 60
"""How much of the changes fits a table."""

REVISIONS = Listing(
    columns=("Revision", "Version", "Since", "Cause", "Changes"),
    headings={
        "Revision": "REVISION",
        "Version": "VERSION",
        "Since": "CHANGED",
        "ChangedAt": "CHANGED AT",
        "Cause": "CAUSE",
        "Changes": "CHANGES",
    },
    key="Revision",
    drawn=("Since",),
)


def revision_rows(revisions: Sequence[Revision], *, now: float, full: bool = False) -> list[Row]:
    """A row for each, the newest first as they come; the oldest one kept has nothing before it."""
    pairs = zip_longest(revisions, revisions[1:])
    return [_row(each, before, now=now, full=full) for each, before in pairs]


def _row(revision: Revision, before: Revision | None, *, now: float, full: bool) -> Row:
    found = () if before is None else field_changes(before.spec, revision.spec)
    changes = told(found if full else map(_shortened, found))
    if not full and len(changes) > _SHOWN:
        changes = f"{changes[: _SHOWN - 1]}\u2026"
    return {
        "Revision": str(revision.number),
        "Version": str(revision.spec_version),
        "Since": ago(revision.at, now),
        "ChangedAt": rfc3339(revision.at),
        "Cause": revision.cause,
        "Changes": changes,
    }


def told(changes: Iterable[FieldChange]) -> str:
    """`replicas 2 to 5, image web:1 to web:2`."""
    return ", ".join(map(_told, changes))


def _shortened(change: FieldChange) -> FieldChange:
    """Images without their digests where the tags tell them apart, and with short ones else."""
    if not change.path.endswith("container.image"):
        return change
    names = [text.partition("@")[0] for text in (change.before, change.after)]
    if names[0] == names[1]:
        names = [_DIGEST.sub(r"\1", text) for text in (change.before, change.after)]
    return structs.replace(change, before=names[0], after=names[1])


def _told(change: FieldChange) -> str:
    path = change.path
    for prefix in _PREFIXES:
        path = path.removeprefix(prefix)
    if not change.before:
        return f"{path} {change.after} added"
    if not change.after:
        return f"{path} {change.before} removed"
    return f"{path} {change.before} to {change.after}"
