from random import Random

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from swarm.certificates import (
    Identity,
    Subject,
    bind,
    load_key,
    make_key,
    public_bytes,
    read_identity,
    renew_at,
    request,
    subject_of,
)
from swarm.errors import Refused
from swarm.ids import ClusterId, NodeId
from swarm.specs import Role
from tests.trust import Swarm

NOW = 1_800_000_000.0


def test_identity_survives_its_file() -> None:
    identity = Swarm(NOW).node(Role.WORKER, "node7")

    read = read_identity(identity.bundle)

    assert read == identity
    assert subject_of(read).node_id == "node7"
    assert subject_of(read).role is Role.WORKER
    assert subject_of(read).cluster_id == "swarm1"


@pytest.mark.parametrize(
    ("key", "certificate", "root", "reason"),
    [
        (2, 1, 1, "another key"),
        (1, 2, 1, "another key"),
        (1, 1, 2, "not issued by the swarm's root"),
        (1, 0, 1, "found 1"),
        (1, 1, 0, "found 1"),
        (0, 1, 1, "key cannot be read"),
    ],
)
def test_parts_of_different_identities_are_refused(
    key: int, certificate: int, root: int, reason: str
) -> None:
    nothing = Identity(key=b"", certificate=b"", root=b"")
    parts = [nothing, Swarm(NOW).node(), Swarm(NOW, seed=2).node()]
    mixed = Identity(
        key=parts[key].key, certificate=parts[certificate].certificate, root=parts[root].root
    )

    with pytest.raises(Refused, match=reason) as caught:
        read_identity(mixed.bundle)

    assert "join again" in caught.value.hint


def test_a_file_cut_short_is_refused() -> None:
    bundle = Swarm(NOW).node().bundle

    for length in range(0, len(bundle) - 1, 97):
        with pytest.raises(Refused):
            read_identity(bundle[:length])


def test_a_certificate_for_another_key_is_not_bound() -> None:
    identity = Swarm(NOW).node()

    with pytest.raises(Refused, match="another key"):
        bind(make_key(Random(5)), identity.certificate, identity.root)


def test_a_request_carries_the_key_and_nothing_to_believe() -> None:
    key = make_key(Random(1))

    csr = x509.load_pem_x509_csr(request(key))

    assert public_bytes(csr.public_key()) == public_bytes(key.public_key())
    assert csr.is_signature_valid
    assert not list(csr.extensions)


def test_keys_never_show_in_a_repr() -> None:
    identity = Swarm(NOW).node()

    assert "PRIVATE" not in repr(identity)
    assert public_bytes(load_key(identity.key).public_key())


@given(st.integers(0, 2**40), st.integers(2, 10**9), st.integers(), st.sampled_from([10.0, 3600.0]))
def test_law_renewal_falls_into_the_first_half_of_a_life(
    begins: int, expiry_s: int, seed: int, cap_s: float
) -> None:
    issued = begins + min(cap_s, expiry_s / 10)
    subject = Subject(
        node_id=NodeId("n"),
        role=Role.WORKER,
        cluster_id=ClusterId("c"),
        not_before=float(begins),
        not_after=issued + expiry_s,
    )

    due = renew_at(subject, Random(seed))

    assert issued < due < (subject.not_before + subject.not_after) / 2
