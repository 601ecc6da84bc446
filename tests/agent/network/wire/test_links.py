"""Links as linux/if_link.h lays them out; every message is 16 bytes of ifinfomsg and attributes."""

import pytest

from agent.network.kernel import ELSEWHERE, Link, Veth, Vxlan
from agent.network.wire import links
from agent.network.wire.attributes import attribute, nested, text, u32

UP = "00 00 0000 00000000 01000000 01000000"
UNSAID = "00 00 0000 00000000 00000000 00000000"
TUNNEL = Vxlan(
    name="vx0", vni=4097, port=4789, local="192.168.77.1", mac="02:53:57:00:00:01", mtu=1450
)


def test_a_tunnel_is_made_by_one_message() -> None:
    request = links.create(TUNNEL, home=9, peer=None)

    assert (request.kind, request.flags) == (16, 0x600)
    assert request.body == bytes.fromhex(
        UP
        + "0800 0300 76783000"  # IFLA_IFNAME vx0
        + "0a00 0100 025357000001 0000"  # IFLA_ADDRESS
        + "0800 0400 aa050000"  # IFLA_MTU
        + "0800 1c00 09000000"  # IFLA_NET_NS_FD
        + "3400 1280"  # IFLA_LINKINFO
        + "0a00 0100 76786c616e00 0000"  # IFLA_INFO_KIND vxlan
        + "2400 0280"  # IFLA_INFO_DATA
        + "0800 0100 01100000"  # IFLA_VXLAN_ID
        + "0800 0400 c0a84d01"  # IFLA_VXLAN_LOCAL
        + "0600 0f00 12b5 0000"  # IFLA_VXLAN_PORT
        + "0500 0700 00 000000"  # IFLA_VXLAN_LEARNING
    )


def test_a_pair_is_made_with_its_other_end_in_another_namespace() -> None:
    pair = Veth(name="ep0", peer="eth0", peer_netns="task", peer_mac="02:00:00:00:00:02")

    request = links.create(pair, home=None, peer=5)

    assert request.body == bytes.fromhex(
        UP
        + "0800 0300 65703000"  # IFLA_IFNAME ep0
        + "4800 1280"  # IFLA_LINKINFO
        + "0900 0100 7665746800 000000"  # IFLA_INFO_KIND veth
        + "3800 0280 3400 0180"  # IFLA_INFO_DATA, VETH_INFO_PEER
        + UNSAID
        + "0900 0300 6574683000 000000"  # IFLA_IFNAME eth0
        + "0a00 0100 020000000002 0000"  # IFLA_ADDRESS
        + "0800 1c00 05000000"  # IFLA_NET_NS_FD
    )


def test_a_link_that_shall_be_down_is_said_to_be() -> None:
    request = links.change(Link(name="lo", is_up=False))

    assert request.flags == 0
    assert request.body == bytes.fromhex(
        "00 00 0000 00000000 00000000 01000000 0700 0300 6c6f00 00"
    )


def test_a_link_is_removed_by_name() -> None:
    assert links.delete("lo").body == bytes.fromhex(UNSAID + "0700 0300 6c6f00 00")


@pytest.mark.parametrize("tunnel", [TUNNEL, Vxlan(name="v6", vni=9, port=4789, local="fd00::1")])
def test_a_tunnel_is_read_as_it_was_written(tunnel: Vxlan) -> None:
    body = links.create(tunnel, home=None, peer=None).body

    read = links.decode(body, names={}, labels={})

    assert read == tunnel


@pytest.mark.parametrize(("labels", "label"), [({3: "host"}, "host"), ({4: "host"}, ELSEWHERE)])
def test_where_a_tunnel_has_its_socket_is_told_by_the_number(
    labels: dict[int, str], label: str
) -> None:
    body = links.create(TUNNEL, home=None, peer=None).body + u32(37, 3)

    read = links.decode(body, names={}, labels=labels)

    assert isinstance(read, Vxlan)
    assert read.underlay == label


def test_the_other_end_of_a_pair_has_a_name_only_here() -> None:
    kind = nested(18, text(1, "veth"))
    here = bytes(16) + text(3, "a") + attribute(1, bytes(6)) + u32(5, 8) + kind

    near = links.decode(here, names={8: "b"}, labels={})
    far = links.decode(here + u32(37, 0), names={8: "b"}, labels={0: "task"})

    mac = "00:00:00:00:00:00"
    assert near == Veth(name="a", peer="b", mac=mac, is_up=False)
    assert far == Veth(name="a", peer="", peer_netns="task", mac=mac, is_up=False)


@pytest.mark.parametrize(("raw", "number"), [("03000000", 3), ("ffffffff", None)])
def test_a_namespace_that_nobody_refers_to_has_no_number(raw: str, number: int | None) -> None:
    assert links.decode_nsid(bytes(4) + attribute(1, bytes.fromhex(raw))) == number
