"""Names go first, images with their last one, and what somebody needs stays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from agent.images.index import Index, Record, find
from agent.images.removal import (
    Removal,
    Use,
    chain_ids,
    forget,
    layers_gone,
    prune,
    remove,
)
from swarm.errors import Missing, Refused
from tests.agent.images.test_index import digest, index, record


def family(*names: str) -> Index:
    """`c` was made from `b`, and that from `a`; the names are of `c`."""
    return Index(
        (
            record("a"),
            structs.replace(record("b"), parent=digest("a")),
            structs.replace(record("c", *names), parent=digest("b")),
        )
    )


def used(letter: str, *, is_running: bool = True) -> tuple[Use, ...]:
    return (Use(image_id=digest(letter), container="f" * 64, is_running=is_running),)


def test_removing_one_of_several_tags_keeps_the_image() -> None:
    images, removal = remove(index(record("a", "web:1", "web:2")), "web:1")

    assert removal == Removal(untagged=("web:1",))
    assert find(images, "web:2")


def test_the_image_goes_with_its_last_tag_and_takes_its_digests_along() -> None:
    pinned = f"web@{digest('a')}"

    images, removal = remove(index(record("a", "web:1", pinned)), "web:1")

    assert removal == Removal(untagged=("web:1", pinned), deleted=(digest("a"),))
    assert images == Index()


def test_a_digest_in_another_repository_keeps_the_image() -> None:
    other = f"other@{digest('a')}"

    images, removal = remove(index(record("a", "web:1", other)), "web:1")

    assert removal == Removal(untagged=("web:1",))
    assert find(images, digest("a")).to_image().references == (other,)


def test_an_image_that_runs_stays_whatever_force() -> None:
    images, uses = index(record("a", "web:1")), used("a")

    with pytest.raises(
        Refused, match=r'unable to remove repository reference "web:1" \(must force'
    ):
        remove(images, "web:1", uses=uses)
    with pytest.raises(Refused, match=r"unable to delete aaaa \(cannot be forced\).*running"):
        remove(images, "aaaa", force=True, uses=uses)
    forced, removal = remove(images, "web:1", force=True, uses=uses)

    assert removal == Removal(untagged=("web:1",))
    assert find(forced, digest("a")).names == ()


def test_one_of_several_tags_may_go_from_an_image_that_runs() -> None:
    _, removal = remove(index(record("a", "web:1", "web:2")), "web:1", uses=used("a"))

    assert removal == Removal(untagged=("web:1",))


def test_a_stopped_containers_image_goes_by_force_and_stays_for_the_container() -> None:
    images, uses = index(record("a", "web:1")), used("a", is_running=False)

    with pytest.raises(Refused, match=r"must be forced\).*stopped container ffffffffffff$"):
        remove(images, digest("a"), uses=uses)
    left, removal = remove(images, digest("a"), force=True, uses=uses)

    assert removal == Removal(untagged=("web:1",), deleted=(digest("a"),))
    with pytest.raises(Missing):
        find(left, digest("a"))
    assert forget(left, uses) == left
    assert forget(left, ()) == Index()


def test_an_id_with_several_tags_wants_force() -> None:
    images = index(record("a", "web:1", "other:2"))

    with pytest.raises(Refused, match=r"\(must be forced\) - image is referenced in multiple"):
        remove(images, "aaaa")

    assert remove(images, "aaaa", force=True)[1].deleted == (digest("a"),)


def test_an_id_takes_every_push_of_the_image() -> None:
    images = index(record("a", "web:1", identity="c"), record("b", "web:2", identity="c"))

    left, removal = remove(images, digest("c"), force=True)

    assert left == Index()
    assert removal == Removal(untagged=("web:1", "web:2"), deleted=(digest("c"),))


def test_a_push_without_names_goes_once_another_one_has_them() -> None:
    images = index(record("a", "web:1", identity="c"), record("b", "web:2", identity="c"))

    left, removal = remove(images, "web:1")

    assert removal == Removal(untagged=("web:1",))
    assert [each.digest for each in left.images] == [digest("b")]


def test_an_image_that_others_were_made_from_stays_whatever_force() -> None:
    with pytest.raises(Refused, match=r"cannot be forced\) - image has dependent child images"):
        remove(family("web:1"), "aaaa", force=True)


def test_nameless_parents_go_with_the_last_image_that_was_made_from_them() -> None:
    left, removal = remove(family("web:1"), "web:1")

    assert left == Index()
    assert removal.deleted == (digest("c"), digest("b"), digest("a"))


def test_parents_stay_when_asked_when_named_and_when_used() -> None:
    named = Index((record("a", "base:1"), *family("web:1").images[1:]))

    kept, _ = remove(family("web:1"), "web:1", keep_parents=True)
    based, _ = remove(named, "web:1")
    running, _ = remove(family("web:1"), "web:1", uses=used("b", is_running=False))

    assert [each.digest for each in kept.images] == [digest("a"), digest("b")]
    assert [each.digest for each in based.images] == [digest("a")]
    assert [each.digest for each in running.images] == [digest("a"), digest("b")]


@pytest.mark.parametrize("text", ["nothing", "eeee", digest("e")])
def test_removing_what_is_not_here_is_missing(text: str) -> None:
    with pytest.raises(Missing):
        remove(index(record("a", "web:1")), text, force=True)


def test_pruning_takes_whatever_nobody_needs_in_whatever_order_it_is_said() -> None:
    images = Index((*family().images, record("d", "x:1", "y:1"), record("e", "z:1")))

    left, removal = prune(
        images, (digest("a"), digest("c"), digest("d"), "z:1", digest("f")), uses=used("e")
    )

    assert [each.digest for each in left.images] == [digest("e")]
    assert removal.untagged == ("x:1", "y:1")
    assert sorted(removal.deleted) == [digest(letter) for letter in "abcd"]


def test_layers_go_with_the_last_image_that_has_them_and_all_below() -> None:
    def layered(letter: str, layers: str) -> Record:
        diff_ids = tuple(digest(each) for each in layers)
        return structs.replace(record(letter), diff_ids=diff_ids)

    before = Index((layered("a", "12"), layered("b", "123"), layered("c", "31")))
    after = Index((before.images[0],))

    gone = layers_gone(before, after)

    assert len(gone) == 3
    assert gone[0] == chain_ids((digest("1"), digest("2"), digest("3")))[-1]
    assert digest("3") in gone
    assert digest("1") not in gone
    assert layers_gone(before, before) == ()


letters = st.sampled_from("abcdef")


@given(
    st.lists(
        st.tuples(
            letters, st.lists(st.sampled_from(["x:1", "x:2", "y:1"]), max_size=2, unique=True)
        )
    ),
    st.dictionaries(letters, letters),
    st.sets(letters),
    letters,
    st.booleans(),
)
def test_law_nobody_who_runs_loses_his_image_and_no_child_its_parent(
    named: list[tuple[str, list[str]]],
    parents: dict[str, str],
    running: set[str],
    victim: str,
    force: bool,
) -> None:
    records: list[Record] = [record(letter, *names) for letter, names in named]
    images = Index(
        tuple(
            structs.replace(each, parent=digest(parent))
            if (parent := parents.get(each.id[7], "z")) < each.id[7]
            else each
            for each in index(*records).images
        )
    )
    uses = tuple(use for letter in running for use in used(letter))

    try:
        left, _ = remove(images, digest(victim), force=force, uses=uses)
    except (Missing, Refused):
        return

    before, after = ({each.id for each in found.images} for found in (images, left))
    assert {digest(letter) for letter in running} & before <= after
    orphans = [e for e in left.images if e.parent in before and e.parent not in after]
    assert not orphans
    left.check()
