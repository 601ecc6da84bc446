"""Turn a key into a node: check the request, then sign what *we* say it is.

A request is only a key with proof of possession; the subject it asks for is ignored. A new
node's id is a digest of its key, so that a joiner whose answer was lost asks again and is
given the same node, not a second one that nobody will ever be.
"""

from hashlib import sha256
from ipaddress import ip_address
from random import Random

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from manager.ca.authority import BACK_DATED_S, Authority, make_serial
from swarm.certificates import at, certificate_pem, cluster_of, public_bytes, role_name, validity
from swarm.errors import Invalid, Refused
from swarm.ids import LENGTH, NodeId, base36
from swarm.peers import Peer
from swarm.specs import Role

_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)
_PURPOSES = x509.ExtendedKeyUsage(
    [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
)


def read_request(pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key in a CSR; `Invalid` unless it is P-256 and signed by that very key."""
    try:
        csr = x509.load_pem_x509_csr(pem)
        is_signed = csr.is_signature_valid
        key = csr.public_key()
    except (ValueError, TypeError) as err:
        raise Invalid(f"csr: not a certificate request in PEM: {err}") from err
    except UnsupportedAlgorithm as err:
        raise Invalid(f"csr: {err}", hint="use a P-256 key") from err
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp256r1":
        raise Invalid("csr: the key is not on the curve P-256", hint="use a P-256 key")
    if not is_signed:
        raise Invalid("csr: not signed by its own key")
    return key


def node_id_of(key: ec.EllipticCurvePublicKey) -> NodeId:
    """The id of the node that joins with this key: 128 bits of its digest."""
    digest = sha256(b"swarm node id 1" + public_bytes(key)).digest()
    return NodeId(base36(int.from_bytes(digest[:16]), LENGTH))


def requested_by(peer: Peer, pem: bytes) -> ec.EllipticCurvePublicKey:
    """The key of a *joiner's* CSR; `Refused` unless it is the one its connection proved."""
    key = read_request(pem)
    if not peer.is_joining:
        raise Refused(f"{peer} is a node already", hint="leave before you join again")
    if public_bytes(key) != peer.public_key:
        raise Refused("the request is for another key than the caller's own")
    return key


def issue(
    authority: Authority,
    key: ec.EllipticCurvePublicKey,
    *,
    node_id: NodeId,
    role: Role,
    expiry_s: float,
    now: float,
    random: Random,
    addresses: tuple[str, ...] = (),
) -> bytes:
    """Sign a node's certificate (PEM), good for `expiry_s` from now.

    It is back-dated for clocks that run late: by an hour, but never by more than a tenth of
    its life, or a short-lived one would be due for renewal when it is made. `addresses` are
    for managers: etcd's members know each other by address.
    """
    if expiry_s < 1:
        raise Invalid(f"cert_expiry_s: {expiry_s} is less than a second")
    _, root_ends = validity(authority.certificate)
    names: list[x509.GeneralName] = [x509.DNSName(role_name(role)), x509.DNSName(node_id)]
    names += [x509.IPAddress(ip_address(each)) for each in addresses]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_subject(authority, node_id, role))
        .issuer_name(authority.certificate.subject)
        .public_key(key)
        .serial_number(make_serial(random))
        .not_valid_before(at(now - min(BACK_DATED_S, expiry_s / 10)))
        .not_valid_after(at(min(now + expiry_s, root_ends)))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(_PURPOSES, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()),
            critical=False,
        )
        .sign(authority.key, hashes.SHA256())
    )
    return certificate_pem(certificate)


def _subject(authority: Authority, node_id: NodeId, role: Role) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster_of(authority.certificate)),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role_name(role)),
            x509.NameAttribute(NameOID.COMMON_NAME, node_id),
        ]
    )
