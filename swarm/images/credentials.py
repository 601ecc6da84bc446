"""Carry a registry's user and password without ever showing them."""

import base64
import binascii

import msgspec
from msgspec import Struct

from swarm.errors import Invalid


class Credentials(Struct, frozen=True):
    """A user and a password. Neither `repr` nor `str` shows the password."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"

    __str__ = __repr__

    def basic(self) -> str:
        """The value of an `Authorization` header (RFC 7617)."""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


def parse_registry_auth(text: str) -> Credentials | None:
    """Read `registry_auth` of the API: base64 of `{"username":..., "password":...}`, or empty.

    The message never repeats the text: it may be a password typed into the wrong place.
    """
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        return msgspec.json.decode(base64.urlsafe_b64decode(padded), type=Credentials)
    except (binascii.Error, msgspec.MsgspecError, ValueError) as err:
        raise Invalid(
            "registry_auth: not the base64 of a JSON object with username and password"
        ) from err
