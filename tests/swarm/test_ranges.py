"""One subnet's addresses: each to one holder, and again as late as can be."""

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swarm.ranges import Range
from swarm.specs import Subnet


def texts(found: Range, number: int) -> list[str | None]:
    given_out = [found.give() for _ in range(number)]
    return [each if each is None else found.text(each) for each in given_out]


def holding(found: Range, number: int) -> list[int]:
    held: list[int] = []
    for _ in range(number):
        address = found.give()
        assert address is not None
        found.hold(address)
        held.append(address)
    return held


def test_what_stands_for_others_is_never_given() -> None:
    subnet = Subnet(subnet="10.0.0.0/29", gateway="10.0.0.3", aux_addresses={"a": "10.0.0.5"})

    assert texts(Range(subnet), 5) == ["10.0.0.1", "10.0.0.2", "10.0.0.4", "10.0.0.6", None]


def test_a_range_within_the_subnet_is_used_to_its_ends() -> None:
    subnet = Subnet(subnet="10.0.0.0/24", ip_range="10.0.0.8/30")

    assert texts(Range(subnet), 5) == ["10.0.0.8", "10.0.0.9", "10.0.0.10", "10.0.0.11", None]


def test_what_was_given_back_comes_after_all_others_the_longest_free_first() -> None:
    found = Range(Subnet(subnet="10.0.0.0/29"))
    first, second, third = holding(found, 3)
    found.release(second)
    found.release(first)

    assert texts(found, 5) == ["10.0.0.5", "10.0.0.6", "10.0.0.3", "10.0.0.2", None]
    assert third in found.held


def test_a_new_leader_goes_on_after_the_newest() -> None:
    found = Range(Subnet(subnet="10.0.0.0/29"))
    newest = found.number("10.0.0.4")
    assert newest is not None
    found.hold(newest)
    found.begin_after(newest)

    assert texts(found, 5) == ["10.0.0.5", "10.0.0.6", "10.0.0.2", "10.0.0.3", None]


def test_an_address_with_two_holders_is_free_after_both() -> None:
    found = Range(Subnet(subnet="10.0.0.0/30"))
    (address,) = holding(found, 1)
    found.hold(address)
    found.release(address)

    assert (found.left, found.give()) == (0, None)
    found.release(address)
    assert found.give() == address


def test_a_subnet_of_ipv6_takes_no_more_than_its_holders_do() -> None:
    found = Range(Subnet(subnet="fd00::/64"))

    assert texts(found, 3) == ["fd00::2", "fd00::3", "fd00::4"]
    assert found.left > 1 << 60
    assert found.number("10.0.0.1") is None


@pytest.mark.parametrize("subnet", ["10.0.0.0/28", "fd00::/124"])
@settings(deadline=None)
@given(data=st.data())
def test_law_nobody_gets_what_another_holds_and_everything_is_given(
    subnet: str, data: st.DataObject
) -> None:
    """And of two that are free, the one that was given back first comes first."""
    found, held = Range(Subnet(subnet=subnet)), set[int]()
    freed_at, clock = dict[int, int](), count(1)
    for _ in range(data.draw(st.integers(1, 60))):
        match data.draw(st.sampled_from(["take", "take", "waste", "release"])):
            case "take":
                address = found.give()
                assert (address is None) == (len(held) == found.size)
                if address is not None:
                    assert address not in held
                    free = set(freed_at) - held
                    assert address not in free or freed_at[address] == min(
                        freed_at[each] for each in free
                    )
                    found.hold(address)
                    held.add(address)
            case "waste":
                if (address := found.give()) is not None:
                    found.give_back(address)
                    freed_at[address] = next(clock)
            case _:
                if held:
                    address = data.draw(st.sampled_from(sorted(held)))
                    found.release(address)
                    held.remove(address)
                    freed_at[address] = next(clock)
        found.check(held)
        found.copied().check(held)
