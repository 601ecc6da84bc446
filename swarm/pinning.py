"""Decide whether the server a joiner met is the swarm that its token speaks of.

Nothing that the server says counts before its root has the digest in the token. Then its own
certificate must be that root's work, be a manager's, and be valid by our clock; only then is the
swarm asked for anything. Each way to fail has its own words, for each has another remedy.
"""

from collections.abc import Sequence

from cryptography import x509

from swarm.certificates import (
    MANAGER_NAME,
    certificate_pem,
    is_issued_by,
    root_digest,
    validity,
)
from swarm.errors import Refused
from swarm.tokens import JoinToken

_TYPE = 3
_SETTINGS = 4


def pinned_root(chain: Sequence[bytes], token: JoinToken, *, address: str, now: float) -> bytes:
    """The root (PEM) of the swarm at `address`, from the DER chain that it presented.

    `Refused` unless it is the root that `token` pins and the server is one of its managers.
    """
    try:
        certificates = [x509.load_der_x509_certificate(each) for each in chain]
    except ValueError as err:
        raise _stranger(address) from err
    roots = [each for each in certificates[1:] if root_digest(each) == token.root_digest]
    if not roots:
        raise Refused(
            f"{address} belongs to another swarm than the token: its root has another digest",
            hint="check the address, and copy token and address from the same manager",
        )
    _check_leaf(certificates[0], roots[0], address=address, now=now)
    return certificate_pem(roots[0])


def check_greeting(greeting: bytes, *, address: str) -> None:
    """Read the first bytes after the handshake: HTTP/2 settings (RFC 9113 section 3.4) or nothing.

    In TLS 1.3 a server judges our certificate after we believe the handshake to be over, so a
    token that it does not know shows only here.
    """
    if not greeting:
        raise refused_token(address)
    if len(greeting) <= _TYPE or greeting[_TYPE] != _SETTINGS:
        raise _stranger(address)


def refused_token(address: str) -> Refused:
    """The server's root is right, but it does not know the token's secret."""
    return Refused(
        f"join token refused by {address}",
        hint="it may have been rotated: `swarmctl join-token worker` on a manager shows the "
        "current one",
    )


def no_manager(address: str, reason: str) -> Refused:
    """Something listens there that is not a swarm manager."""
    return Refused(
        f"{address} is not a swarm manager: {reason}",
        hint="give the address that `swarmctl join-token worker` prints on a manager",
    )


def _check_leaf(
    leaf: x509.Certificate, root: x509.Certificate, *, address: str, now: float
) -> None:
    if not is_issued_by(leaf, root):
        raise Refused(
            f"{address} shows the swarm's root, but its own certificate is not issued by it",
            hint="someone may be posing as the manager: check the address",
        )
    if MANAGER_NAME not in _names(leaf):
        raise no_manager(address, "it is a node of this swarm in another role")
    not_before, not_after = validity(leaf)
    if now < not_before:
        raise Refused(
            f"this host's clock is {not_before - now:.0f} s or more behind that of {address}",
            hint="set the clock and join again",
        )
    if now > not_after:
        raise Refused(
            f"the certificate of {address} expired {now - not_after:.0f} s ago by our clock",
            hint="set the clock, or repair that manager",
        )


def _names(leaf: x509.Certificate) -> list[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return names.get_values_for_type(x509.DNSName)


def _stranger(address: str) -> Refused:
    return no_manager(address, "it does not speak our protocol")
