"""WireGuard links as linux/wireguard.h lays them out."""

from hypothesis import given
from hypothesis import strategies as st

from agent.network.kernel import Put, Remove, Tunnel, TunnelActivity, TunnelPeer
from agent.network.wire import generic, operations, wireguard
from agent.network.wire.attributes import attribute, nested, text, to_address, u16

KEYS = st.binary(min_size=32, max_size=32).filter(any)
KEY = bytes(range(32))


def test_the_family_is_asked_for_by_name() -> None:
    request = generic.get_family("wireguard")

    assert request == (16, 0, bytes.fromhex("03 01 0000 0e00 0200 776972656775617264 00 0000"))
    assert generic.decode_family(bytes.fromhex("01 02 0000") + u16(1, 31) + text(2, "x")) == 31


def test_a_tunnel_is_set_without_its_peers() -> None:
    request = operations.tunnel_request(
        Put(Tunnel(link="wg0", private_key=KEY, port=51820, mark=3)), 31
    )

    assert request == (
        31,
        0,
        bytes.fromhex("01 01 0000 0800 0200 77673000 2400 0300")
        + KEY
        + bytes.fromhex("0600 0600 6cca 0000 0800 0700 03000000"),
    )


def test_a_peer_is_set_with_just_these_prefixes() -> None:
    peer = TunnelPeer(
        link="wg0", public_key=KEY, endpoint="192.168.77.2", endpoint_port=51820,
        allowed=("10.0.1.0/24",), keepalive_s=25,
    )  # fmt: skip

    request = operations.tunnel_request(Put(peer), 31)

    assert request.body == (
        bytes.fromhex("01 01 0000 0800 0200 77673000 9400 0880 9000 0080 2400 0100")
        + KEY
        + bytes.fromhex("0800 0300 02000000 2400 0200")  # WGPEER_F_REPLACE_ALLOWEDIPS
        + bytes(32)
        + bytes.fromhex(
            "0600 0500 1900 0000"
            "2000 0980 1c00 0080 0600 0100 0200 0000 0800 0200 0a000100 0500 0300 18 000000"
            "1400 0400 0200 ca6c c0a84d02 0000000000000000"
        )
    )


def test_a_peer_is_refreshed_with_its_prefixes_left_alone() -> None:
    peer = TunnelPeer(
        link="wg0", public_key=KEY, preshared_key=bytes(range(1, 33)), endpoint="fd00::2",
        endpoint_port=4790, allowed=("240.0.0.2/32",),
    )  # fmt: skip

    request = wireguard.refresh_peer(peer, 31)

    assert request.body == (
        bytes.fromhex("01 01 0000 0800 0200 77673000 8000 0880 7c00 0080 2400 0100")
        + KEY
        + bytes.fromhex("0800 0300 04000000 2400 0200")  # WGPEER_F_UPDATE_ONLY
        + peer.preshared_key
        + bytes.fromhex(
            "0600 0500 0000 0000"
            "2000 0400 0a00 12b6 00000000 fd000000000000000000000000000002 00000000"
        )
    )


def test_what_a_tunnel_counts_is_read_by_peer() -> None:
    head = bytes.fromhex("00 01 0000") + text(2, "wg0")
    counted = nested(
        0,
        attribute(1, KEY),
        attribute(6, bytes.fromhex("0300000000000000 0065cd1d00000000")),
        attribute(7, (7).to_bytes(8, "little")),
        attribute(8, (8).to_bytes(8, "little")),
    )
    rest = nested(0, attribute(1, KEY))  # of a peer with many prefixes

    found = wireguard.decode_activity([head + nested(8, counted), head + nested(8, rest)])

    assert found == {KEY: TunnelActivity(handshake_at=3.5, received_bytes=7, sent_bytes=8)}


def test_a_peer_that_is_not_known_is_removed_without_being_made() -> None:
    request = operations.tunnel_request(Remove(TunnelPeer(link="wg0", public_key=KEY)), 31)

    golden = "01 01 0000 0800 0200 77673000 3400 0880 3000 0080 2400 0100"
    assert request.body == bytes.fromhex(golden) + KEY + bytes.fromhex("0800 0300 05000000")


def test_removing_a_tunnel_takes_its_key_away() -> None:
    gone = operations.tunnel_request(Remove(Tunnel(link="wg0", private_key=KEY, port=1)), 31)

    assert gone.body.endswith(bytes.fromhex("2400 0300") + bytes(32))


@given(
    tunnel=st.builds(
        Tunnel,
        link=st.just("wg0"),
        private_key=KEYS,
        port=st.integers(0, 65535),
        mark=st.integers(0, 2**32 - 1),
    ),
    peers=st.lists(
        st.builds(
            TunnelPeer,
            link=st.just("wg0"),
            public_key=KEYS,
            preshared_key=KEYS | st.just(b""),
            endpoint=st.ip_addresses().map(lambda made: to_address(made.packed)),
            endpoint_port=st.integers(1, 65535),
            allowed=st.lists(st.ip_addresses(v=4).map(lambda made: f"{made}/32"), max_size=4).map(
                tuple
            ),
            keepalive_s=st.integers(0, 65535),
        ),
        max_size=4,
        unique_by=lambda peer: peer.public_key,
    ),
)
def test_law_tunnels_are_read_as_they_were_written(tunnel: Tunnel, peers: list[TunnelPeer]) -> None:
    bodies = [
        wireguard.put(tunnel, 31).body,
        *(wireguard.put_peer(each, 31).body for each in peers),
    ]

    assert wireguard.decode(bodies) == (tunnel, tuple(peers))


def test_a_peer_goes_on_in_the_next_message() -> None:
    first = TunnelPeer(link="wg0", public_key=KEY, allowed=("10.0.1.0/24",), keepalive_s=9)
    rest = TunnelPeer(link="wg0", public_key=KEY, allowed=("10.0.2.0/24", "fd00::/64"))
    bodies = [
        wireguard.put(Tunnel(link="wg0", private_key=KEY, port=1), 31).body,
        *(wireguard.put_peer(each, 31).body for each in (first, rest)),
    ]

    _, (peer,) = wireguard.decode(bodies)

    assert peer.allowed == ("10.0.1.0/24", "10.0.2.0/24", "fd00::/64")
    assert peer.keepalive_s == 9


def test_keys_are_not_printed() -> None:
    tunnel = Tunnel(link="wg0", private_key=KEY, port=51820)
    peer = TunnelPeer(link="wg0", public_key=bytes(32), preshared_key=KEY)

    for shown in (repr(tunnel), repr(Put(peer)), operations.described(tunnel)):
        assert KEY.hex() not in shown
        assert repr(KEY) not in shown
