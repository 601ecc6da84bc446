"""Put images into registries (OCI distribution specification 1.1, "Push").

Content comes first and the manifest that lists it last, so whoever pulls finds an image that is
whole or none. What a registry has is not sent again, and what it has in another repository is
mounted from there, where it lets us. A connection that breaks in mid-upload is continued where
the registry says it was, or begun again.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from msgspec import Struct

from swarm.errors import Invalid, Missing, Refused, Unavailable
from swarm.images.credentials import Credentials
from swarm.images.manifest import Descriptor
from swarm.images.reference import Reference
from swarm.io.registry_session import RegistrySession, Wanted, check_status
from swarm.io.web import Busy, Unanswered

if TYPE_CHECKING:
    import httpx

Source = Callable[[int], AsyncIterator[bytes]]  # a blob's bytes from a position on
Sent = Callable[[int], None]  # how many of them have been handed on


class Target(Struct, frozen=True):
    """Where an image goes to, and as whom."""

    reference: Reference
    credentials: Credentials | None

    def writing(self, origin: str = "") -> Wanted:
        """To write to the repository, and to read from the repository `origin`."""
        scopes = (f"repository:{self.reference.repository}:pull,push",)
        return Wanted(
            registry=self.reference.registry,
            repository=self.reference.repository,
            credentials=self.credentials,
            scopes=(*scopes, f"repository:{origin}:pull") if origin else scopes,
        )


class Uploads:
    """Sends blobs and manifests to one target."""

    def __init__(self, session: RegistrySession, target: Target) -> None:
        self._session = session
        self._target = target
        self._repository = target.reference.repository

    async def has(self, digest: str) -> bool:
        """Whether the repository has the blob."""
        for attempt in range(1, self._session.patience.attempts + 1):
            try:
                async with self._ask("HEAD", f"blobs/{digest}") as response:
                    if response.status_code == 404:
                        return False
                    await self._check(response, (200, 206))
                    return True
            except Busy as busy:
                await self._session.pause(busy, attempt)
        raise AssertionError("the last pause raises")

    async def mount(self, digest: str, origin: str) -> bool:
        """Have the repository share the blob with `origin`, one of the same registry.

        False when the registry would rather have it sent; nothing else can go wrong.
        """
        query = urlencode({"mount": digest, "from": origin})
        wanted = self._target.writing(origin)
        try:
            async with self._ask("POST", f"blobs/uploads/?{query}", wanted=wanted) as response:
                if response.status_code == 201:
                    return True
                upload = response.headers.get("location", "")
            if upload:  # it has begun an upload instead, which nobody goes on with
                async with self._ask("DELETE", upload, is_url=True):
                    pass
        except (Refused, Missing, Invalid, Unavailable):
            pass  # we may not read there, or it knows no mounts
        return False

    async def send(self, blob: Descriptor, source: Source, sent: Sent) -> None:
        """Upload one blob. `sent` may count backwards when part of it has to be sent again."""
        upload, position, idle = "", 0, 0
        while True:
            before = position
            try:
                if not upload:
                    upload, position = await self._begin(), 0
                    sent(0)
                upload = await self._stream(upload, blob, source, position, sent)
                await self._end(upload, blob)
                return
            except (Busy, Unanswered) as busy:
                upload, position = await self._resumed(upload, blob)
                idle = 0 if position > before else idle + 1
                await self._session.pause(busy, max(idle, 1))

    async def put_manifest(self, name: str, body: bytes, media_type: str) -> None:
        """Give the repository a manifest, by the tag or the digest `name`."""
        headers = {"Content-Type": media_type}
        for attempt in range(1, self._session.patience.attempts + 1):
            try:
                path = f"manifests/{quote(name, safe=':')}"
                async with self._ask("PUT", path, headers, body) as response:
                    await self._check(response, (200, 201, 202))
                    return
            except Busy as busy:
                await self._session.pause(busy, attempt)

    async def _begin(self) -> str:
        headers = {"Content-Length": "0"}
        async with self._ask("POST", "blobs/uploads/", headers) as response:
            await self._check(response, (202,))
            return _location(response)

    async def _stream(
        self, upload: str, blob: Descriptor, source: Source, position: int, sent: Sent
    ) -> str:
        """Send what is from `position` on; gives where the upload goes on."""
        if position == blob.size:
            return upload

        async def content() -> AsyncGenerator[bytes]:
            done = position
            async for chunk in source(position):
                done += len(chunk)
                yield chunk
                sent(done)

        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(blob.size - position),
        }
        if position:
            headers["Content-Range"] = f"{position}-{blob.size - 1}"
        async with self._session.ask(
            self._target.writing(), "PATCH", upload, headers, content
        ) as response:
            await self._check(response, (202, 204))
            return _location(response)

    async def _end(self, upload: str, blob: Descriptor) -> None:
        joint = "&" if "?" in upload else "?"
        url = f"{upload}{joint}{urlencode({'digest': blob.digest})}"
        async with self._ask("PUT", url, {"Content-Length": "0"}, is_url=True) as response:
            await self._check(response, (201, 204))

    async def _resumed(self, upload: str, blob: Descriptor) -> tuple[str, int]:
        """Where a broken upload goes on, and with which byte; nowhere if it does not."""
        if not upload:
            return "", 0
        try:
            async with self._ask("GET", upload, is_url=True) as response:
                last = response.headers.get("range", "").rpartition("-")[2]
                if response.status_code != 204 or not last.isdecimal():
                    return "", 0
                position = int(last) + 1 if last != "0" else 0
                return (_location(response), position) if position <= blob.size else ("", 0)
        except (Busy, Invalid, Refused, Missing):
            return "", 0

    def _ask(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        content: bytes = b"",
        *,
        is_url: bool = False,
        wanted: Wanted | None = None,
    ) -> AbstractAsyncContextManager[httpx.Response]:
        where = path if is_url else f"{self._repository}/{path}"
        return self._session.ask(
            wanted or self._target.writing(), method, where, headers or {}, content
        )

    async def _check(self, response: httpx.Response, expected: tuple[int, ...]) -> None:
        await check_status(
            self._target.writing(), response, what=self._target.reference.familiar,
            missing=f"registry {self._target.reference.registry} takes no {self._repository}",
            expected=expected,
        )  # fmt: skip


def _location(response: httpx.Response) -> str:
    given = response.headers.get("location", "")
    if not given:
        raise Invalid(f"{response.url.host} does not say where the upload goes on")
    return str(response.url.join(given))
