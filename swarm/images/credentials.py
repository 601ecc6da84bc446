"""Carry a registry's user and password without ever showing them."""

import base64
import binascii

import msgspec
from msgspec import Struct

from swarm.errors import Invalid, Refused


class Credentials(Struct, frozen=True):
    """A user and a password, or a token in their place; `repr` and `str` show none of it.

    An `identity_token` is what a token service gave for a password once; a `registry_token` is
    what the registry itself takes.
    """

    username: str
    password: str
    identity_token: str = ""
    registry_token: str = ""

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"

    __str__ = __repr__

    def basic(self) -> str:
        """The value of an `Authorization` header (RFC 7617); empty when there is no password."""
        if not (self.username or self.password):
            return ""
        pair = f"{self.username}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class Unrecognized(Refused):
    """A registry wants a login, or another one than it was shown."""


class _Auth(Struct):
    """What clients send; `auth` is user and password in one."""

    username: str | None = None
    password: str | None = None
    auth: str | None = None
    identitytoken: str | None = None
    registrytoken: str | None = None


def parse_registry_auth(text: str) -> Credentials | None:
    """Read `registry_auth` of the API: base64 of `{"username":..., "password":...}`, or empty.

    An object with neither name nor token means nobody. The message never repeats the text: it
    may be a password typed into the wrong place.
    """
    if not text:
        return None
    try:
        padded = text.translate(_URL_SAFE) + "=" * (-len(text) % 4)
        auth = msgspec.json.decode(base64.b64decode(padded, validate=True), type=_Auth)
        username, password = auth.username or "", auth.password or ""
        if auth.auth and not username:
            pair = base64.b64decode(auth.auth, validate=True).decode()
            username, _, password = pair.partition(":")
    except (binascii.Error, msgspec.MsgspecError, ValueError) as err:
        raise Invalid(
            "registry_auth: not the base64 of a JSON object with username and password"
        ) from err
    found = Credentials(username, password, auth.identitytoken or "", auth.registrytoken or "")
    return found if found != Credentials("", "") else None


_URL_SAFE = str.maketrans("-_", "+/")
