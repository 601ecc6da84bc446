"""Ask registries, and be whom they want to see (OCI distribution specification 1.1).

A registry says with its first refusal how it wants to be convinced: by a password, or by a token
that a service gives for one, good for some repositories and for reading or writing. Credentials
are arguments, kept no longer than this object, and never logged.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

import msgspec
from msgspec import Struct

from swarm.errors import Invalid, Missing, Refused, Unavailable
from swarm.images.challenge import (
    Challenge,
    Token,
    parse_challenges,
    parse_token,
    token_realm,
    token_url,
)
from swarm.images.credentials import Credentials, Unrecognized
from swarm.images.endpoint import Endpoint, endpoint_of
from swarm.images.reference import Reference
from swarm.io.web import Busy, Content, Patience, Web, translated

if TYPE_CHECKING:
    import httpx

_ANSWER_LIMIT_BYTES = 64 << 10
_CLIENT = "swarmd"
_DENIALS = (400, 401, 403, 404)


class _Error(Struct):
    code: str = ""
    message: str | None = ""


class _Errors(Struct):
    errors: tuple[_Error, ...] = ()


class Wanted(Struct, frozen=True, kw_only=True):
    """What somebody wants of a registry: who asks, and for which repositories.

    `scopes` are what a token has to be good for; none to be recognized, and nothing more.
    """

    registry: str
    repository: str = ""
    credentials: Credentials | None = None
    scopes: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What is denied to whom is not convincing."""
        return self.repository or "you"


def reading(reference: Reference, credentials: Credentials | None) -> Wanted:
    """To read from the repository of `reference`."""
    return Wanted(
        registry=reference.registry,
        repository=reference.repository,
        credentials=credentials,
        scopes=(f"repository:{reference.repository}:pull",),
    )


class RegistrySession:
    """What is known of all registries that were asked. Close it after use."""

    def __init__(
        self,
        *,
        insecure: Collection[str],
        ca_dir: Path | None,
        patience: Patience | None,
        chance: random.Random | None,
    ) -> None:
        self._insecure = tuple(insecure)
        self.patience = patience or Patience()
        self._chance = chance or random.Random()
        self._web = Web(insecure=self._insecure, ca_dir=ca_dir, patience=self.patience)
        self._authorizations: dict[Wanted, tuple[str, float]] = {}

    async def aclose(self) -> None:
        """Close every connection."""
        await self._web.aclose()

    @asynccontextmanager
    async def ask(
        self,
        wanted: Wanted,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: Content = b"",
    ) -> AsyncGenerator[httpx.Response]:
        """Send one request of the API, authenticating when the registry asks for it.

        `path` is below `/v2/`, or a URL that the registry gave. What is elsewhere is not told who
        we are. `content` may be asked for again.
        """
        endpoint = endpoint_of(wanted.registry, insecure=self._insecure)
        url = urljoin(f"{endpoint.url}/v2/", path)
        if not url.startswith(f"{endpoint.url}/"):
            self._check_elsewhere(wanted, endpoint, url)
            async with self._web.open(method, url, headers, content) as response:
                yield response
            return
        known = self._known(wanted)
        async with self._web.open(method, url, {**headers, **known}, content) as response:
            challenges = parse_challenges(", ".join(response.headers.get_list("www-authenticate")))
            if response.status_code != 401 or not challenges:
                yield response
                return
        granted = await self._authorize(wanted, endpoint, challenges)
        async with self._web.open(method, url, {**headers, **granted}, content) as response:
            yield response

    async def pause(self, failure: Unavailable, attempt: int) -> None:
        """Wait before the next attempt, or give up with the reason of this one."""
        patience = self.patience
        if attempt >= patience.attempts:
            raise failure
        asked_s = failure.after_s if isinstance(failure, Busy) else 0.0
        backoff = patience.backoff_s * 2 ** (attempt - 1) * self._chance.uniform(0.5, 1.0)
        await asyncio.sleep(min(max(backoff, asked_s), patience.backoff_limit_s))

    def _check_elsewhere(self, wanted: Wanted, endpoint: Endpoint, url: str) -> None:
        parts = urlsplit(url)
        plain = parts.scheme == "http" and endpoint_of(parts.netloc, insecure=self._insecure).secure
        if parts.scheme not in ("http", "https") or (endpoint.secure and plain):
            raise Refused(
                f"registry {wanted.registry} sends us to {url[:80]!r}, which does not use https",
                hint=f"list {parts.netloc} as an insecure registry if you trust the network to it",
            )

    def _known(self, wanted: Wanted) -> dict[str, str]:
        value, until = self._authorizations.get(wanted, ("", 0.0))
        if value and asyncio.get_running_loop().time() < until:
            return {"Authorization": value}
        return {}

    async def _authorize(
        self, wanted: Wanted, endpoint: Endpoint, challenges: tuple[Challenge, ...]
    ) -> dict[str, str]:
        credentials = wanted.credentials
        offered = {challenge.scheme: challenge for challenge in challenges}
        if credentials and credentials.registry_token:
            value, lifetime_s = f"Bearer {credentials.registry_token}", float("inf")
        elif bearer := offered.get("bearer"):
            token = await self._token(wanted, endpoint, bearer)
            value, lifetime_s = f"Bearer {token.value}", token.lifetime_s
        elif "basic" in offered and credentials and credentials.basic():
            value, lifetime_s = credentials.basic(), float("inf")
        elif "basic" in offered:
            raise Unrecognized(
                f"registry {wanted.registry} wants a user and a password for {wanted.what}",
                hint="log in to it first",
            )
        else:
            raise Refused(
                f"registry {wanted.registry} wants {', '.join(offered)} authentication",
                hint="only bearer tokens and user with password are supported",
            )
        until = asyncio.get_running_loop().time() + lifetime_s * 0.8
        self._authorizations[wanted] = value, until
        return {"Authorization": value}

    async def _token(self, wanted: Wanted, endpoint: Endpoint, challenge: Challenge) -> Token:
        """A token for what is wanted: the registry knows its own words for reading best."""
        scopes, credentials = wanted.scopes, wanted.credentials
        if len(scopes) == 1 and scopes[0].endswith(":pull"):
            scopes = (challenge.parameters.get("scope") or scopes[0],)
        method, headers, form = "GET", dict[str, str](), b""
        if credentials and credentials.identity_token:
            method, url = "POST", token_realm(challenge, secure=endpoint.secure)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            form = urlencode(
                {
                    "grant_type": "refresh_token",
                    "service": challenge.parameters.get("service", ""),
                    "client_id": _CLIENT,
                    "scope": " ".join(scopes),
                    "refresh_token": credentials.identity_token,
                }
            ).encode()
        else:
            url = token_url(challenge, scopes=scopes, secure=endpoint.secure)
            if credentials:
                headers["Authorization"] = credentials.basic()
        async with self._web.open(method, url, headers, form) as response:
            if response.status_code in _DENIALS:
                raise denied(wanted, await said(response))
            await check_status(wanted, response, what=wanted.what)
            return parse_token(await read(response, _ANSWER_LIMIT_BYTES))


async def check_status(
    wanted: Wanted,
    response: httpx.Response,
    *,
    what: str,
    missing: str = "",
    expected: Collection[int] = (200, 206),
) -> None:
    """Raise what a refusal of the registry means; `missing` is said when `what` is not there."""
    status = response.status_code
    if status in expected:
        return
    words = await said(response)
    if status == 404:
        raise Missing(
            missing or f"{what} not found", hint="check its name and tag, and whether it was pushed"
        )
    if status in (401, 403):
        raise denied(wanted, words)
    if status == 429 or status >= 500:
        raise Busy(
            f"registry {wanted.registry} answers {status}{words}",
            hint="try again later",
            after_s=_retry_after(response),
        )
    raise Invalid(f"registry {wanted.registry} answers {status} to {what}{words}")


def denied(wanted: Wanted, words: str) -> Unrecognized:
    """The registry does not let us, and says why."""
    return Unrecognized(
        f"registry {wanted.registry} denies access to {wanted.what}{words}",
        hint="check the user, the password and the spelling: a private image looks like this too",
    )


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


async def said(response: httpx.Response) -> str:
    """The registry's own words, as `: words`; empty when it gave none that we can read."""
    try:
        errors = msgspec.json.decode(await read(response, _ANSWER_LIMIT_BYTES), type=_Errors)
    except (msgspec.MsgspecError, UnicodeDecodeError, Invalid, Busy):
        return ""
    words = "; ".join(error.message or error.code for error in errors.errors[:3])
    return f": {words[:200]}" if words else ""


async def read(response: httpx.Response, limit: int) -> bytes:
    """All of an answer; `Invalid` when it is longer than `limit`."""
    body = bytearray()
    with translated(str(response.url)):
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise Invalid(f"{response.url.host} answers with more than {limit} bytes")
    return bytes(body)
