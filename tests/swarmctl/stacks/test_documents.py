"""YAML is read as Docker reads it."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.errors import Invalid
from swarmctl.stacks.documents import Value, read_document, write_document
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
        (b"a: 0x_", "f: not readable as YAML"),
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


_SCALARS = st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="ascii"))
_VALUES = st.recursive(
    _SCALARS | st.from_regex(r"[-+0-9obxe._:]+", fullmatch=True),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc<*&!~:"), inner),
    max_leaves=12,
)


@settings(deadline=None)
@given(st.dictionaries(st.text("xyz", min_size=1), _VALUES, min_size=1, max_size=3))
def test_law_documents_survive_being_written(found: dict[str, Value]) -> None:
    assert read_document(write_document(found).encode(), name="f") == found


@settings(deadline=None)
@given(st.text(alphabet="ab01_xo.:-[]{}&*!<>|?'\"# \n,~"))
def test_law_any_text_is_read_or_refused(text: str) -> None:
    with suppress(Invalid):
        assert read_document(text.encode(), name="f")
