import pytest
from hypothesis import given
from hypothesis import strategies as st

from manager.groups import check, size_bytes, split
from manager.store import (
    Absent,
    Commit,
    Delete,
    DeletePrefix,
    Fence,
    Limits,
    Operation,
    Put,
    Unchanged,
)
from swarm.errors import Conflict, Invalid
from tests.sim.fake_store import FakeStore

FENCE = Fence("leader", 9)
AMPLE = Limits(operations=100, bytes=1 << 20)


def test_a_commit_that_fits_stays_whole() -> None:
    commit = Commit((FENCE,), (Put("a", b"1"), Delete("b")))

    assert split(commit, AMPLE) == (commit,)


def test_every_part_carries_the_fence_and_each_write_its_own_compares() -> None:
    commit = Commit(
        (FENCE, Unchanged("services/s", 3), Unchanged("a", 1), Absent("c")),
        (Put("a", b"1"), Put("b", b"1"), Put("c", b"1"), Delete("d")),
    )

    parts = split(commit, Limits(operations=3, bytes=1 << 20))

    assert [part.compares for part in parts] == [
        (FENCE, Unchanged("services/s", 3), Unchanged("a", 1)),
        (FENCE, Unchanged("services/s", 3), Absent("c")),
    ]
    assert [len(part.operations) for part in parts] == [2, 2]


def test_what_a_deleted_prefix_covers_is_compared_with_its_deletion_only() -> None:
    commit = Commit(
        (FENCE, Unchanged("t/1", 3)), (Put("a", b""), DeletePrefix("t/"), Put("b", b""))
    )

    parts = split(commit, Limits(operations=2, bytes=1 << 20))

    assert [part.compares for part in parts] == [(FENCE, Unchanged("t/1", 3)), (FENCE,)]


def test_a_refusal_names_every_fault_and_the_remedy() -> None:
    commit = Commit((), (Put("a", b""), Put("a", b""), Put("b/1", b""), DeletePrefix("b/")))

    with pytest.raises(Invalid) as refused:
        check(commit, Limits(operations=2, bytes=100))

    assert refused.value.problems == (
        "operations: 4 in one group, etcd takes 2",
        f"operations: {size_bytes(commit)} bytes in one group, etcd takes 100",
        "operations[1]: a is put twice",
        "operations[3]: b/1 is put and deleted in one group",
    )
    assert "--max-txn-ops" in refused.value.hint


keys = st.text("ab/é", min_size=1, max_size=4)
writes = st.lists(
    st.one_of(st.builds(Put, keys, st.binary(max_size=300)), st.builds(Delete, keys)),
    max_size=30,
    unique_by=lambda write: write.key,
)


@given(writes, st.integers(3, 9), st.integers(900, 3_000))
def test_law_parts_fit_and_together_do_the_same(
    operations: list[Operation], most: int, most_bytes: int
) -> None:
    limits = Limits(operations=most, bytes=most_bytes)
    store, whole = FakeStore(limits=limits), FakeStore()
    for each in (store, whole):
        each.apply(Commit((), (Put("leader", b""), Put("ab", b""))))
    compares = (Fence("leader", 2), Unchanged("ab", 2))
    commit = Commit(compares, tuple(operations))

    for part in split(commit, limits):
        check(part, limits)
        store.apply(part)
    whole.apply(commit)

    assert [(i.key, i.value) for i in store.list_now("").items] == [
        (i.key, i.value) for i in whole.list_now("").items
    ]


@given(writes, st.integers(3, 9))
def test_law_no_part_of_a_deposed_leaders_commit_is_taken(
    operations: list[Operation], most: int
) -> None:
    limits = Limits(operations=most, bytes=1 << 20)
    store = FakeStore(limits=limits)
    store.apply(Commit((), (Put("leader", b""),)))

    for part in split(Commit((Fence("leader", 1),), tuple(operations)), limits):
        with pytest.raises(Conflict):
            store.apply(part)

    assert store.revision == 2
