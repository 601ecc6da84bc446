"""List what the swarm keeps under names, and show it in full: secrets, configs and networks alike.

What differs between them is their `Shape`: the columns, the keys of filters, and how one of them
becomes a row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

from swarm.errors import Invalid
from swarmctl.commands.service import show_found
from swarmctl.filters import Test, parse_filters, selected
from swarmctl.inspecting import PRETTY, inspected
from swarmctl.io.session import Session
from swarmctl.spec_details import Object
from swarmctl.tables import Listing, Row, listed

V = TypeVar("V")


class Shape(Struct, Generic[V], frozen=True, kw_only=True):
    """How things of one kind are listed."""

    listing: Listing
    tests: Mapping[str, Test[V]]
    rows: Callable[[Iterable[V]], Iterable[Row]]


def ls(
    session: Session,
    find: Callable[[], Iterable[V]],
    shape: Shape[V],
    *,
    filters: Sequence[str],
    form: str,
    quiet: bool,
) -> None:
    """Print those that pass the filters; a filter that makes no sense is refused beforehand."""
    parse_filters(filters, known=shape.tests)
    rows = list(shape.rows(selected(find(), filters, shape.tests)))
    session.write(listed(rows, shape.listing, form=form, quiet=quiet))


def inspect(
    session: Session,
    names: Sequence[str],
    find: Callable[[Sequence[str]], Sequence[V]],
    detail: Callable[[V], Object],
    *,
    form: str,
    pretty: Callable[[V], str] | None = None,
    is_pretty: bool = False,
) -> None:
    """Show them in full: as JSON, through a template or, where there is a way, for people."""
    if is_pretty and form:
        raise Invalid("--pretty and --format exclude each other", hint="leave one of them out")

    def show(views: list[V]) -> None:
        if pretty is not None and (is_pretty or form == PRETTY):
            session.write("\n".join(map(pretty, views)))
            return
        session.write(inspected(list(map(detail, views)), form=form))

    show_found(session, names, find, show)
