"""Print rows: as a table, as JSON lines, through a template, or only their ids.

A row maps placeholders (`ID`, `Name`) to text, or to what is a truth in JSON; a listing names
the default columns and every column's heading. Column widths follow the widest cell plus three
spaces, but at least ten.
"""

import json
from collections.abc import Mapping, Sequence

from msgspec import Struct

from swarmctl.pipes import printed
from swarmctl.templates import fields, render, unescaped

Row = Mapping[str, str | bool]


class Listing(Struct, frozen=True, kw_only=True):
    """What may be listed of one kind of thing: `columns` by default, `headings` at all.

    `drawn` are columns that only a table for people has.
    """

    columns: tuple[str, ...]
    headings: Mapping[str, str]
    key: str = "ID"
    drawn: tuple[str, ...] = ()


def listed(rows: Sequence[Row], listing: Listing, *, form: str = "", quiet: bool = False) -> str:
    """The whole output for `rows`; `form` is what `--format` was given."""
    if quiet and not form:
        return "".join(f"{row[listing.key]}\n" for row in rows)
    if form in ("", "table"):
        cells = [[printed(row[name]) for name in listing.columns] for row in rows]
        return aligned([[listing.headings[name] for name in listing.columns], *cells])
    if form == "json":
        plain = ({k: v for k, v in row.items() if k not in listing.drawn} for row in rows)
        return "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in plain)
    if form.startswith("table "):
        template = unescaped(form.removeprefix("table ").lstrip())
        return _table(rows, listing, template)
    template = unescaped(form)
    return "".join(render(template, row) + "\n" for row in rows)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells in columns."""
    widths = [
        max(10, max(len(line[at]) for line in lines if at < len(line)) + 3)
        for at in range(max(map(len, lines), default=0))
    ]
    return "".join(
        "".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        + "\n"
        for line in lines
    )


def _table(rows: Sequence[Row], listing: Listing, template: str) -> str:
    known = {name: listing.headings.get(name, name.upper()) for name in fields(template)}
    heading = render(template, dict(listing.headings) | known)
    lines = [heading, *(render(template, row) for row in rows)]
    return aligned([line.split("\t") for line in lines])
