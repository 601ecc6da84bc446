"""Tell what a service was, and what each change of it changed, in a line."""

from collections.abc import Sequence

from manager.differences import FieldChange, field_changes
from swarm.objects import Revision
from swarmctl.rows import ago
from swarmctl.tables import Listing, Row
from swarmctl.times import rfc3339

_PREFIXES = ("replicated.", "task.", "container.")
"""What goes without saying."""
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
    older = (*revisions[1:], None)
    return [_row(*pair, now=now, full=full) for pair in zip(revisions, older, strict=True)]


def _row(revision: Revision, before: Revision | None, *, now: float, full: bool) -> Row:
    changes = "" if before is None else told(field_changes(before.spec, revision.spec))
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


def told(changes: Sequence[FieldChange]) -> str:
    """`replicas 2 to 5, image web:1 to web:2`."""
    return ", ".join(map(_told, changes))


def _told(change: FieldChange) -> str:
    path = change.path
    for prefix in _PREFIXES:
        path = path.removeprefix(prefix)
    if not change.before:
        return f"{path} {change.after} added"
    if not change.after:
        return f"{path} {change.before} removed"
    return f"{path} {change.before} to {change.after}"
