"""Make the swarm's root: the one signature that turns a key into a node.

The root signs nodes and nothing else (path length 0), so a node's certificate can never sign
another's. It lives twenty years; what it signs lives `cert_expiry_s`.
"""

from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec import Struct

from swarm.certificates import at, certificate_pem, make_key, public_bytes
from swarm.errors import Refused
from swarm.ids import ClusterId

ROOT_LIFE_S = 20 * 365 * 86400.0
BACK_DATED_S = 3600.0

_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


class Authority(Struct, frozen=True, kw_only=True):
    """The root's key and certificate. Only managers ever hold one."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return "Authority(key=<hidden>)"

    @property
    def pem(self) -> bytes:
        """The root certificate, which everyone may see."""
        return certificate_pem(self.certificate)


def make_root(cluster_id: ClusterId, *, now: float, random: Random) -> Authority:
    """Make a new swarm's root."""
    key = make_key(random)
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster_id),
            x509.NameAttribute(NameOID.COMMON_NAME, "swarm-ca"),
        ]
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(make_serial(random))
        .not_valid_before(at(now - BACK_DATED_S))
        .not_valid_after(at(now + ROOT_LIFE_S))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_USAGE, critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(key=key, certificate=certificate)


def join_halves(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> Authority:
    """Put a stored key and root together; `Refused` when the key is not the root's."""
    if public_bytes(key.public_key()) != public_bytes(certificate.public_key()):
        raise Refused("the CA's key is not its certificate's", hint="restore a backup")
    return Authority(key=key, certificate=certificate)


def make_serial(random: Random) -> int:
    """A positive serial of at most 20 octets (RFC 5280 section 4.1.2.2)."""
    return random.getrandbits(158) + 1
