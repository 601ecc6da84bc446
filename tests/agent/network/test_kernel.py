"""When what was found is what is wanted, and what replaces what."""

import pytest

from agent.network.kernel import (
    ELSEWHERE,
    HERE,
    Address,
    AnyLink,
    Link,
    Route,
    RouteKind,
    Scope,
    Value,
    Veth,
    Vxlan,
    completed,
    identity,
    is_made_as,
    is_met,
)

VETH = Veth(name="ep0", peer="eth0", peer_netns="task", mac="02:00:00:00:00:01", mtu=1450)
VXLAN = Vxlan(name="vx0", vni=4097, port=4789, local="10.0.0.1", underlay="host", mtu=1450)


@pytest.mark.parametrize(
    ("wanted", "found", "met"),
    [
        (Link(name="lo"), Link(name="lo", mac="00:00:00:00:00:00", mtu=65536), True),
        (Link(name="lo"), Link(name="lo", is_up=False), False),
        (Link(name="eth0"), VETH, False),
        (Link(name="ep0"), VETH, True),
        (Link(name="wg0", kind="wireguard"), Link(name="wg0", kind="dummy"), False),
        (Link(name="wg0", kind="wireguard"), Veth(name="wg0", peer=""), False),
        (VETH, Veth(name="ep0", peer="", peer_netns="task", mac=VETH.mac, mtu=1450), True),
        (VETH, Veth(name="ep0", peer="", peer_netns=ELSEWHERE, mac=VETH.mac, mtu=1450), True),
        (VETH, Veth(name="ep0", peer="", peer_netns="other", mac=VETH.mac, mtu=1450), False),
        (VETH, Veth(name="ep0", peer="", peer_netns=HERE, mac=VETH.mac, mtu=1450), False),
        (VETH, Veth(name="ep0", peer="", peer_netns="task", mac=VETH.mac, mtu=1500), False),
        (VXLAN, Link(name="vx0"), False),
        (VXLAN, Vxlan(name="vx0", vni=4097, port=4789, local="10.0.0.1", mtu=1450), False),
        (Veth(name="a", peer="b"), Veth(name="a", peer="", peer_netns=ELSEWHERE), False),
        (Address(link="a", address="10.0.0.1/8"), Address(link="a", address="10.0.0.1/8"), True),
        (Address(link="a", address="10.0.0.1/8"), Address(link="b", address="10.0.0.1/8"), False),
        (
            Route(destination="10.0.0.0/8", link="a"),
            Route(destination="10.0.0.0/8", link="a", scope=Scope.LINK),
            True,
        ),
        (
            Route(destination="10.0.0.0/8", link="a"),
            Route(destination="10.0.0.0/8", link="a", protocol=4, scope=Scope.LINK),
            False,
        ),
    ],
)
def test_found_is_compared_by_what_the_kernel_reports(
    wanted: Value, found: Value, met: bool
) -> None:
    assert is_met(wanted, found) is met


@pytest.mark.parametrize(
    ("found", "same"),
    [
        (Vxlan(name="vx0", vni=4097, port=4789, local="10.0.0.1", underlay="host"), True),
        (Vxlan(name="vx0", vni=4097, port=4789, local="10.0.0.1", underlay=ELSEWHERE), True),
        (Vxlan(name="vx0", vni=4098, port=4789, local="10.0.0.1", underlay="host"), False),
        (Vxlan(name="vx0", vni=4097, port=4790, local="10.0.0.1", underlay="host"), False),
        (Vxlan(name="vx0", vni=4097, port=4789, local="10.0.0.2", underlay="host"), False),
        (Link(name="vx0", kind="bridge"), False),
    ],
)
def test_a_tunnel_with_other_options_is_made_anew(found: AnyLink, same: bool) -> None:
    assert is_made_as(VXLAN, found) is same


@pytest.mark.parametrize(
    ("route", "scope"),
    [
        (Route(destination="10.0.0.0/8", link="a"), Scope.LINK),
        (Route(destination="10.0.0.0/8", link="a", scope=Scope.GLOBAL), Scope.GLOBAL),
        (Route(destination="10.0.0.0/8", link="a", via="10.0.0.1"), Scope.GLOBAL),
        (Route(destination="10.0.0.0/8", kind=RouteKind.UNREACHABLE), Scope.GLOBAL),
        (Route(destination="10.0.0.0/8", link="lo", kind=RouteKind.LOCAL), Scope.HOST),
        (Route(destination="fd00::/8", link="a", scope=Scope.LINK), Scope.GLOBAL),
    ],
)
def test_a_route_has_the_scope_that_the_kernel_reports(route: Route, scope: Scope) -> None:
    assert completed(route).scope is scope


def test_a_route_by_another_next_hop_replaces_the_first() -> None:
    near = Route(destination="10.0.1.5/32", link="ep0")

    assert identity(near) == identity(Route(destination="10.0.1.5/32", link="vx0", via="240.0.0.2"))
    assert identity(near) != identity(Route(destination="10.0.1.5/32", link="ep0", table=100))
    assert identity(VETH) == identity(Link(name="ep0"))
