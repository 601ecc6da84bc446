import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from manager.scheduler.spreading import Items, choose, lowest


def one_by_one(
    counts: list[int], totals: list[int], room: list[int], order: list[int], wanted: int
) -> list[int]:
    """Choose as the rule says, a node at a time."""
    counts, totals, room = list(counts), list(totals), list(room)
    chosen: list[int] = []
    for _ in range(wanted):
        fitting = [node for node in range(len(counts)) if room[node] > 0]
        if not fitting:
            break
        best = min(fitting, key=lambda node: (counts[node], totals[node], order[node]))
        counts[best] += 1
        totals[best] += 1
        room[best] -= 1
        chosen.append(best)
    return chosen


def filled(
    counts: list[int], totals: list[int], room: list[int], order: list[int], wanted: int
) -> list[int]:
    items = Items(
        counts=np.array(counts, np.int64),
        totals=np.array(totals, np.int64),
        room=np.minimum(np.array(room, np.int64), wanted),
        order=np.array(order, np.int64),
        segment=np.zeros(len(counts), np.int64),
    )
    return choose(items, (), wanted).tolist() if counts else []


SMALL = st.integers(0, 6)
NODES = st.lists(st.tuples(SMALL, SMALL, SMALL), max_size=8).flatmap(
    lambda nodes: st.tuples(st.just(nodes), st.permutations(range(len(nodes))))
)


@given(NODES, st.integers(0, 60))
def test_law_filling_chooses_what_choosing_one_by_one_chooses(
    nodes: tuple[list[tuple[int, int, int]], list[int]], wanted: int
) -> None:
    rows, order = nodes
    counts, more, room = ([row[column] for row in rows] for column in range(3))
    totals = [count + extra for count, extra in zip(counts, more, strict=True)]

    assert filled(counts, totals, room, order, wanted) == one_by_one(
        counts, totals, room, order, wanted
    )


@given(NODES, st.integers(1, 7))
def test_law_who_chooses_one_by_one_touches_only_the_lowest(
    nodes: tuple[list[tuple[int, int, int]], list[int]], wanted: int
) -> None:
    rows, order = nodes
    counts, more, room = ([row[column] + (column == 2) for row in rows] for column in range(3))
    totals = [count + extra for count, extra in zip(counts, more, strict=True)]
    if wanted > len(rows):
        return

    found = lowest(np.array(counts), np.array(totals), np.array(order), wanted).tolist()

    assert len(set(found)) == wanted
    assert set(one_by_one(counts, totals, room, order, wanted)) <= set(found)


def test_a_hundred_on_four_equal_nodes_are_twenty_five_on_each() -> None:
    chosen = filled([0] * 4, [0] * 4, [1 << 40] * 4, [0, 1, 2, 3], 100)

    assert np.bincount(chosen).tolist() == [25, 25, 25, 25]
    assert chosen[:4] == [0, 1, 2, 3]
