"""What takes WireGuard minutes: sessions renewed with another secret, handshakes that fail."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.network.encryption_keys import preshared_key
from agent.network.io import namespaces
from swarm.topology import Topology
from tests.kernel.encrypted import (
    EncryptedSwarm,
    Stream,
    encrypted_swarm,
    has_wireguard,
    pair,
    secret,
)
from tests.kernel.routed import Container, ask

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(900)]

RENEWED_AFTER_S = 120


@pytest.fixture
def two(tmp_path: Path) -> Iterator[EncryptedSwarm]:
    if not has_wireguard(tmp_path):
        pytest.skip("this kernel has no WireGuard: python -m tests.vm has")
    with encrypted_swarm(tmp_path / "swarm", hosts=2) as made:
        yield made


def shared(swarm: EncryptedSwarm, number: int) -> bytes:
    """The key that the two hosts have of a secret."""
    keys = [swarm.encryptions[host.number].public_key for host in swarm.hosts]
    return preshared_key(secret(number).secret, *keys)


def used(swarm: EncryptedSwarm) -> list[bytes]:
    """The keys that each of the two hosts has for the other."""
    return [swarm.tunnel(host)[1].popitem()[1].preshared_key for host in swarm.hosts]


def test_a_session_is_renewed_without_a_loss_though_one_side_lags(two: EncryptedSwarm) -> None:
    """1. Both know one secret, and a session is there.

    2. One side hears of another secret. Traffic goes on by the session.
    3. The session is to be renewed, which fails at first: so the side that knows more goes back.
       A new session is there before the old one ends, and the new secret is tried again.
    4. The other side hears of it, too. The session after that is by the new secret.
    """
    first, second = pair(two)
    one, other = two.hosts
    ask(first.netns, second.addresses[0])
    began = two.activity(one, other).handshake_at

    with Stream(first, second, every_s=0.02) as stream, two.go_on(one, other):
        two.tell_one(one, Topology(keys=(secret(2),)))
        assert used(two) == [shared(two, 2), shared(two, 1)]
        two.until(lambda: two.activity(one, other).handshake_at > began + 1, within_s=200)
        renewed = two.activity(one, other).handshake_at
        two.until(lambda: used(two) == [shared(two, 2), shared(two, 1)], within_s=60)
        two.tell_one(other, Topology(keys=(secret(2),)))
        two.until(lambda: two.activity(one, other).handshake_at > renewed + 1, within_s=200)
        again = two.activity(one, other).handshake_at
        lost = stream.lost()

    assert lost == 0
    assert RENEWED_AFTER_S < renewed - began < 180
    assert RENEWED_AFTER_S - 1 < again - renewed < 140
    assert used(two) == [shared(two, 2)] * 2


def test_those_who_know_only_an_older_secret_are_met_with_that(two: EncryptedSwarm) -> None:
    """No session is there yet, and the first handshakes fail."""
    first, second = pair(two)
    one, other = two.hosts
    two.tell_one(one, Topology(keys=(secret(2),)))
    client = socket_to(first, second)

    with client, two.go_on(one, other):
        two.until(lambda: answered(client), within_s=600)

    assert used(two)[1] == shared(two, 1)


def socket_to(first: Container, second: Container) -> socket.socket:
    with namespaces.entered(first.netns):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(0.5)
    made.connect((second.addresses[0], 80))
    return made


def answered(client: socket.socket) -> bool:
    """Ask once more; whether anybody answers soon."""
    try:
        client.send(b"?")
        return bool(client.recv(64))
    except OSError:
        return False
