"""Write down which login is for which registry, to be sealed and given to nodes.

A login has the registry of the image that it was given with, and is shown to no other.
"""

from collections.abc import Mapping

import msgspec

from swarm.errors import Invalid
from swarm.images.credentials import Credentials


def pack_logins(logins: Mapping[str, Credentials]) -> bytes:
    """The same bytes for the same logins."""
    return msgspec.json.encode(logins, order="sorted")


def parse_logins(data: bytes) -> dict[str, Credentials]:
    """Read what `pack_logins` wrote; `Invalid` without repeating any of it."""
    try:
        return msgspec.json.decode(data, type=dict[str, Credentials])
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass  # what it says may quote a password
    raise Invalid("the logins of a service cannot be read", hint="give it another one")
