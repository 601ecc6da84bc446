"""`--network` names a network, and what its service is called there."""

import pytest

from swarm.errors import Invalid
from swarm.specs import NetworkAttachment
from swarmctl.attachments import changed, parse_attachment, with_ids
from tests.networks import attached


@pytest.mark.parametrize(
    ("text", "name", "aliases"),
    [
        ("back", "back", ()),
        ("name=back", "back", ()),
        ("name=back,alias=db", "back", ("db",)),
        ("alias=db,name=back,alias=cache", "back", ("db", "cache")),
    ],
)
def test_both_forms_are_read(text: str, name: str, aliases: tuple[str, ...]) -> None:
    assert parse_attachment(text) == NetworkAttachment(target=name, aliases=aliases)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "names no network"),
        ("back,front", "names no network"),
        ("alias=db", "has no name"),
        ("name=a,name=b", "name is given twice"),
        ("name=a,alias", "is not KEY=VALUE"),
        ("name=a,mac=1", "unknown key 'mac'"),
        ("name=a,driver-opt=x=y", "no options for single services"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        parse_attachment(text)


def test_names_become_ids_and_what_nothing_is_called_stays() -> None:
    ids = {"back": "id1", "id1": "id2"}

    found = with_ids(attached("back", "id1", "nix", "host"), ids)

    assert found == attached("id1", "id1", "nix", "host")


def test_what_is_added_replaces_what_has_the_same_id_in_its_place() -> None:
    again = NetworkAttachment(target="back", aliases=("db",))

    found = changed(attached("id1", "id2"), (), (again, *attached("new")), ids={"back": "id1"})

    assert found == (NetworkAttachment(target="id1", aliases=("db",)), *attached("id2", "new"))
