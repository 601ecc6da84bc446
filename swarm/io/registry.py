"""Fetch images from registries (OCI distribution specification 1.1).

Nothing that a registry says is believed: manifests are checked against the digest that was
asked for, blobs against digest and size while they stream. A broken connection is not a
failure of the download: the next attempt asks for the rest, and only attempts that bring
nothing count.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncGenerator, Collection
from contextlib import aclosing
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from swarm.errors import Invalid
from swarm.images.credentials import Credentials
from swarm.images.digest import digest_of, is_digest
from swarm.images.manifest import ACCEPTED, MANIFEST_LIMIT_BYTES, Descriptor
from swarm.images.reference import Reference
from swarm.io.registry_session import RegistrySession, Wanted, check_status, read, reading
from swarm.io.web import Busy, Patience, Unanswered, translated

if TYPE_CHECKING:
    import httpx

_PAGE, _PAGES = 1000, 1000  # of tags
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


class _Tags(Struct):
    tags: tuple[str, ...] | None = None


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
        self.session = RegistrySession(
            insecure=insecure, ca_dir=ca_dir, patience=patience, chance=chance
        )

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
        await self.session.aclose()

    async def resolve(self, reference: Reference, *, credentials: Credentials | None = None) -> str:
        """The digest that `reference` means now; its own, unasked, if it names one.

        Raises `Missing`, `Refused`, `Unavailable` or `Invalid`, as every method here does.
        """
        if reference.digest:
            return reference.digest
        for attempt in range(1, self.session.patience.attempts + 1):
            try:
                if digest := await self._head(reference, credentials):
                    return digest
                break
            except Busy as busy:
                await self.session.pause(busy, attempt)
        return (await self.manifest(reference, credentials=credentials)).digest

    async def manifest(
        self, reference: Reference, *, credentials: Credentials | None = None
    ) -> Document:
        """The manifest or index that `reference` names, checked against its digest."""
        for attempt in range(1, self.session.patience.attempts + 1):
            try:
                return await self._get_manifest(reference, credentials)
            except Busy as busy:
                await self.session.pause(busy, attempt)
        raise AssertionError("the last pause raises")

    async def check(self, registry: str, *, credentials: Credentials | None) -> None:
        """Have `registry` (HOST or HOST:PORT) judge a name and a password; raises `Refused`."""
        wanted = Wanted(registry=registry, credentials=credentials)
        for attempt in range(1, self.session.patience.attempts + 1):
            try:
                async with self.session.ask(wanted, "GET", "", {}) as response:
                    await check_status(
                        wanted, response, what=registry, missing=f"{registry} is not a registry"
                    )
                    return
            except Busy as busy:
                await self.session.pause(busy, attempt)

    async def tags(
        self, reference: Reference, *, credentials: Credentials | None = None
    ) -> tuple[str, ...]:
        """All tags of the repository of `reference`, sorted."""
        wanted, found = reading(reference, credentials), set[str]()
        path, pages, attempt = f"{reference.repository}/tags/list?n={_PAGE}", 0, 0
        while path and pages < _PAGES:
            try:
                async with self.session.ask(wanted, "GET", path, {}) as response:
                    name = reference.familiar_name
                    await check_status(
                        wanted, response, what=name, missing=f"repository {name} not found"
                    )
                    found.update(_tags(await read(response, MANIFEST_LIMIT_BYTES), name))
                    path = str(response.links.get("next", {}).get("url", ""))
                pages, attempt = pages + 1, 0
            except Busy as busy:
                attempt += 1
                await self.session.pause(busy, attempt)
        return tuple(sorted(found))

    async def small_blob(
        self, reference: Reference, blob: Descriptor, *, credentials: Credentials | None = None
    ) -> bytes:
        """All of a blob that is a document, checked."""
        if blob.size > MANIFEST_LIMIT_BYTES:
            raise Invalid(f"{reference.familiar}: blob {blob.digest} is too big for a document")
        stream = self.blob(reference, blob, credentials=credentials)
        async with aclosing(stream) as chunks:
            return b"".join([chunk async for chunk in chunks])

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
                await self.session.pause(failure, max(idle, 1))
        actual = f"sha256:{seen.hexdigest()}"
        if actual != blob.digest:
            raise Invalid(
                f"{reference.name}: blob is corrupted: expected {blob.digest}, actual {actual}",
                hint="the registry or the network damaged it: try again, then push it again",
            )

    async def _head(self, reference: Reference, credentials: Credentials | None) -> str:
        path = f"{reference.repository}/manifests/{reference.tag or 'latest'}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        wanted = reading(reference, credentials)
        async with self.session.ask(wanted, "HEAD", path, headers) as response:
            if response.status_code in (400, 405, 501):
                return ""  # some registries know no HEAD
            await _check_image(wanted, reference, response)
            digest = response.headers.get("docker-content-digest", "")
            return digest if is_digest(digest) else ""

    async def _get_manifest(
        self, reference: Reference, credentials: Credentials | None
    ) -> Document:
        path = f"{reference.repository}/manifests/{reference.digest or reference.tag or 'latest'}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        wanted = reading(reference, credentials)
        async with self.session.ask(wanted, "GET", path, headers) as response:
            await _check_image(wanted, reference, response)
            body = await read(response, MANIFEST_LIMIT_BYTES)
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
        path = f"{reference.repository}/blobs/{blob.digest}"
        wanted = reading(reference, credentials)
        async with self.session.ask(wanted, "GET", path, headers) as response:
            await check_status(
                wanted,
                response,
                what=reference.familiar,
                missing=f"image {reference.familiar}: its registry has lost blob {blob.digest}",
            )
            skip = position if response.status_code == 200 else 0
            if response.status_code == 206:
                _check_range(reference, response, position)
            with translated(str(response.url)):
                async for chunk in response.aiter_raw():
                    rest = chunk[skip:] if skip else chunk
                    skip = max(0, skip - len(chunk))
                    if rest:
                        yield rest


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


def _tags(body: bytes, name: str) -> tuple[str, ...]:
    try:
        return msgspec.json.decode(body, type=_Tags).tags or ()
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"{name}: its registry's list of tags: {err}") from err


async def _check_image(wanted: Wanted, reference: Reference, response: httpx.Response) -> None:
    familiar = reference.familiar
    await check_status(wanted, response, what=familiar, missing=f"image {familiar} not found")
