from hypothesis import given
from hypothesis import strategies as st

from agent.network import host_leads
from agent.network.host_leads import Lead, is_astray, is_stuck
from agent.network.host_rules import Key
from agent.network.kernel import Element, Flow, Put, identity

KEY = Key("tcp", 8080)
TCP, UDP = 6, 17
LEADS = st.none() | st.builds(
    Lead,
    st.just(KEY),
    st.integers(80, 81),
    st.lists(
        st.sampled_from([("10.255.0.5",), ("10.255.0.6", "fd00::6"), ("fd00::7",)]), max_size=40
    ).map(tuple),
)


def held(lead: Lead | None) -> dict[tuple[object, ...], Element]:
    return {identity(each): each for each in (host_leads.elements(lead) if lead else ())}


@given(LEADS, LEADS)
def test_law_a_turn_makes_of_one_lead_the_other(before: Lead | None, after: Lead | None) -> None:
    kernel = held(before)

    for each in host_leads.turn(before, after):
        kernel.pop(identity(each.value), None)
        if isinstance(each, Put):
            assert isinstance(each.value, Element)
            kernel[identity(each.value)] = each.value

    assert kernel == held(after)


@given(LEADS)
def test_law_what_stays_as_it_is_costs_nothing(lead: Lead | None) -> None:
    assert not list(host_leads.turn(lead, lead))


def flow(protocol: int = UDP, **fields: object) -> Flow:
    made: dict[str, object] = {
        "source": "198.51.100.9",
        "destination": "192.0.2.1",
        "destination_port": 53,
        "reply_source": "10.255.0.5",
    }
    return Flow(protocol=protocol, **(made | fields))


def test_datagrams_and_handshakes_are_freed_of_an_endpoint_that_is_gone() -> None:
    gone = ("10.255.0.5", "fd00::5")

    assert is_stuck(flow(UDP, is_established=True), gone)
    assert is_stuck(flow(TCP), gone)
    assert not is_stuck(flow(TCP, is_established=True), gone)
    assert not is_stuck(flow(UDP, reply_source="10.255.0.6"), gone)


def test_datagrams_that_came_before_their_port_was_led_are_astray() -> None:
    ports, led, own = {53}, {"10.255.0.5"}, {"192.0.2.1"}

    assert is_astray(flow(reply_source="192.0.2.1"), ports, led, own)
    assert not is_astray(flow(), ports, led, own)
    assert is_astray(flow(), ports, set(), own)


def test_what_containers_ask_others_at_the_same_port_is_not_astray() -> None:
    asked = flow(source="10.255.0.7", destination="8.8.8.8", reply_source="8.8.8.8")

    assert not is_astray(asked, {53}, {"10.255.0.5"}, {"192.0.2.1"})
    assert not is_astray(flow(TCP, reply_source="192.0.2.1"), {53}, {"10.255.0.5"}, {"192.0.2.1"})
