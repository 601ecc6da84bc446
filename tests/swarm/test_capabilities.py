"""Capabilities are read as users write them, and combine as Docker's do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swarm.capabilities import ALL, NAMES, effective, parse_capability, settled
from swarm.errors import Invalid

DEFAULT = ("CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW")
NAMED = st.frozensets(st.sampled_from((*NAMES, ALL)), max_size=6)


@pytest.mark.parametrize("text", ["NET_ADMIN", "net_admin", "CAP_NET_ADMIN", " cap_Net_Admin "])
def test_case_and_prefix_do_not_matter(text: str) -> None:
    assert parse_capability(text) == "CAP_NET_ADMIN"


def test_all_is_a_name_of_its_own() -> None:
    assert parse_capability("all") == ALL


def test_a_misspelling_is_told_what_was_meant() -> None:
    with pytest.raises(Invalid) as caught:
        parse_capability("NET_ADMINN")

    assert "NET_ADMINN" in caught.value.message
    assert "CAP_NET_ADMIN" in caught.value.hint


def test_nonsense_is_pointed_to_the_manual() -> None:
    with pytest.raises(Invalid) as caught:
        parse_capability("qqq")

    assert "capabilities(7)" in caught.value.hint


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        ((), (), DEFAULT),
        (("CAP_BPF",), (), (*DEFAULT, "CAP_BPF")),
        ((), ("CAP_KILL",), ("CAP_CHOWN", "CAP_NET_RAW")),
        (("CAP_KILL",), ("CAP_KILL",), DEFAULT),
        ((), (ALL,), ()),
        (("CAP_KILL",), (ALL,), ("CAP_KILL",)),
        ((ALL,), (), NAMES),
        ((ALL,), ("CAP_CHOWN",), NAMES[1:]),
        ((ALL,), (ALL,), NAMES),
    ],
)
def test_adding_and_dropping_combine_as_docker_has_it(
    add: tuple[str, ...], drop: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    assert effective(add, drop, default=DEFAULT) == expected


@given(NAMED, NAMED)
def test_law_what_is_added_is_there_and_what_is_only_dropped_is_not(
    add: frozenset[str], drop: frozenset[str]
) -> None:
    found = effective(add, drop, default=DEFAULT)

    assert set(NAMES) & add - (drop if ALL in add else set()) <= set(found)
    assert not set(found) & (drop - add)
    assert list(found) == sorted(found, key=NAMES.index)


@given(NAMED, NAMED)
def test_law_settling_changes_nothing_that_counts(
    add: frozenset[str], drop: frozenset[str]
) -> None:
    """But that a drop of ALL, against an addition of ALL, takes no other drop along."""
    if {ALL} <= add & drop:
        drop = frozenset({ALL})

    adds, drops = settled(add, drop)

    assert not set(adds) & set(drops)
    assert effective(adds, drops, default=DEFAULT) == effective(add, drop, default=DEFAULT)


def test_settling_sorts_and_all_swallows_the_rest() -> None:
    assert settled(("CAP_KILL", "CAP_CHOWN"), ("CAP_BPF", ALL)) == (
        ("CAP_CHOWN", "CAP_KILL"),
        (ALL,),
    )
    assert settled((ALL, "CAP_CHOWN"), ("CAP_CHOWN",)) == ((ALL,), ("CAP_CHOWN",))
