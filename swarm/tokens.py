"""Read and write join tokens, and the key that each of them is.

`SWMTKN-1-<digest>-<secret>`: the digest pins the swarm's root, so the joiner knows whom it
talks to; the secret is the seed of a signing key, the *join anchor*, so the manager knows that
the joiner was invited, although the secret itself is never sent. Both sides derive the
anchor alone; its certificates may differ in their bytes, which is harmless: a chain is
verified by name and key. The root's digest salts the derivation, so equal secrets of two
swarms give unrelated keys.
"""

import re
from random import Random

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from swarm.certificates import JOINER_NAME, ORDER, at, certificate_pem, public_bytes
from swarm.errors import Invalid
from swarm.ids import base36

PREFIX = "SWMTKN-1"
DIGEST_BYTES = 32
SECRET_BYTES = 16

# The joiner's clock may be wrong by this much, either way.
LEAF_SKEW_S = 86400.0

_SHAPE = re.compile(r"SWMTKN-1-([0-9a-z]{50})-([0-9a-z]{25})", re.ASCII)
_HINT = "`swarmctl join-token worker` on a manager prints the whole command to paste"


class JoinToken(Struct, frozen=True, kw_only=True):
    """An invitation: whom to trust, and what to prove knowledge of."""

    root_digest: bytes
    secret: bytes

    def __repr__(self) -> str:
        return "JoinToken(secret=<hidden>)"

    @property
    def text(self) -> str:
        """The token as operators paste it."""
        digest = base36(int.from_bytes(self.root_digest), 50)
        return f"{PREFIX}-{digest}-{base36(int.from_bytes(self.secret), 25)}"


class Anchor(Struct, frozen=True, kw_only=True):
    """A token's key, and the certificate under which servers trust what it signed."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def __repr__(self) -> str:
        return "Anchor(key=<hidden>)"


def make_token(root_digest: bytes, random: Random) -> JoinToken:
    """Invite with a fresh secret of 128 bits."""
    return JoinToken(root_digest=root_digest, secret=random.randbytes(SECRET_BYTES))


def parse_token(text: str) -> JoinToken:
    """Read a pasted token. `Invalid` names what is wrong without repeating the secret."""
    text = text.strip()
    shape = _SHAPE.fullmatch(text)
    if shape is None:
        raise Invalid(f"token: {_fault(text)}", hint=_HINT)
    try:
        digest = int(shape[1], 36).to_bytes(DIGEST_BYTES)
        secret = int(shape[2], 36).to_bytes(SECRET_BYTES)
    except OverflowError as err:
        raise Invalid("token: mistyped, its digits are out of range", hint=_HINT) from err
    return JoinToken(root_digest=digest, secret=secret)


def anchor_of(token: JoinToken) -> Anchor:
    """Derive the token's key (RFC 5869) and certify it with itself.

    48 bytes, reduced modulo the group's order, leave no bias worth the name
    (FIPS 186-5, appendix A.2.1).
    """
    material = HKDF(hashes.SHA256(), 48, token.root_digest, b"swarm join anchor 1").derive(
        token.secret
    )
    key = ec.derive_private_key(int.from_bytes(material) % (ORDER - 1) + 1, ec.SECP256R1())
    return Anchor(key=key, certificate=_certify_anchor(key))


def join_certificate(anchor: Anchor, key: ec.EllipticCurvePublicKey, *, now: float) -> bytes:
    """The joiner's own certificate (PEM) for the key that its node will have.

    It names no node and no role: what it may become is decided by the anchor that signed it.
    """
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, JOINER_NAME),
            x509.NameAttribute(NameOID.COMMON_NAME, JOINER_NAME),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(anchor.certificate.subject)
        .public_key(key)
        .serial_number(_serial(key))
        .not_valid_before(at(now - LEAF_SKEW_S))
        .not_valid_after(at(now + LEAF_SKEW_S))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(anchor.key, hashes.SHA256())
    )
    return certificate_pem(certificate)


def _certify_anchor(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # The name carries the key, so that two anchors in one trust store are never confused,
    # and the dates are fixed: the token has no date, it lives until it is rotated.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{JOINER_NAME} {_mark(key)}")])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(_serial(key.public_key()))
        .not_valid_before(at(0))
        .not_valid_after(at(253402300799))  # RFC 5280 4.1.2.5: no well-defined end
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )


def _fault(text: str) -> str:
    if not text:
        return "is empty"
    if not text.startswith("SWMTKN-"):
        return "does not begin with SWMTKN-1-"
    if not text.startswith(f"{PREFIX}-"):
        return "is of a version this swarm does not know"
    parts = text.split("-")[2:]
    if len(parts) != 2:
        return f"has {len(parts)} parts after {PREFIX}, not two"
    for part, word, length in zip(parts, ("digest", "secret"), (50, 25), strict=True):
        if len(part) != length:
            return f"its {word} has {len(part)} characters, not {length}"
    return "has characters other than 0-9 and a-z"


def _mark(key: ec.EllipticCurvePrivateKey) -> str:
    return _hash(key.public_key()).hex()[:24]


def _serial(key: ec.EllipticCurvePublicKey) -> int:
    return int.from_bytes(_hash(key)[:16]) | 1


def _hash(key: ec.EllipticCurvePublicKey) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(public_bytes(key))
    return digest.finalize()
