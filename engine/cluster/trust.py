"""Tell what a swarm trusts: its root certificate, and who signs, as Docker's clients compare it."""

from base64 import b64encode
from functools import lru_cache

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from engine.replies import JsonObject
from swarm.certificates import load_certificate


def trust_json(root_certificate: bytes) -> JsonObject:
    """The root in PEM, and the subject and public key of whoever issues certificates, in DER."""
    return dict(_trust(root_certificate)) if root_certificate else {}


@lru_cache(maxsize=8)
def _trust(root_certificate: bytes) -> tuple[tuple[str, str], ...]:
    root = load_certificate(root_certificate)
    subject = root.subject.public_bytes()
    key = root.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (
        ("TrustRoot", root_certificate.decode("ascii")),
        ("CertIssuerSubject", b64encode(subject).decode("ascii")),
        ("CertIssuerPublicKey", b64encode(key).decode("ascii")),
    )
