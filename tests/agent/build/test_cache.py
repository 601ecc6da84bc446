import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.build.cache import (
    KEPT_S,
    Entry,
    Index,
    decode,
    encode,
    key_of,
    overdue,
    prune,
    reusable,
)
from agent.build.image import ImageDocument, scratch
from swarm.errors import Invalid
from swarm.images.platform import Platform


def entry(key: str, *, layer: str = "", size: int = 0, used_at: float = 0.0) -> Entry:
    return Entry(key=key, diff_id=layer, size_bytes=size, used_at=used_at)


def index(*entries: Entry) -> Index:
    return Index(entries={each.key: each for each in entries})


entries = st.builds(
    entry,
    st.text("abcdef", min_size=1, max_size=3),
    layer=st.sampled_from(["", "l1", "l2", "l3"]),
    size=st.integers(0, 100),
    used_at=st.floats(0, 100),
)


def kept_bytes(found: Index) -> int:
    return sum({e.diff_id: e.size_bytes for e in found.entries.values() if e.diff_id}.values())


@given(st.lists(st.text()), st.lists(st.text()))
def test_law_keys_differ_as_their_parts_do(one: list[str], other: list[str]) -> None:
    assert (key_of("p", *one) == key_of("p", *other)) is (one == other)


@given(st.lists(entries))
def test_law_the_index_reads_back(found: list[Entry]) -> None:
    made = index(*found)
    assert decode(encode(made)) == made


def test_an_index_that_is_damaged_is_said() -> None:
    with pytest.raises(Invalid):
        decode(b'{"entries": 7}')


@given(st.lists(entries), st.integers(1, 200))
def test_law_pruning_keeps_no_more_than_asked_and_the_latest(found: list[Entry], keep: int) -> None:
    sizes = {each.diff_id: each.size_bytes for each in found}
    made = index(*(replace(each, size_bytes=sizes[each.diff_id]) for each in found))

    left = made.without(prune(made, keep_bytes=keep))

    assert kept_bytes(left) <= keep
    gone = [made.entries[key] for key in made.entries.keys() - left.entries.keys()]
    assert all(a.used_at <= b.used_at for a in gone for b in left.entries.values())


@given(st.lists(entries), st.floats(1, 100))
def test_law_what_was_used_since_stays(found: list[Entry], since: float) -> None:
    made = index(*found)

    left = made.without(prune(made, unused_since=since))

    assert set(left.entries.values()) == {e for e in made.entries.values() if e.used_at >= since}


def test_all_goes_when_nothing_else_is_said() -> None:
    assert set(prune(index(entry("a"), entry("b", layer="l", size=1)))) == {"a", "b"}


def test_only_what_is_meant_goes_and_what_images_share_stays() -> None:
    made = index(entry("a"), entry("b", layer="l", size=1), entry("c", layer="m", size=1))

    assert set(prune(made, spared=("l",))) == {"a", "c"}
    assert prune(made, only=("b", "gone")) == ("b",)


def test_builds_that_use_a_step_are_counted() -> None:
    found = index(entry("a"), entry("b")).used(("a",), 5.0).entries

    assert (found["a"].uses, found["a"].used_at, found["b"].uses) == (2, 5.0, 1)


def test_what_was_not_used_for_a_month_goes_by_itself() -> None:
    made = index(entry("old"), entry("new", used_at=KEPT_S))

    assert overdue(made, now=KEPT_S + 1, keep_bytes=100) == ("old",)


def test_what_is_too_much_goes_by_itself() -> None:
    made = index(
        entry("a", layer="l1", size=60, used_at=1), entry("b", layer="l2", size=60, used_at=2)
    )

    assert overdue(made, now=3, keep_bytes=100) == ("a",)


def grown(document: ImageDocument, words: str, layer: str = "") -> ImageDocument:
    return document.grown(document.run, created=1.0, created_by=words, author="", diff_id=layer)


def test_the_history_of_another_image_tells_what_steps_came_to() -> None:
    base = grown(scratch(Platform("linux", "amd64")), "base", "l0")
    source = grown(grown(base, "one", "l1"), "two")

    first = reusable(base, "one", [source], has_layer=lambda _: True)
    assert first is not None
    assert first[1] == "l1"
    second = reusable(grown(base, "one", "l1"), "two", [source], has_layer=lambda _: True)
    assert second is not None
    assert second[1] == ""


def test_another_way_to_the_same_step_is_no_cache() -> None:
    base = grown(scratch(Platform("linux", "amd64")), "base", "l0")
    source = grown(grown(base, "one", "l1"), "two")

    assert reusable(base, "two", [source], has_layer=lambda _: True) is None
    assert reusable(grown(base, "one", "l2"), "two", [source], has_layer=lambda _: True) is None
    assert reusable(base, "one", [source], has_layer=lambda _: False) is None
    assert reusable(source, "three", [source], has_layer=lambda _: True) is None
