from ipaddress import ip_address
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store
from hypothesis import given, settings
from hypothesis import strategies as st

from manager.ca.authority import ROOT_LIFE_S, make_root
from manager.ca.issuing import issue, node_id_of, read_request, requested_by
from swarm.certificates import (
    at,
    load_certificate,
    make_key,
    public_bytes,
    read_subject,
    renew_at,
    request,
    validity,
)
from swarm.errors import Invalid, Refused
from swarm.ids import ClusterId, NodeId
from swarm.peers import Peer, Standing
from swarm.specs import Role

NOW = 1_800_000_000.0
ROOT = make_root(ClusterId("c1"), now=NOW, random=Random(1))
KEY = make_key(Random(2))


def _issue(role: Role = Role.WORKER, *, expiry_s: float = 90 * 86400.0, now: float = NOW, **more):
    pem = issue(
        ROOT,
        KEY.public_key(),
        node_id=NodeId("node7"),
        role=role,
        expiry_s=expiry_s,
        now=now,
        random=Random(3),
        **more,
    )
    return load_certificate(pem)


def _joiner(key: ec.EllipticCurvePrivateKey, standing: Standing = Standing.JOINING_WORKER) -> Peer:
    public = public_bytes(key.public_key())
    return Peer(standing=standing, public_key=public, not_before=0.0, not_after=1.0)


@pytest.mark.parametrize(
    ("role", "name"), [(Role.WORKER, "swarm-worker"), (Role.MANAGER, "swarm-manager")]
)
def test_a_certificate_says_who_where_and_what_for(role: Role, name: str) -> None:
    certificate = _issue(role, addresses=("10.0.0.1", "fd00::1"))
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value

    subject = read_subject(certificate)

    assert (subject.node_id, subject.role, subject.cluster_id) == ("node7", role, "c1")
    assert names.get_values_for_type(x509.DNSName) == [name, "node7"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ip_address("10.0.0.1"),
        ip_address("fd00::1"),
    ]
    assert set(purposes) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}


def test_a_strict_verifier_takes_both_ends() -> None:
    """Not our own reading of X.509, but that of a verifier made for the public web."""
    policy = PolicyBuilder().store(Store([ROOT.certificate])).time(at(NOW))

    for role, name in ((Role.MANAGER, "swarm-manager"), (Role.WORKER, "swarm-worker")):
        certificate = _issue(role)
        policy.build_server_verifier(x509.DNSName(name)).verify(certificate, [])
        policy.build_client_verifier().verify(certificate, [])


def test_a_certificate_is_back_dated_and_never_outlives_the_root() -> None:
    assert validity(_issue()) == (NOW - 3600, NOW + 90 * 86400)
    assert validity(_issue(expiry_s=60.0)) == (NOW - 6, NOW + 60)
    late = NOW + ROOT_LIFE_S - 60
    assert validity(_issue(now=late))[1] == NOW + ROOT_LIFE_S


@settings(max_examples=50)
@given(st.floats(10, 10**8), st.integers())
def test_law_a_new_certificate_is_never_due_for_renewal(expiry_s: float, seed: int) -> None:
    subject = read_subject(_issue(expiry_s=expiry_s))

    assert renew_at(subject, Random(seed)) > NOW


def test_a_life_below_a_second_is_invalid() -> None:
    with pytest.raises(Invalid, match="cert_expiry_s"):
        _issue(expiry_s=0.0)


def test_the_requested_subject_is_ignored() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "swarm-manager")])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(KEY, hashes.SHA256())

    key = read_request(csr.public_bytes(serialization.Encoding.PEM))

    assert public_bytes(key) == public_bytes(KEY.public_key())


def test_requests_that_prove_nothing_are_invalid() -> None:
    good = request(KEY)
    other = x509.load_pem_x509_csr(request(make_key(Random(4))))
    der = bytearray(x509.load_pem_x509_csr(good).public_bytes(serialization.Encoding.DER))
    der[-5] ^= 1
    spoiled = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)

    for pem in (b"", b"hello", good[:-40], spoiled):
        with pytest.raises(Invalid, match="csr: "):
            read_request(pem)
    assert other.is_signature_valid


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_only_p256_is_signed(key) -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    algorithm = hashes.SHA256() if isinstance(key, ec.EllipticCurvePrivateKey) else None
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, algorithm)

    with pytest.raises(Invalid, match="P-256"):
        read_request(csr.public_bytes(serialization.Encoding.PEM))


def test_a_joiner_asks_for_its_own_key_only() -> None:
    assert public_bytes(requested_by(_joiner(KEY), request(KEY))) == _joiner(KEY).public_key
    with pytest.raises(Refused, match="another key than the caller's"):
        requested_by(_joiner(make_key(Random(9))), request(KEY))
    with pytest.raises(Refused, match="is a node already"):
        requested_by(_joiner(KEY, Standing.WORKER), request(KEY))


def test_asking_twice_with_one_key_gives_one_node() -> None:
    ids = {node_id_of(read_request(request(KEY))) for _ in range(3)}

    assert len(ids) == 1
    assert len(ids.pop()) == 25
    assert node_id_of(make_key(Random(9)).public_key()) not in ids
