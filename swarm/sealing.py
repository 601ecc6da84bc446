"""Seal what etcd must not know: the CA's key, join tokens, secrets.

AES-256-GCM under the cluster's data key. The purpose is authenticated with the text: a
sealed worker token that someone moves to the manager token's place does not open. The data
key itself is never in etcd; each manager keeps it in a file of its own (`swarm.io.private`).
Its text form is `SWMKEY-1-<50 digits of base 36>`.
"""

import re
from hashlib import sha256
from random import Random

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

from swarm.errors import Invalid, Refused
from swarm.ids import base36
from swarm.objects import Sealed

KEY_BYTES = 32
NONCE_BYTES = 12

_SHAPE = re.compile(r"SWMKEY-1-([0-9a-z]{50})", re.ASCII)


class DataKey(Struct, frozen=True):
    """256 bits that open everything sealed in etcd."""

    secret: bytes

    def __repr__(self) -> str:
        return f"DataKey({self.id})"

    @property
    def id(self) -> str:
        """Names the key without telling it."""
        return sha256(b"swarm data key id 1" + self.secret).hexdigest()[:16]

    @property
    def text(self) -> str:
        """The key as its file holds it."""
        return f"SWMKEY-1-{base36(int.from_bytes(self.secret), 50)}"


def make_data_key(random: Random) -> DataKey:
    """Make a fresh data key."""
    return DataKey(random.randbytes(KEY_BYTES))


def parse_data_key(text: str) -> DataKey:
    """Read `DataKey.text`; `Invalid` without repeating what was read."""
    shape = _SHAPE.fullmatch(text.strip())
    if shape is None or int(shape[1], 36) >> (8 * KEY_BYTES):
        raise Invalid("data key: not SWMKEY-1- and 50 digits", hint="restore it from a manager")
    return DataKey(int(shape[1], 36).to_bytes(KEY_BYTES))


def seal(key: DataKey, plain: bytes, *, purpose: str, random: Random) -> Sealed:
    """Encrypt `plain`, to be opened again for `purpose` only."""
    nonce = random.randbytes(NONCE_BYTES)
    text = AESGCM(key.secret).encrypt(nonce, plain, purpose.encode())
    return Sealed(key_id=key.id, nonce=nonce, ciphertext=text)


def unseal(key: DataKey, sealed: Sealed, *, purpose: str) -> bytes:
    """Decrypt what `seal` made; `Refused` for another key, another purpose or damage."""
    if sealed.key_id != key.id:
        raise Refused(
            f"{purpose} is sealed with data key {sealed.key_id}, this manager has {key.id}",
            hint="restore the data key of this swarm from another manager",
        )
    try:
        return AESGCM(key.secret).decrypt(sealed.nonce, sealed.ciphertext, purpose.encode())
    except (InvalidTag, ValueError) as err:
        raise Refused(f"{purpose} is damaged or was moved here", hint="restore a backup") from err
