"""The addresses of one network: nobody gets what another has, and wishes count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.standalone.addresses import Addresses
from swarm.errors import Invalid, Refused, SwarmError, Unavailable
from swarm.ids import NetworkId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkSpec, Subnet

ONE, TWO, THREE = TaskId("c1"), TaskId("c2"), TaskId("c3")
DUAL = (
    Subnet(subnet="10.1.0.0/24", gateway="10.1.0.1"),
    Subnet(subnet="fd00:1::/64", gateway="fd00:1::1"),
)
SMALL = Subnet(subnet="10.1.0.0/29", gateway="10.1.0.1", aux_addresses={"printer": "10.1.0.2"})


def addresses(*subnets: Subnet) -> Addresses:
    spec = NetworkSpec(name="back")
    return Addresses(Network(id=NetworkId("n"), spec=spec, subnets=subnets or DUAL))


def test_each_container_has_an_address_of_each_family() -> None:
    held = addresses()

    assert held.lend(ONE) == ("10.1.0.2", "fd00:1::2")
    assert held.lend(TWO) == ("10.1.0.3", "fd00:1::3")
    assert held.lend(ONE) == ("10.1.0.2", "fd00:1::2"), "what it has it keeps"


def test_a_container_that_starts_again_gets_what_it_had_unless_somebody_has_it() -> None:
    held = addresses()
    held.lend(ONE)
    held.give_back(ONE)
    assert held.lend(TWO) == ("10.1.0.3", "fd00:1::3"), "it comes again as late as can be"
    assert held.lend(ONE) == ("10.1.0.2", "fd00:1::2")

    held.give_back(ONE)
    held.lend(THREE, ("10.1.0.2",))
    assert held.lend(ONE)[0] not in ("10.1.0.2", "10.1.0.3")

    held.forget(ONE)
    held.give_back(THREE)
    assert held.lend(ONE)[0] not in ("10.1.0.2", "10.1.0.3")


def test_what_is_asked_for_is_given_or_refused_with_the_reason() -> None:
    held = addresses()
    assert held.lend(ONE, ("fd00:1::77", "10.1.0.9")) == ("10.1.0.9", "fd00:1::77")

    with pytest.raises(Refused, match="already in use") as taken:
        held.lend(TWO, ("10.1.0.9",))
    assert "c1" in taken.value.hint
    with pytest.raises(Refused, match="already in use"):
        held.lend(TWO, ("10.1.0.1",))
    with pytest.raises(Invalid, match=r"10\.2\.0\.9: It does not belong") as elsewhere:
        held.lend(TWO, ("10.2.0.9",))
    assert "10.1.0.0/24 and fd00:1::/64" in elsewhere.value.hint

    assert held.lend(TWO) == ("10.1.0.2", "fd00:1::2"), "a refusal takes nothing"


def test_what_others_ask_for_is_given_last() -> None:
    held = addresses(SMALL)
    promised = {"10.1.0.3", "10.1.0.5"}

    found = [held.lend(TaskId(f"c{n}"), avoided=promised)[0] for n in range(4)]
    assert found == ["10.1.0.4", "10.1.0.6", "10.1.0.3", "10.1.0.5"]

    with pytest.raises(Unavailable, match=r"no available IPv4 addresses.*back"):
        held.lend(TaskId("late"))


def test_addresses_come_out_of_the_range_and_may_be_asked_for_outside_of_it() -> None:
    subnet = Subnet(subnet="172.28.0.0/16", gateway="172.28.0.1", ip_range="172.28.5.8/30")
    held = addresses(subnet)

    assert held.lend(ONE) == ("172.28.5.8",)
    assert held.lend(TWO, ("172.28.9.9",)) == ("172.28.9.9",)
    assert held.lend(THREE) == ("172.28.5.9",)


def test_what_an_earlier_agent_gave_is_kept() -> None:
    held = addresses()
    held.keep(ONE, ("10.1.0.2", "fd00:1::2"))

    assert held.lend(TWO)[0] == "10.1.0.3"
    assert held.holders["fd00:1::2"] == ONE


@given(
    st.lists(
        st.tuples(
            st.sampled_from(("lend", "ask", "give back", "forget", "keep")),
            st.integers(0, 5),
            st.integers(0, 9),
        ),
        max_size=60,
    )
)
def test_law_no_address_has_two_holders(steps: list[tuple[str, int, int]]) -> None:
    held = addresses(SMALL)
    for what, who, number in steps:
        holder, address = TaskId(f"c{who}"), f"10.1.0.{number}"
        try:
            match what:
                case "lend":
                    held.lend(holder, avoided={address})
                case "ask":
                    held.lend(holder, (address,))
                case "give back":
                    held.give_back(holder)
                case "forget":
                    held.forget(holder)
                case _:
                    if address not in held.holders and 2 < number < 7:
                        held.keep(holder, (address,))
        except SwarmError:
            pass
        held.check()
