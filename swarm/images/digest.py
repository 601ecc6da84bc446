"""Read the digests that name content.

Only sha256 is accepted. The OCI specification also registers sha512, but no registry serves
it, and a store with two spellings of the same content would keep it twice.
"""

import hashlib
import re

from swarm.errors import Invalid

_SHA256 = re.compile(r"sha256:[0-9a-f]{64}\Z")


def is_digest(text: str) -> bool:
    """Whether `text` is a complete sha256 digest."""
    return _SHA256.match(text) is not None


def parse_digest(text: str, *, what: str = "digest") -> str:
    """Return `text` when it is a digest; otherwise `Invalid`, which calls it `what`."""
    if is_digest(text):
        return text
    raise Invalid(f"{what}: {text!r} is not 'sha256:' and 64 hexadecimal digits in lower case")


def digest_of(content: bytes) -> str:
    """The digest of `content`."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def hex_of(digest: str) -> str:
    """The hexadecimal half of a digest."""
    return digest.removeprefix("sha256:")
