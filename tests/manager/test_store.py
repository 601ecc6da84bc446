from hypothesis import given
from hypothesis import strategies as st

from manager.store import (
    Absent,
    Change,
    Commit,
    Delete,
    Fence,
    Item,
    Put,
    Snapshot,
    difference,
    fenced,
    holds,
)
from tests.sim.fake_store import FakeStore


def test_a_fence_is_compared_first_so_that_a_conflict_names_it_first() -> None:
    commit = Commit((Absent("a"),), (Put("a", b""),))

    assert fenced(commit, Fence("leader", 4)).compares == (Fence("leader", 4), Absent("a"))


def test_a_fence_holds_for_one_life_of_its_key() -> None:
    fence = Fence("leader", 4)

    assert holds(fence, Item("leader", b"", mod_revision=9, create_revision=4))
    assert not holds(fence, Item("leader", b"", mod_revision=9, create_revision=9))
    assert not holds(fence, None)


def test_a_difference_tells_deletions_first_and_leaves_out_what_stands() -> None:
    known = {"a": 1, "b": 2, "c": 3}
    snapshot = Snapshot(9, (Item("b", b"x", 2, 2), Item("c", b"y", 7, 3), Item("d", b"z", 8, 8)))

    assert difference(known, snapshot) == (
        Change("a", None, 9),
        Change("c", b"y", 7),
        Change("d", b"z", 8),
    )


writes = st.lists(
    st.one_of(
        st.builds(Put, st.sampled_from("abcd"), st.binary(max_size=2)),
        st.builds(Delete, st.sampled_from("abcd")),
    ),
    max_size=8,
)


@given(writes, writes)
def test_law_a_difference_leads_from_one_listing_to_the_next(
    before: list[Put | Delete], after: list[Put | Delete]
) -> None:
    store = FakeStore()
    for write in before:
        store.apply(Commit((), (write,)))
    old = store.list_now("")
    for write in after:
        store.apply(Commit((), (write,)))
    new = store.list_now("")

    held = {item.key: item.value for item in old.items}
    for change in difference({item.key: item.mod_revision for item in old.items}, new):
        if change.value is None:
            del held[change.key]
        else:
            held[change.key] = change.value

    assert held == {item.key: item.value for item in new.items}
