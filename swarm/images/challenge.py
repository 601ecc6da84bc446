"""Read what a registry demands before it answers (RFC 9110 §11.6.1).

A `WWW-Authenticate` value may hold several challenges, separated by the same commas as their
parameters, and a quoted value may hold commas itself: splitting at commas is not enough.
"""

import re
from urllib.parse import urlencode, urlsplit, urlunsplit

import msgspec
from msgspec import Struct, field

from swarm.errors import Invalid

_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PIECE = re.compile(
    rf"\s*,?\s*(?:(?P<key>{_TOKEN})\s*=\s*(?:\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\s,\"]+))"
    rf"|(?P<scheme>{_TOKEN}))"
)
_DEFAULT_LIFETIME_S = 60.0


class Challenge(Struct, frozen=True):
    """One way to authenticate; `scheme` and the keys of `parameters` are in lower case."""

    scheme: str
    parameters: dict[str, str] = field(default_factory=dict[str, str])


class Token(Struct, frozen=True):
    """A bearer token, good for `lifetime_s` from when it was asked for."""

    value: str
    lifetime_s: float

    def __repr__(self) -> str:
        return f"Token(***, lifetime_s={self.lifetime_s})"


class _Answer(Struct):
    token: str | None = None
    access_token: str | None = None
    expires_in: float | None = None


def parse_challenges(header: str) -> tuple[Challenge, ...]:
    """Read the challenges of a `WWW-Authenticate` value; what cannot be read ends the list."""
    found: list[Challenge] = []
    position = 0
    while match := _PIECE.match(header, position):
        position = match.end()
        if scheme := match["scheme"]:
            found.append(Challenge(scheme.lower()))
        elif found:
            quoted = match["quoted"]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else match["plain"]
            found[-1].parameters[match["key"].lower()] = value
    return tuple(found)


def token_url(challenge: Challenge, *, scopes: tuple[str, ...], secure: bool) -> str:
    """Where to ask for the token of a bearer `challenge`, that is to be good for `scopes`.

    `secure` says that the registry itself speaks TLS; then a realm without it would carry the
    password in the clear, and is refused.
    """
    parts = urlsplit(token_realm(challenge, secure=secure))
    query = [("scope", scope) for scope in scopes]
    if service := challenge.parameters.get("service"):
        query.insert(0, ("service", service))
    joined = "&".join(filter(None, (parts.query, urlencode(query))))
    return urlunsplit((parts.scheme, parts.netloc, parts.path, joined, ""))


def token_realm(challenge: Challenge, *, secure: bool) -> str:
    """The token service of a bearer `challenge`, without a question; see `token_url`."""
    realm = challenge.parameters.get("realm", "")
    parts = urlsplit(realm)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise Invalid(f"the registry's token service {realm!r} is not a URL")
    if secure and parts.scheme != "https":
        raise Invalid(f"the registry's token service {realm!r} does not use https")
    return realm


def parse_token(body: bytes) -> Token:
    """Read a token service's answer; registries call the token by either of two names."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"the token service's answer: {err}") from err
    value = answer.token or answer.access_token
    if not value:
        raise Invalid("the token service's answer holds no token")
    return Token(value, max(answer.expires_in or _DEFAULT_LIFETIME_S, _DEFAULT_LIFETIME_S))
