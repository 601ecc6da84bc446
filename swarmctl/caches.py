"""Write what the builder of this host remembers."""

from collections.abc import Iterable, Iterator

from swarm.api.v1 import builds_pb2 as pb
from swarm.quantities import format_size
from swarmctl.rows import Detail
from swarmctl.tables import Listing
from swarmctl.times import rfc3339

_SHOWN = 60

CACHE = Listing(
    columns=("ID", "Size", "LastUsedAt", "UsageCount", "Shared", "Description"),
    headings={
        "ID": "CACHE ID",
        "Size": "SIZE",
        "CreatedAt": "CREATED AT",
        "LastUsedAt": "LAST USED",
        "UsageCount": "USAGE",
        "Shared": "SHARED",
        "Description": "DESCRIPTION",
    },
)


def cache_rows(records: Iterable[pb.BuildCacheRecord], detail: Detail) -> Iterator[dict[str, str]]:
    """A row for what each step came to, as the node orders them."""
    for each in records:
        text = " ".join(each.description.split())
        is_whole = detail.full or len(text) <= _SHOWN
        yield {
            "ID": detail.id(each.id),
            "Size": format_size(each.size_bytes),
            "CreatedAt": rfc3339(each.created_at),
            "LastUsedAt": rfc3339(each.last_used_at),
            "UsageCount": str(each.uses),
            "Shared": str(each.shared).lower(),
            "Description": text if is_whole else f"{text[: _SHOWN - 1]}…",
        }
