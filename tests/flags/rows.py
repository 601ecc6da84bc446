"""All rows of the table."""

from tests.flags import (
    build_flags,
    container_flags,
    contents_flags,
    host_flags,
    kernel_flags,
    looking_flags,
    network_flags,
    node_flags,
    plan_flags,
    program_flags,
    service_flags,
    spec_flags,
    stack_flags,
    swarm_flags,
)
from tests.flags.table import Row, on_create, on_update, pair, planned

_SHARED = (*kernel_flags.SHARED, *plan_flags.SHARED)
_LISTS = (*kernel_flags.LISTS, *plan_flags.LISTS)
_SPECS: tuple[Row, ...] = (
    *map(on_create, _SHARED),
    *map(on_update, _SHARED),
    *map(on_create, _LISTS),
    *(row for flag in _LISTS for row in pair(flag)),
    *spec_flags.CREATE,
    *spec_flags.UPDATE,
)

ROWS: tuple[Row, ...] = (
    *_SPECS,
    *map(planned, _SPECS),
    *spec_flags.SERVICE,
    *spec_flags.PLANNING,
    *node_flags.ROWS,
    *service_flags.ROWS,
    *swarm_flags.ROWS,
    *contents_flags.ROWS,
    *host_flags.ROWS,
    *network_flags.ROWS,
    *stack_flags.ROWS,
    *program_flags.ROWS,
    *looking_flags.ROWS,
    *container_flags.ROWS,
    *build_flags.ROWS,
)
