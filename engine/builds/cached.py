"""Show what the builder remembers, and choose what of it goes.

Of the filters of Docker's builder all are known but that for parents: our records have none. They
have no labels either, so one that has to have some is none of them. None is in use: a build holds
the layers that it goes on with, whatever is forgotten meanwhile.
"""

from collections.abc import Iterable, Mapping

from engine import filters as chosen
from engine import times
from engine.filters import Filters, Test, truth
from engine.replies import JsonObject
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid

_TYPE = "regular"
_TESTS: Mapping[str, Test[pb.BuildCacheRecord]] = {
    "id": lambda record, value: value in record.id,
    "type": lambda _, value: value == _TYPE,
    "description": lambda record, value: value == record.description,
    "label": lambda _, value: False,
    "label!": lambda _, value: True,
}
_SWITCHES = ("inuse", "shared", "private")
_AGES = ("until", "unused-for")
_LEAST = 1e-6  # 0 is no bound, and not 1970


def write_records(records: Iterable[pb.BuildCacheRecord]) -> list[JsonObject]:
    """BuildCache, as GET /system/df has it."""
    return [
        {
            "ID": each.id,
            "Type": _TYPE,
            "Description": each.description,
            "InUse": False,
            "Shared": each.shared,
            "Size": each.size_bytes,
            "CreatedAt": times.stamp(each.created_at),
            "LastUsedAt": times.stamp(each.last_used_at),
            "UsageCount": each.uses,
        }
        for each in records
    ]


def own_bytes(records: Iterable[pb.BuildCacheRecord]) -> int:
    """What would be free if all of it went."""
    return sum(each.size_bytes for each in records if not each.shared)


def read_unused_since(filters: Filters, *, now: float) -> float:
    """What was used since stays; 0: nothing does for that."""
    values = [value for key in _AGES for value in filters.get(key, ())]
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return max(times.moment(values[0], now=now, name="until"), _LEAST) if values else 0.0


def narrows(filters: Filters) -> bool:
    """Whether `choose` has to be asked."""
    return any(key not in _AGES for key in filters)


def choose(records: Iterable[pb.BuildCacheRecord], filters: Filters) -> list[str]:
    """The ids of those that pass all filters but those of age."""
    chosen.check(filters, (*_TESTS, *_SWITCHES, *_AGES))
    simple = {key: values for key, values in filters.items() if key in _TESTS}
    shared, private = truth(filters, "shared"), truth(filters, "private")
    if truth(filters, "inuse"):
        return []
    return [
        each.id
        for each in chosen.selected(records, simple, _TESTS)
        if shared in (None, each.shared) and private in (None, not each.shared)
    ]
