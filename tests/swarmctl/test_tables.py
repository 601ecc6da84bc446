"""Rows are printed in the shapes that `--format` can ask for."""

import json

import pytest

from swarm.errors import Invalid
from swarmctl.tables import Listing, aligned, listed

LISTING = Listing(
    columns=("ID", "Name"), headings={"ID": "ID", "Name": "NAME", "Image": "IMAGE NAME"}
)
ROWS = [
    {"ID": "1", "Name": "web", "Image": "nginx"},
    {"ID": "2", "Name": "a-much-longer-name", "Image": "büsybox"},
]


def test_a_table_has_headings_and_room_between_columns() -> None:
    assert listed(ROWS, LISTING) == (
        "ID        NAME\n1         web\n2         a-much-longer-name\n"
    )


def test_an_empty_table_still_has_headings() -> None:
    assert listed([], LISTING) == "ID        NAME\n"


def test_quiet_prints_ids() -> None:
    assert listed(ROWS, LISTING, quiet=True) == "1\n2\n"


def test_json_prints_one_object_per_line() -> None:
    assert [json.loads(x) for x in listed(ROWS, LISTING, form="json").splitlines()] == ROWS


def test_a_template_prints_a_line_per_row() -> None:
    assert listed(ROWS, LISTING, form="{{.ID}}={{.Image}}") == "1=nginx\n2=büsybox\n"


def test_a_table_of_ones_own_columns_has_their_headings() -> None:
    text = listed(ROWS, LISTING, form=r"table {{.Image}}\t{{.ID}}")

    assert text == "IMAGE NAME   ID\nnginx        1\nbüsybox      2\n"


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(Invalid, match=r"no field \.Nope"):
        listed(ROWS, LISTING, form="table {{.Nope}}")


def test_lines_may_differ_in_length() -> None:
    assert aligned([["a", "b"], ["c"]]) == "a         b\nc\n"
