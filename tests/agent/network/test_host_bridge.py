import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.network.host_bridge import Addresses, choose_subnet, network
from swarm.errors import Unavailable
from swarm.ids import TaskId
from swarm.objects import Attachment
from swarm.specs import BRIDGE, NetworkDriver


def address(of: Attachment) -> str:
    (found,) = of.addresses
    return found


def test_the_subnet_is_the_one_that_docker_has_unless_the_host_goes_there() -> None:
    assert choose_subnet(["0.0.0.0/0", "192.0.2.0/24", "fe80::/64"]) == "172.17.0.0/16"
    assert choose_subnet(["172.17.0.1/16", "172.18.4.0/24"]) == "172.19.0.0/16"
    assert choose_subnet(["172.16.0.0/12"]) == "192.168.0.0/20"


def test_a_host_with_routes_to_everywhere_is_told_what_to_do_instead() -> None:
    with pytest.raises(Unavailable, match="no subnet") as caught:
        choose_subnet(["172.16.0.0/12", "192.168.0.0/16", "10.0.0.0/8"])

    assert "network create" in caught.value.hint


def test_the_bridge_is_a_network_like_any_other() -> None:
    made = network("172.17.0.0/16", mtu=1500)

    assert made.id == BRIDGE
    assert made.spec.driver is NetworkDriver.BRIDGE
    assert made.subnets[0].gateway == "172.17.0.1"


def test_addresses_are_used_again_as_late_as_possible() -> None:
    addresses = Addresses("10.9.0.0/29")
    given = []

    for number in range(6):
        given.append(address(addresses.lend(TaskId(f"t{number}"))))
        addresses.give_back(TaskId(f"t{number}"))

    assert given == [f"10.9.0.{last}" for last in (2, 3, 4, 5, 6, 2)]


def test_a_task_has_the_same_address_however_often_it_asks() -> None:
    addresses = Addresses("10.9.0.0/29")

    assert addresses.lend(TaskId("t1")) == addresses.lend(TaskId("t1"))


def test_what_running_containers_have_is_nobody_elses_after_a_restart() -> None:
    addresses = Addresses("10.9.0.0/29")
    kept = Attachment(network_id=network("10.9.0.0/29", mtu=0).id, addresses=("10.9.0.3",))

    addresses.keep(TaskId("old"), kept)
    given = [address(addresses.lend(TaskId(f"t{number}"))) for number in range(4)]

    assert given == ["10.9.0.4", "10.9.0.5", "10.9.0.6", "10.9.0.2"]
    assert addresses.lend(TaskId("old")) == kept


def test_a_full_subnet_says_so_and_serves_again_when_somebody_leaves() -> None:
    addresses = Addresses("10.9.0.0/30")
    addresses.lend(TaskId("t1"))

    with pytest.raises(Unavailable, match=r"10\.9\.0\.0/30.* has no free address: 1 in use"):
        addresses.lend(TaskId("t2"))
    addresses.give_back(TaskId("t1"))

    assert address(addresses.lend(TaskId("t2"))) == "10.9.0.2"


TASKS = st.sampled_from([TaskId(f"t{number}") for number in range(4)])


@given(st.lists(st.tuples(st.sampled_from(["lend", "give back"]), TASKS)))
def test_law_no_two_tasks_have_one_address(story: list[tuple[str, TaskId]]) -> None:
    addresses, held = Addresses("10.9.0.0/29"), dict[TaskId, str]()
    for verb, task_id in story:
        if verb == "lend":
            held[task_id] = address(addresses.lend(task_id))
        else:
            addresses.give_back(task_id)
            held.pop(task_id, None)
        addresses.check()
        assert len(set(held.values())) == len(held)
