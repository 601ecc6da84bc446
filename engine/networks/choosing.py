"""Find the network that a client means, and those that its filters select.

A whole id wins, then a whole name, then the beginning of an id; within each, a network of this node
and one of the swarm may both be meant, and then the client has to say more.
"""

from collections.abc import Iterable

from engine.filters import Filters, check, has_label, has_labels, truth
from engine.networks.showing import Known
from engine.patterns import matches
from swarm.errors import Invalid, Missing

KNOWN = frozenset(("driver", "id", "label", "name", "scope", "type", "dangling"))
PRUNING = frozenset(("label", "label!", "until"))
_TYPES = ("builtin", "custom")


def find(networks: Iterable[Known], term: str, *, scope: str = "") -> Known:
    """The network that `term` means, of `scope` if one is given."""
    found = [each for each in networks if not scope or each.scope == scope]
    for each in found:
        if each.network.id == term:
            return each
    for alike, how in (
        ([each for each in found if each.network.spec.name == term], "name"),
        ([each for each in found if term and each.network.id.startswith(term)], "ID prefix"),
    ):
        if len(alike) == 1:
            return alike[0]
        if alike:
            raise Invalid(
                f"network {term} is ambiguous ({len(alike)} matches found based on {how})",
                hint="use the whole id, or give the scope: local or swarm",
            )
    raise Missing(f"network {term} not found")


def choose(networks: Iterable[Known], filters: Filters) -> list[Known]:
    """Those that pass all `filters`."""
    check(filters, KNOWN)
    for value in filters.get("type", ()):
        if value not in _TYPES:
            raise Invalid(f"invalid filter: 'type'='{value}'", hint="use builtin or custom")
    dangling = truth(filters, "dangling")
    return [
        each
        for each in networks
        if has_labels(each.network.spec.labels, filters)
        and (dangling is None or is_dangling(each) is dangling)
        and all(_passes(each, key, values) for key, values in filters.items() if values)
    ]


def is_dangling(known: Known) -> bool:
    """Whether nothing uses a network that something could use."""
    return not (known.is_built_in or known.network.spec.ingress or known.is_used)


def prunable(networks: Iterable[Known], filters: Filters, *, until: float) -> list[Known]:
    """The networks that pruning removes; `until` 0 is without regard to their age."""
    check(filters, PRUNING)
    return [
        each
        for each in networks
        if is_dangling(each)
        and has_labels(each.network.spec.labels, filters)
        and not any(has_label(each.network.spec.labels, no) for no in filters.get("label!", ()))
        and (not until or each.network.created_at < until)
    ]


def _passes(known: Known, key: str, values: Iterable[str]) -> bool:
    network = known.network
    match key:
        case "driver":
            return known.driver in values
        case "id":
            return any(matches(network.id, each) for each in values)
        case "name":
            return any(matches(network.spec.name, each) for each in values)
        case "scope":
            return known.scope in values
        case "type":
            return ("builtin" if known.is_built_in else "custom") in values
        case _:
            return True
