import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from swarm.certificates import Identity
from swarm.errors import Refused
from swarm.pinning import check_greeting, pinned_root
from swarm.specs import Role
from swarm.tokens import anchor_of, parse_token
from tests.trust import Swarm, forge

NOW = 1_800_000_000.0
ADDRESS = "10.0.0.1:2377"
SWARM, OTHER = Swarm(NOW), Swarm(NOW, seed=2)
TOKEN = parse_token(SWARM.token())


def _der(*pems: bytes) -> list[bytes]:
    found = [each for pem in pems for each in x509.load_pem_x509_certificates(pem)]
    return [each.public_bytes(serialization.Encoding.DER) for each in found]


def _pin(chain: list[bytes], *, now: float = NOW) -> bytes:
    return pinned_root(chain, TOKEN, address=ADDRESS, now=now)


def test_the_tokens_swarm_is_believed() -> None:
    assert _pin(_der(SWARM.server.chain)) == SWARM.cluster.root_certificate


@pytest.mark.parametrize(
    "server",
    [
        OTHER.server,
        Identity(key=b"", certificate=SWARM.server.certificate, root=b""),
        Identity(key=b"", certificate=SWARM.server.certificate, root=OTHER.server.root),
        Identity(key=b"", certificate=SWARM.server.root, root=b""),
    ],
)
def test_a_chain_without_the_pinned_root_is_another_swarm(server: Identity) -> None:
    with pytest.raises(Refused, match=r"10.0.0.1:2377 belongs to another swarm than the token"):
        _pin(_der(server.chain))


def test_showing_the_right_root_is_not_enough() -> None:
    """The root is public: an impostor can send it along with a certificate of its own."""
    with pytest.raises(Refused, match="not issued by it"):
        _pin(_der(OTHER.server.certificate, SWARM.server.root))


def test_a_token_holder_cannot_pose_as_the_manager() -> None:
    anchor = anchor_of(TOKEN)
    _, forged = forge(anchor.key, anchor.certificate, now=NOW, ou="swarm-manager")

    with pytest.raises(Refused, match="not issued by it"):
        _pin(_der(forged, SWARM.server.root))


def test_a_worker_cannot_pose_as_the_manager() -> None:
    with pytest.raises(Refused, match="in another role"):
        _pin(_der(SWARM.node(Role.WORKER).chain))


def test_clocks_that_disagree_are_named() -> None:
    with pytest.raises(Refused, match="clock is 400 s or more behind"):
        _pin(_der(SWARM.server.chain), now=NOW - 4000)
    with pytest.raises(Refused, match="expired 10 s ago by our clock"):
        _pin(_der(SWARM.server.chain), now=NOW + 90 * 86400 + 10)


def test_the_greeting_tells_a_manager_from_others() -> None:
    check_greeting(b"\0\0\x18\x04\0\0\0\0\0", address=ADDRESS)

    with pytest.raises(Refused, match="join token refused") as caught:
        check_greeting(b"", address=ADDRESS)
    assert "join-token worker" in caught.value.hint
    for odd in (b"HTTP/1.1 400 Bad Request", b"\0\0"):
        with pytest.raises(Refused, match="not a swarm manager"):
            check_greeting(odd, address=ADDRESS)


def test_bytes_that_are_no_certificate_are_no_manager() -> None:
    with pytest.raises(Refused, match="not a swarm manager"):
        _pin([b"x", b"y"])
    with pytest.raises(Refused, match="another swarm"):
        _pin([])
