"""Show volumes as Docker's API does, and choose those that filters select or pruning removes.

Pruning takes volumes whose names were made up, and all that nobody uses only with `all`: a name
that somebody chose says that he will come back for it.
"""

from collections.abc import Callable, Iterable, Mapping

from engine.filters import Filters, check, has_label, has_labels, truth
from engine.patterns import matches
from engine.replies import JsonObject
from engine.services.words import ordered
from engine.times import stamp
from swarm.api.v1 import volumes_pb2
from swarm.volumes import ANONYMOUS, LOCAL

KNOWN = frozenset(("dangling", "driver", "label", "name"))
PRUNING = frozenset(("all", "label", "label!"))

Volume = volumes_pb2.Volume


def volume_json(volume: Volume, *, size_bytes: int | None = None) -> JsonObject:
    """A volume; with its size and how many containers need it where a size is given."""
    found: JsonObject = {
        "CreatedAt": stamp(volume.created_at),
        "Driver": volume.driver or LOCAL,
        "Labels": ordered(volume.labels) or None,
        "Mountpoint": volume.mountpoint,
        "Name": volume.name,
        "Options": ordered(volume.options) or None,
        "Scope": "local",
    }
    if size_bytes is not None:
        found["UsageData"] = {"Size": size_bytes, "RefCount": len(volume.users)}
    return found


def choose(volumes: Iterable[Volume], filters: Filters) -> list[Volume]:
    """Those that pass all `filters`, by name."""
    check(filters, KNOWN)
    dangling = truth(filters, "dangling")
    return [
        volume
        for volume in sorted(volumes, key=lambda each: each.name)
        if has_labels(volume.labels, filters)
        and (dangling is None or (not volume.users) is dangling)
        and all(
            any(_TESTS[key](volume, value) for value in values)
            for key, values in filters.items()
            if values and key in _TESTS
        )
    ]


def prunable(volumes: Iterable[Volume], filters: Filters, *, every: bool) -> list[str]:
    """The names of those that pruning removes; `every` one, or those without a chosen name."""
    check(filters, PRUNING)
    takes_all = every or truth(filters, "all") is True
    return [
        volume.name
        for volume in sorted(volumes, key=lambda each: each.name)
        if not volume.users
        and (takes_all or ANONYMOUS in volume.labels)
        and has_labels(volume.labels, filters)
        and not any(has_label(volume.labels, each) for each in filters.get("label!", ()))
    ]


_TESTS: Mapping[str, Callable[[Volume, str], bool]] = {
    "driver": lambda volume, text: matches(volume.driver or LOCAL, text),
    "name": lambda volume, text: matches(volume.name, text),
}
