"""YAML is read as Docker reads it."""

import pytest

from swarm.errors import Invalid
from swarmctl.stacks.documents import read_document, write_document
from tests.swarmctl.stacks.reading import document


def test_scalars_are_those_of_docker_and_not_of_yaml_1_1() -> None:
    found = document("a: [22:80, 0440, 1.5, 2020-01-01, yes, on, true, ~, '', -3, 1e3, 08]")

    assert found["a"] == [
        "22:80", 0o440, 1.5, "2020-01-01", "yes", "on", True, None, "", -3, 1000.0, "08",
    ]  # fmt: skip


def test_anchors_and_merge_keys_are_followed() -> None:
    found = document(
        """
        x-common: &common {image: a, tty: true}
        services:
          web: {<<: *common, image: b}
        """
    )

    assert found["services"] == {"web": {"image": "b", "tty": True}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"a: 1\na: 2\n", "f:2: a is given twice"),
        (b"a: [", "f:1: "),
        (b"- 1", "f: no mapping at the top"),
        (b"", "f: no mapping at the top"),
        (b"\xff", "f: not readable as YAML"),
        (b"a: &x [*x]\n", "f: an alias contains itself"),
        (b"a: !!python/object:os.system 1", "could not determine a constructor"),
        (b"{[a]: 1}", "f:1: a key is a word"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_place(text: bytes, complaint: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_document(text, name="f")

    assert complaint in str(caught.value)


def test_what_is_written_is_read_back() -> None:
    shared = ["22:80", "true", "1", "0440", "", None, True, 1, 1.5]
    found = {"a": {"b": list(shared)}, "c": list(shared)}

    assert read_document(write_document(found).encode(), name="f") == found
