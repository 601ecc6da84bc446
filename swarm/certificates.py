"""Say who a node is: its key, its request, its certificate and what they must agree on.

A certificate's subject is the whole identity: CN is the node's id, OU its role, O the
cluster. The name that TLS checks is the role's, not the host's: every manager answers to
`swarm-manager`, so that a dialler needs no list of hosts and a worker can never pass for a
manager. Key, certificate and root travel as one PEM text, because two files replaced one after
the other do not match when the host dies in between.
"""

from datetime import UTC, datetime
from random import Random

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from swarm.errors import Refused
from swarm.ids import ClusterId, NodeId
from swarm.specs import Role

MANAGER_NAME = "swarm-manager"
WORKER_NAME = "swarm-worker"
JOINER_NAME = "swarm-join"

# NIST P-256, SP 800-186 section 3.2.1.3: private keys are 1 .. ORDER - 1.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_NAMES = {Role.MANAGER: MANAGER_NAME, Role.WORKER: WORKER_NAME}
_ROLES = {name: role for role, name in _NAMES.items()}


class Identity(Struct, frozen=True, kw_only=True):
    """A node's key, its certificate and its swarm's root, each PEM."""

    key: bytes
    certificate: bytes
    root: bytes

    def __repr__(self) -> str:
        return "Identity(key=<hidden>)"

    @property
    def chain(self) -> bytes:
        """What a server presents: a joiner pins the root, so it is sent along."""
        return self.certificate + self.root

    @property
    def bundle(self) -> bytes:
        """The file: key, then certificate, then root."""
        return self.key + self.chain


class Subject(Struct, frozen=True, kw_only=True):
    """What a node's certificate says. Times are seconds since the epoch."""

    node_id: NodeId
    role: Role
    cluster_id: ClusterId
    not_before: float
    not_after: float


def role_name(role: Role) -> str:
    """The role as certificates spell it, which is also the name that TLS checks."""
    return _NAMES[role]


def make_key(random: Random) -> ec.EllipticCurvePrivateKey:
    """Make a P-256 key. Only `SystemRandom` gives one worth keeping secret."""
    return ec.derive_private_key(random.randrange(1, ORDER), ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """The key as unencrypted PKCS 8, which gRPC, etcd and OpenSSL all read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Read a key that `key_pem` wrote; `Refused` when it is anything else."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as err:
        raise Refused(f"the node's key cannot be read: {err}", hint=_REJOIN) from err
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Refused("the node's key is not an elliptic curve key", hint=_REJOIN)
    return key


def public_bytes(key: object) -> bytes:
    """The public key as DER (SubjectPublicKeyInfo); how we compare keys."""
    assert isinstance(key, ec.EllipticCurvePublicKey)
    return key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Make a CSR (PEM). It asks for nothing: id and role are the manager's to give."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, JOINER_NAME)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    return csr.public_bytes(serialization.Encoding.PEM)


def load_certificate(pem: bytes) -> x509.Certificate:
    """Read the first certificate in `pem`; `Refused` when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as err:
        raise Refused(f"not a certificate: {err}") from err


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """The certificate as PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def root_digest(root: x509.Certificate) -> bytes:
    """SHA-256 of the certificate's DER: what a join token pins."""
    return root.fingerprint(hashes.SHA256())


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether `issuer`'s own key signed `certificate`, with nobody in between."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def validity(certificate: x509.Certificate) -> tuple[float, float]:
    """From when until when, in seconds since the epoch."""
    return (
        certificate.not_valid_before_utc.timestamp(),
        certificate.not_valid_after_utc.timestamp(),
    )


def at(seconds: float) -> datetime:
    """The moment as X.509 writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(int(seconds), UTC)


def read_subject(certificate: x509.Certificate) -> Subject:
    """Who the certificate speaks of; `Refused` when it is not a node's."""
    role = _ROLES.get(_attribute(certificate.subject, NameOID.ORGANIZATIONAL_UNIT_NAME))
    node_id = _attribute(certificate.subject, NameOID.COMMON_NAME)
    if role is None or not node_id:
        raise Refused(f"the certificate of {node_id or 'nobody'} names no role of a swarm")
    not_before, not_after = validity(certificate)
    return Subject(
        node_id=NodeId(node_id),
        role=role,
        cluster_id=cluster_of(certificate),
        not_before=not_before,
        not_after=not_after,
    )


def cluster_of(certificate: x509.Certificate) -> ClusterId:
    """The cluster that a root or node certificate belongs to."""
    return ClusterId(_attribute(certificate.subject, NameOID.ORGANIZATION_NAME))


def read_identity(bundle: bytes) -> Identity:
    """Read what `Identity.bundle` wrote, and make sure that its three parts agree.

    `Refused` when they do not: a node must not come up with a certificate it has no key for.
    """
    key = load_key(bundle)
    try:
        chain = x509.load_pem_x509_certificates(bundle)
    except ValueError as err:
        raise Refused(f"the node's certificate cannot be read: {err}", hint=_REJOIN) from err
    if len(chain) != 2:
        raise Refused(f"expected certificate and root, found {len(chain)}", hint=_REJOIN)
    return bind(key, certificate_pem(chain[0]), certificate_pem(chain[1]))


def bind(key: ec.EllipticCurvePrivateKey, certificate: bytes, root: bytes) -> Identity:
    """Put a granted certificate and its key together; `Refused` when they do not belong."""
    leaf, issuer = load_certificate(certificate), load_certificate(root)
    if public_bytes(leaf.public_key()) != public_bytes(key.public_key()):
        raise Refused("the certificate is for another key than this node's", hint=_REJOIN)
    if not is_issued_by(leaf, issuer):
        raise Refused("the certificate is not issued by the swarm's root", hint=_REJOIN)
    if read_subject(leaf).cluster_id != cluster_of(issuer):
        raise Refused("the certificate belongs to another swarm than its root", hint=_REJOIN)
    return Identity(
        key=key_pem(key), certificate=certificate_pem(leaf), root=certificate_pem(issuer)
    )


def subject_of(identity: Identity) -> Subject:
    """Who this node is."""
    return read_subject(load_certificate(identity.certificate))


def renew_at(subject: Subject, random: Random) -> float:
    """When to ask for the next certificate: between 35 % and 48 % of this one's life.

    Early, so that a manager may be away for half a life; scattered, so that a thousand
    nodes that joined together do not renew together.
    """
    life_s = subject.not_after - subject.not_before
    return subject.not_before + life_s * random.uniform(0.35, 0.48)


def _attribute(name: x509.Name, oid: x509.ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(oid)
    return str(found[0].value) if len(found) == 1 else ""


_REJOIN = "run `swarmctl leave --force` on this node and join again"
