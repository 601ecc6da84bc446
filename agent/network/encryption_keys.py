"""Derive the keys of encrypted networks: who a node is, and what each pair of nodes shares.

A pair's key follows from the swarm's secret and both public keys, so the two nodes agree on it
without a word between them, and no other pair has the same. It is mixed into WireGuard's own
exchange of keys (Noise, IKpsk2): whoever takes a private key off one node still cannot speak to
another without the secret, and whoever learns the secret cannot read what is sent.
"""

from functools import lru_cache
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES: Final = 32

_PURPOSE: Final = b"swarm/networks/wireguard/1"


def private_key(random: bytes) -> bytes:
    """The private key that 32 random bytes make, as the kernel keeps it (RFC 7748, section 5)."""
    assert len(random) == KEY_BYTES
    return bytes((random[0] & 248, *random[1:31], random[31] & 127 | 64))


def public_key(private: bytes) -> bytes:
    """What others know a private key by."""
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


@lru_cache(maxsize=4096)
def preshared_key(secret: bytes, one: bytes, other: bytes) -> bytes:
    """What the nodes with these public keys share, whichever comes first (HKDF, RFC 5869)."""
    first, second = sorted((one, other))
    return HKDF(SHA256(), KEY_BYTES, None, _PURPOSE + first + second).derive(secret)
