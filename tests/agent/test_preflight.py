"""What a node says beforehand of ports and subnets."""

import pytest

from agent.preflight import Reached, hit_subnets, taken_ports
from swarm.specs import Port

REACHED = (
    Reached(prefix="0.0.0.0/0", link="eth0"),
    Reached(prefix="192.168.7.0/24", link="eth0"),
    Reached(prefix="192.168.7.9/32", link="eth0"),
    Reached(prefix="10.8.0.0/16", link="tun0"),
    Reached(prefix="::/0", link="eth0"),
    Reached(prefix="fd00:1::/64", link="eth0"),
)


@pytest.mark.parametrize(
    ("subnet", "hit"),
    [
        ("192.168.7.128/25", "192.168.7.0/24, which is reached by eth0"),
        ("192.168.0.0/16", "192.168.7.0/24, which is reached by eth0"),
        ("10.8.3.0/24", "10.8.0.0/16, which is reached by tun0"),
        ("10.9.3.0/24", ""),
        ("fd00:1::/96", "fd00:1::/64, which is reached by eth0"),
        ("fd00:2::/64", ""),
    ],
)
def test_a_subnet_where_the_host_itself_goes_is_named_with_the_way_there(
    subnet: str, hit: str
) -> None:
    found = list(hit_subnets(("10.200.0.0/24", subnet), REACHED))

    assert found == ([f"subnets[1]: {subnet} hits {hit}"] if hit else [])


def test_what_is_no_subnet_is_said_to_be_none() -> None:
    assert list(hit_subnets(("10.0.0.0/99",), ())) == ["subnets[0]: '10.0.0.0/99' is not a subnet"]


def test_only_ports_with_a_number_can_be_taken() -> None:
    ports = (Port(target=1), Port(target=2, published=80), Port(target=3, published=81))

    found = taken_ports(ports, lambda port: "in use" if port.published != 81 else "")

    assert list(found) == ["ports[1]: in use"]
