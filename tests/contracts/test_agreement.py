"""The fake and a real etcd give the same answers to any history."""

import asyncio
from contextlib import AsyncExitStack, aclosing
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from manager.store import (
    Absent,
    Commit,
    Compare,
    Delete,
    DeletePrefix,
    Fence,
    Item,
    Operation,
    Put,
    Store,
    Unchanged,
)
from swarm.errors import Conflict, Invalid
from tests.contracts.stores import open_real
from tests.sim.fake_store import FakeStore

KEYS = ("a", "a/1", "a/2", "b", "b/1")

# What a commit is made of. Revisions differ between the stores, so a compare says only
# whether it is meant to hold; each store's own state turns it into one.
compares = st.tuples(
    st.sampled_from(KEYS), st.sampled_from(("absent", "unchanged", "fence")), st.booleans()
)
operations = st.one_of(
    st.builds(lambda key, value: ("put", key, value), st.sampled_from(KEYS), st.binary(max_size=3)),
    st.builds(lambda key: ("delete", key, b""), st.sampled_from(KEYS)),
    st.builds(lambda key: ("prefix", key, b""), st.sampled_from(("a", "a/", "b/"))),
)
commits = st.tuples(st.lists(compares, max_size=2), st.lists(operations, max_size=4))
histories = st.lists(commits, min_size=1, max_size=8)

History = list[tuple[list[tuple[str, str, bool]], list[tuple[str, str, bytes]]]]


def compare_of(root: str, told: tuple[str, str, bool], items: dict[str, Item]) -> Compare:
    key, kind, is_true = root + told[0], told[1], told[2]
    item = items.get(key)
    off = 0 if is_true else 1
    match kind:
        case "absent":
            return Absent(key)
        case "unchanged":
            return Unchanged(key, (item.mod_revision if item else 7) + off)
        case _:
            return Fence(key, (item.create_revision if item else 7) + off)


def operation_of(root: str, told: tuple[str, str, bytes]) -> Operation:
    kind, key, value = told
    match kind:
        case "put":
            return Put(root + key, value)
        case "delete":
            return Delete(root + key)
        case _:
            return DeletePrefix(root + key)


async def tell(store: Store, root: str, history: History) -> list[object]:
    """Everything that can be seen of `history`, without the revisions it happened to get."""
    seen: list[object] = []
    start = (await store.read(root)).revision
    revisions = [start]
    for told_compares, told_operations in history:
        items = {item.key: item for item in (await store.read(root)).items}
        commit = Commit(
            tuple(compare_of(root, told, items) for told in told_compares),
            tuple(operation_of(root, told) for told in told_operations),
        )
        try:
            revisions.append(await store.commit(commit))
            seen.append(revisions[-1] - start)
        except (Conflict, Invalid) as err:
            seen.append((type(err), str(err).replace(root, "")))
    for item in (await store.read(root)).items:
        name = item.key.removeprefix(root)
        seen.append((name, item.value, item.mod_revision - start, item.create_revision - start))
    async with aclosing(store.watch(root, after=start)) as batches:
        at = start
        while at < revisions[-1]:
            at, changes = await anext(batches)
            seen.append([(c.key.removeprefix(root), c.value) for c in changes])
    return seen


@pytest.mark.cluster
def test_law_fake_and_etcd_tell_the_same_story(tmp_path: Path) -> None:
    names = count()
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        real = runner.run(stack.enter_async_context(open_real(tmp_path))).store

        @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(history=histories)
        def agree(history: History) -> None:
            root = f"{next(names):04}/"
            told = runner.run(asyncio.wait_for(tell(real, root, history), 60))
            assert told == runner.run(tell(FakeStore(), root, history))

        try:
            agree()
        finally:
            runner.run(stack.aclose())
