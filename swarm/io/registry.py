"""Fetch images from registries (OCI distribution specification 1.1).

Nothing that a registry says is believed: manifests are checked against the digest that was
asked for, blobs against digest and size while they stream. A broken connection is not a
failure of the download: the next attempt asks for the rest, and only attempts that bring
nothing count. Credentials are arguments, kept no longer than this object, and never logged.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, Collection, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from swarm.errors import Invalid, Missing, Refused, Unavailable
from swarm.images.challenge import Challenge, parse_challenges, parse_token, token_url
from swarm.images.credentials import Credentials
from swarm.images.digest import digest_of, is_digest
from swarm.images.endpoint import Endpoint, endpoint_of
from swarm.images.manifest import ACCEPTED, MANIFEST_LIMIT_BYTES, Descriptor
from swarm.images.reference import Reference
from swarm.io.web import Busy, Patience, Unanswered, Web, translated

if TYPE_CHECKING:
    import httpx

_ANSWER_LIMIT_BYTES = 64 << 10
_PROGRESS_BYTES = 64 << 10  # an attempt that brought less than this counts as failed


class Hash(Protocol):
    """What `hashlib.sha256()` gives: the digest of the bytes of a blob seen so far."""

    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


class Document(Struct, frozen=True):
    """A manifest or index as the registry holds it. `digest` is what `body` hashes to."""

    digest: str
    media_type: str
    body: bytes


class _Error(Struct):
    code: str = ""
    message: str | None = ""


class _Errors(Struct):
    errors: tuple[_Error, ...] = ()


class Registry:
    """A client of all registries. Make one per task, inside its loop; close it after use."""

    def __init__(
        self,
        *,
        insecure: Collection[str] = (),
        ca_dir: Path | None = None,
        patience: Patience | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._insecure = tuple(insecure)
        self._patience = patience or Patience()
        self._chance = chance or random.Random()
        self._web = Web(insecure=self._insecure, ca_dir=ca_dir, patience=self._patience)
        self._authorizations: dict[tuple[str, str, Credentials | None], tuple[str, float]] = {}

    async def __aenter__(self) -> Registry:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._web.aclose()

    async def resolve(self, reference: Reference, *, credentials: Credentials | None = None) -> str:
        """The digest that `reference` means now; its own, unasked, if it names one.

        Raises `Missing`, `Refused`, `Unavailable` or `Invalid`, as every method here does.
        """
        if reference.digest:
            return reference.digest
        for attempt in range(1, self._patience.attempts + 1):
            try:
                if digest := await self._head(reference, credentials):
                    return digest
                break
            except Busy as busy:
                await self._pause(busy, attempt)
        return (await self.manifest(reference, credentials=credentials)).digest

    async def manifest(
        self, reference: Reference, *, credentials: Credentials | None = None
    ) -> Document:
        """The manifest or index that `reference` names, checked against its digest."""
        for attempt in range(1, self._patience.attempts + 1):
            try:
                return await self._get_manifest(reference, credentials)
            except Busy as busy:
                await self._pause(busy, attempt)
        raise AssertionError("the last pause raises")

    async def blob(
        self,
        reference: Reference,
        blob: Descriptor,
        *,
        credentials: Credentials | None = None,
        start: int = 0,
        seen: Hash | None = None,
    ) -> AsyncGenerator[bytes]:
        """Stream `blob` of the repository of `reference` from byte `start` on.

        `seen` has hashed what comes before `start`, and goes on to hash what is yielded. The
        last step checks size and digest: until the generator ends by itself, what it gave is
        not to be trusted.
        """
        seen = seen or hashlib.sha256()
        position, idle = start, 0
        while position < blob.size:
            before = position
            try:
                async with aclosing(
                    self._rest_of(reference, blob, position, credentials)
                ) as chunks:
                    async for chunk in chunks:
                        position += len(chunk)
                        _check_size(blob, position)
                        seen.update(chunk)
                        yield chunk
                if position < blob.size:
                    raise Busy(f"registry {reference.registry}: the connection ended early")
            except (Busy, Unanswered) as failure:
                idle = 0 if position - before >= _PROGRESS_BYTES else idle + 1
                await self._pause(failure, max(idle, 1))
        actual = f"sha256:{seen.hexdigest()}"
        if actual != blob.digest:
            raise Invalid(
                f"{reference.name}: blob is corrupted: expected {blob.digest}, actual {actual}",
                hint="the registry or the network damaged it: try again, then push it again",
            )

    async def _head(self, reference: Reference, credentials: Credentials | None) -> str:
        path = f"manifests/{reference.tag or 'latest'}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self._ask(reference, "HEAD", path, headers, credentials) as response:
            if response.status_code in (400, 405, 501):
                return ""  # some registries know no HEAD
            await _check_status(reference, response)
            digest = response.headers.get("docker-content-digest", "")
            return digest if is_digest(digest) else ""

    async def _get_manifest(
        self, reference: Reference, credentials: Credentials | None
    ) -> Document:
        path = f"manifests/{reference.digest or reference.tag or 'latest'}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self._ask(reference, "GET", path, headers, credentials) as response:
            await _check_status(reference, response)
            body = await _read(response, MANIFEST_LIMIT_BYTES)
            announced = response.headers.get("docker-content-digest", "")
            media_type = response.headers.get("content-type", "").partition(";")[0].strip()
        actual = digest_of(body)
        expected = reference.digest or (announced if is_digest(announced) else actual)
        if actual != expected:
            raise Invalid(
                f"{reference.familiar}: manifest is corrupted: expected {expected},"
                f" actual {actual}",
                hint="the registry or the network damaged it: try again, then push it again",
            )
        return Document(actual, media_type, body)

    async def _rest_of(
        self,
        reference: Reference,
        blob: Descriptor,
        position: int,
        credentials: Credentials | None,
    ) -> AsyncGenerator[bytes]:
        headers = {"Range": f"bytes={position}-"} if position else {}
        path = f"blobs/{blob.digest}"
        async with self._ask(reference, "GET", path, headers, credentials) as response:
            await _check_status(reference, response, blob=blob)
            skip = position if response.status_code == 200 else 0
            if response.status_code == 206:
                _check_range(reference, response, position)
            with translated(str(response.url)):
                async for chunk in response.aiter_raw():
                    rest = chunk[skip:] if skip else chunk
                    skip = max(0, skip - len(chunk))
                    if rest:
                        yield rest

    @asynccontextmanager
    async def _ask(
        self,
        reference: Reference,
        method: str,
        path: str,
        headers: Mapping[str, str],
        credentials: Credentials | None,
    ) -> AsyncGenerator[httpx.Response]:
        """Send one request of the API, authenticating when the registry asks for it."""
        endpoint = endpoint_of(reference.registry, insecure=self._insecure)
        url = f"{endpoint.url}/v2/{reference.repository}/{path}"
        known = self._known(reference, credentials)
        async with self._web.open(method, url, {**headers, **known}) as response:
            challenges = parse_challenges(", ".join(response.headers.get_list("www-authenticate")))
            if response.status_code != 401 or not challenges:
                yield response
                return
        granted = await self._authorize(reference, endpoint, challenges, credentials)
        async with self._web.open(method, url, {**headers, **granted}) as response:
            yield response

    def _known(self, reference: Reference, credentials: Credentials | None) -> dict[str, str]:
        key = (reference.registry, reference.repository, credentials)
        value, until = self._authorizations.get(key, ("", 0.0))
        if value and asyncio.get_running_loop().time() < until:
            return {"Authorization": value}
        return {}

    async def _authorize(
        self,
        reference: Reference,
        endpoint: Endpoint,
        challenges: tuple[Challenge, ...],
        credentials: Credentials | None,
    ) -> dict[str, str]:
        offered = {challenge.scheme: challenge for challenge in challenges}
        if bearer := offered.get("bearer"):
            value, lifetime_s = await self._token(reference, endpoint, bearer, credentials)
        elif "basic" in offered and credentials:
            value, lifetime_s = credentials.basic(), float("inf")
        elif "basic" in offered:
            raise Refused(
                f"registry {reference.registry} wants a user and a password for"
                f" {reference.repository}",
                hint="log in to it first",
            )
        else:
            raise Refused(
                f"registry {reference.registry} wants {', '.join(offered)} authentication",
                hint="only bearer tokens and user with password are supported",
            )
        until = asyncio.get_running_loop().time() + lifetime_s * 0.8
        self._authorizations[reference.registry, reference.repository, credentials] = value, until
        return {"Authorization": value}

    async def _token(
        self,
        reference: Reference,
        endpoint: Endpoint,
        challenge: Challenge,
        credentials: Credentials | None,
    ) -> tuple[str, float]:
        scope = f"repository:{reference.repository}:pull"
        url = token_url(challenge, scope=scope, secure=endpoint.secure)
        headers = {"Authorization": credentials.basic()} if credentials else {}
        async with self._web.open("GET", url, headers) as response:
            if response.status_code in (400, 401, 403, 404):
                raise _denied(reference, await _said(response))
            await _check_status(reference, response)
            token = parse_token(await _read(response, _ANSWER_LIMIT_BYTES))
        return f"Bearer {token.value}", token.lifetime_s

    async def _pause(self, failure: Unavailable, attempt: int) -> None:
        """Wait before the next attempt, or give up with the reason of this one."""
        patience = self._patience
        if attempt >= patience.attempts:
            raise failure
        asked_s = failure.after_s if isinstance(failure, Busy) else 0.0
        backoff = patience.backoff_s * 2 ** (attempt - 1) * self._chance.uniform(0.5, 1.0)
        await asyncio.sleep(min(max(backoff, asked_s), patience.backoff_limit_s))


async def _check_status(
    reference: Reference, response: httpx.Response, *, blob: Descriptor | None = None
) -> None:
    status = response.status_code
    if status in (200, 206):
        return
    said = await _said(response)
    if status == 404:
        what = f"image {reference.familiar} not found"
        if blob is not None:
            what = f"image {reference.familiar}: its registry has lost blob {blob.digest}"
        raise Missing(what, hint="check its name and tag, and whether it was pushed")
    if status in (401, 403):
        raise _denied(reference, said)
    if status == 429 or status >= 500:
        raise Busy(
            f"registry {reference.registry} answers {status}{said}",
            hint="try again later",
            after_s=_retry_after(response),
        )
    raise Invalid(f"registry {reference.registry} answers {status} to {reference.familiar}{said}")


def _check_size(blob: Descriptor, position: int) -> None:
    if position > blob.size:
        raise Invalid(
            f"blob {blob.digest}: more than its {blob.size} bytes arrive",
            hint="the registry is broken or lies: push the image again",
        )


def _check_range(reference: Reference, response: httpx.Response, position: int) -> None:
    given = response.headers.get("content-range", "")
    if not given.replace(" ", "").startswith(f"bytes{position}-"):
        raise Invalid(
            f"registry {reference.registry} answers with range {given!r} instead of"
            f" 'bytes {position}-'"
        )


def _denied(reference: Reference, said: str) -> Refused:
    return Refused(
        f"registry {reference.registry} denies access to {reference.repository}{said}",
        hint="check the user, the password and the spelling: a private image looks like this too",
    )


def _retry_after(response: httpx.Response) -> float:
    value = response.headers.get("retry-after", "")
    return float(value) if value.isascii() and value.isdigit() else 0.0


async def _said(response: httpx.Response) -> str:
    """The registry's own words, as `: words`; empty when it gave none that we can read."""
    try:
        errors = msgspec.json.decode(await _read(response, _ANSWER_LIMIT_BYTES), type=_Errors)
    except (msgspec.MsgspecError, UnicodeDecodeError, Invalid, Busy):
        return ""
    words = "; ".join(error.message or error.code for error in errors.errors[:3])
    return f": {words[:200]}" if words else ""


async def _read(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    with translated(str(response.url)):
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > limit:
                raise Invalid(f"{response.url.host} answers with more than {limit} bytes")
    return bytes(body)
