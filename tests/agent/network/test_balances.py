"""What a change of a service's endpoints puts and removes."""

from hypothesis import given
from hypothesis import strategies as st

from agent.network.balances import Balance, balance, change, elements
from agent.network.kernel import Element, Put, Remove, identity
from agent.network.skeleton import SLOTS, VIPS
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.topology import Endpoint

VIPS_OF_WEB = ("10.0.1.2", "fd00::2")


def endpoints(*serving: bool) -> dict[TaskId, Endpoint]:
    found = [
        Endpoint(
            network_id=NetworkId("n"),
            task_id=TaskId(f"task{number}"),
            service_id=ServiceId("web"),
            addresses=(f"10.0.2.{number % 250}", f"fd00::{number + 16:x}"),
            is_serving=serves,
        )
        for number, serves in enumerate(serving)
    ]
    return {each.task_id: each for each in found}


def applied(found: dict[object, Element], before: Balance | None, after: Balance | None):
    for operation in change(before, after):
        if isinstance(operation, Put):
            found[identity(operation.value)] = operation.value
        else:
            assert found.pop(identity(operation.value), None), f"not there: {operation}"
    return found


def held(of: Balance | None) -> dict[object, Element]:
    return {identity(each): each for each in (elements(of) if of else ())}


balances = st.none() | st.builds(
    balance,
    st.sampled_from([(), VIPS_OF_WEB[:1], VIPS_OF_WEB, ("10.0.1.9",)]),
    st.lists(st.booleans(), max_size=20).map(lambda serving: endpoints(*serving)),
)


@given(balances, balances)
def test_law_a_change_leads_from_one_to_the_other(
    before: Balance | None, after: Balance | None
) -> None:
    assert applied(held(before), before, after) == held(after)
    assert list(change(after, after)) == []


def test_a_larger_class_has_its_slots_before_connections_are_led_there() -> None:
    before = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 4))
    after = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 5))

    operations = list(change(before, after))

    assert (len(before.slots), len(after.slots)) == (16, 64)
    assert operations[-1].value.data.chain == "slots4_64"
    assert not any(isinstance(each, Remove) for each in operations)


def test_a_smaller_class_leaves_slots_only_once_nobody_is_led_there() -> None:
    before = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 5))
    after = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 4))

    operations = list(change(before, after))

    entrance = next(at for at, each in enumerate(operations) if each.value.of == VIPS[False])
    assert all(isinstance(each, Remove) for each in operations[entrance + 1 :])
    assert len(operations[entrance + 1 :]) == 48


def test_of_many_endpoints_one_changes_some_dozens_of_elements() -> None:
    before = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 999, False))
    after = balance(VIPS_OF_WEB[:1], endpoints(*[True] * 1000))

    assert 0 < len(list(change(before, after))) < 100


def test_an_endpoint_without_an_address_of_a_family_has_no_slots_there() -> None:
    only4 = {
        key: Endpoint(
            network_id=each.network_id,
            task_id=key,
            addresses=each.addresses[:1],
            is_serving=True,
        )
        for key, each in endpoints(True).items()
    }

    found = [each.of for each in elements(balance(VIPS_OF_WEB, only4))]

    assert found.count(SLOTS[False]) == 16
    assert found.count(SLOTS[True]) == 0
