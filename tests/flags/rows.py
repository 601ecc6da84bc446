"""All rows of the table."""

from swarmctl.catalog import ROOT, Branch
from tests.flags import kernel_flags, other_flags, plan_flags
from tests.flags.table import Row, on_create, on_update, pair

_SHARED = (*kernel_flags.SHARED, *plan_flags.SHARED)
_LISTS = (*kernel_flags.LISTS, *plan_flags.LISTS)

ROWS: tuple[Row, ...] = (
    *map(on_create, _SHARED),
    *map(on_update, _SHARED),
    *map(on_create, _LISTS),
    *(row for flag in _LISTS for row in pair(flag)),
    *other_flags.ROWS,
)


def _commands() -> tuple[str, ...]:
    """Every command whose flags have to be in the table: of services, nodes and the swarm."""
    found: list[str] = []
    for group in ("service", "node", "swarm"):
        branch = ROOT.children[group]
        assert isinstance(branch, Branch)
        prefix = "" if group == "swarm" else f"{group} "
        found += [f"{prefix}{name}" for name in branch.children]
    return tuple(found)


COMMANDS = _commands()
