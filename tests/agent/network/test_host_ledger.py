from collections.abc import Iterable, Mapping

from hypothesis import given
from hypothesis import strategies as st

from agent.network.host_ledger import Ledger, mend
from agent.network.kernel import Neighbour, Put, Remove, Value, identity


def neighbour(last: int, mac: str = "02:53:00:00:00:01") -> Neighbour:
    return Neighbour(link="sw-0", address=f"10.0.0.{last}", mac=mac)


def test_a_change_says_only_what_differs() -> None:
    ledger = Ledger()
    ledger.set("peer", (neighbour(1), neighbour(2)))

    operations = ledger.set("peer", (neighbour(2), neighbour(3)))

    assert operations == [Put(neighbour(3)), Remove(neighbour(1))]


def test_what_two_owners_want_stays_until_the_last_one_goes() -> None:
    ledger = Ledger()
    ledger.set("old", (neighbour(1),))
    ledger.set("new", (neighbour(1),))

    assert not ledger.set("old", ())
    assert ledger.set("new", ()) == [Remove(neighbour(1))]
    assert not ledger


def test_what_may_be_lost_is_put_once_more() -> None:
    ledger = Ledger()
    ledger.set("uplink", (neighbour(1),))

    assert not ledger.set("uplink", (neighbour(1),))
    assert ledger.set("uplink", (neighbour(1),), is_lost=True) == [Put(neighbour(1))]


VALUES = st.lists(
    st.builds(
        lambda last, mac: Neighbour(link="sw-0", address=f"10.0.0.{last}", mac=f"2:{mac}"),
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    max_size=8,
)  # fmt: skip


@given(VALUES, VALUES)
def test_law_mending_leaves_what_is_wanted_and_nothing_to_mend(
    wanted: list[Value], found: list[Value]
) -> None:
    last = {identity(each): each for each in wanted}
    there = {identity(each): each for each in found}

    after = applied(there, mend(last.values(), there.values(), is_all=True))
    grown = applied(there, mend(last.values(), there.values(), is_all=False))

    assert after == last
    assert grown == there | last
    assert not mend(last.values(), after.values(), is_all=True)


def applied(
    there: Mapping[tuple[object, ...], Value], operations: Iterable[Put | Remove]
) -> dict[tuple[object, ...], Value]:
    after = dict(there)
    for each in operations:
        after.pop(identity(each.value), None)
        if isinstance(each, Put):
            after[identity(each.value)] = each.value
    return after
