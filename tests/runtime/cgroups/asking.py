"""Ask a controller, and make its answer short enough to compare."""

from collections.abc import Callable, Iterable

from runtime.cgroups.setting import Demand, Refusal
from runtime.oci.config import Resources

MIB = 1024 * 1024


def asked(
    controller: Callable[[Resources], Iterable[Demand]], resources: Resources
) -> dict[str, str | tuple[str, ...]]:
    """What is written where; what is refused has its reason under the field's name."""
    found: dict[str, str | tuple[str, ...]] = {}
    for each in controller(resources):
        if isinstance(each, Refusal):
            found[each.field] = each.reason
        else:
            found[each.file] = each.values[0] if len(each.values) == 1 else each.values
    return found
