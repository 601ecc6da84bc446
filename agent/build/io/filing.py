"""Copy files, as ADD and COPY want it: find them, know them by a digest, and put them there."""

import asyncio
import hashlib
import os
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.build import cache
from agent.build.cache import Found
from agent.build.io import fetching
from agent.build.io.layering import Layering
from agent.build.io.origins import Begun, Origins
from agent.build.io.shop import Say, Shop
from agent.build.orders import CONTEXT, Content, Find, Origin, Put, Source
from agent.build.steps import DIGEST, Files, State, several
from agent.images.answers import Mark
from agent.images.io.disk import failing
from swarm.errors import Invalid

_SOURCES = msgspec.json.Decoder(tuple[Source, ...])
_UNNAMED = "__unnamed__"


class _Known(Struct, frozen=True):
    """What was found for one instruction: files, and where each download lies."""

    origin: Origin
    sources: tuple[Source, ...]
    downloads: tuple[tuple[Origin, Source], ...] = ()


class Filing:
    """Copies files for one build, whose directory is `own`."""

    def __init__(
        self, shop: Shop, layering: Layering, origins: Origins, say: Say, own: Path
    ) -> None:
        self._shop = shop
        self._layering = layering
        self._origins = origins
        self._say = say
        self._own = own
        self._known: _Known | None = None

    async def told(self, files: Files, created_by: str) -> str:
        """What the history says of it, by the digest of all that is copied."""
        origin, image_id = await self.origin(files.origin)
        found: tuple[Source, ...] = ()
        if files.patterns:
            found = await self.find(files, origin, image_id)
        downloads = tuple([await self._download(url, files) for url in files.urls])
        digests = [told(each) for each in found]
        digests += [f"file:{source.digest}" for _, source in downloads]
        digests += [f"file:{_digest(each)}" for each in files.contents]
        if len(digests) > 1 and not files.target.endswith("/") and not files.keeps_parents:
            raise several(files.told)
        self._known = _Known(origin, found, downloads)
        return created_by.replace(DIGEST, together(digests))

    async def put(self, files: Files, state: State) -> Mark | None:
        """Do it; what is to be copied was `told` before."""
        known, self._known = self._known, None
        assert known is not None
        layered = self._layering.layered(state)
        order = Put(
            layered=layered,
            target=files.target,
            origin=known.origin,
            sources=known.sources,
            contents=files.contents,
            excluded=files.excluded,
            owner=files.owner,
            mode=files.mode,
            owners=bool(files.origin) and not files.owner,
            unpacks=files.unpacks,
        )
        if known.sources or files.contents:
            await self._layering.worker.ask(order)
        for place, source in known.downloads:
            downloaded = msgspec.structs.replace(
                order, origin=place, sources=(source,), contents=(), unpacks=files.unpacks_urls
            )
            await self._layering.worker.ask(downloaded)
        return await self._layering.collect(layered)

    async def origin(self, name: str) -> tuple[Origin, str]:
        """Where `--from` leads: the context, or a stage or image, with that one's id."""
        if not name:
            return Origin(directory=str(self._own / CONTEXT)), ""
        try:
            begun: Begun = await self._origins.image_or_stage(name)
        except Invalid as err:
            raise Invalid(f"invalid from flag value {name}: {err.message}") from err
        layers = self._layering.directories(begun.document.diff_ids)
        return Origin(layers=layers), begun.image_id

    async def find(self, files: Files, origin: Origin, image_id: str) -> tuple[Source, ...]:
        """The sources; those of an image are asked for once, for it never changes."""
        order = Find(
            origin=origin,
            patterns=files.patterns,
            excluded=files.excluded,
            owners=bool(files.origin) and not files.owner,
            keeps_parents=files.keeps_parents,
        )
        key = ""
        if image_id:
            asked = msgspec.structs.replace(order, origin=Origin())
            key = cache.key_of(image_id, "find", msgspec.json.encode(asked).decode())
            if known := self._layering.found(key):
                return _SOURCES.decode(known.answer)
        try:
            answer = await self._layering.worker.ask(order)
        except Invalid as err:
            raise Invalid(f"{files.told} failed: {err.message}", hint=err.hint) from err
        if key:
            encoded = msgspec.json.encode(answer.sources).decode()
            now = self._shop.clock()
            self._layering.remember(Found(key=key, answer=encoded, used_at=now))
        return answer.sources

    async def _download(self, url: str, files: Files) -> tuple[Origin, Source]:
        """A file that ADD names by its address; it is private until the build is done."""
        directory = self._layering.place()
        directory.mkdir()
        async with fetching.fetched(url) as download:
            name = download.name
            if not name and files.target.endswith("/"):
                raise Invalid(f"cannot determine filename for source {url}")
            path = directory / (name or _UNNAMED)
            seen = hashlib.sha256()
            with failing("download", path):
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                async for chunk in download.chunks:
                    seen.update(chunk)
                    with failing("download", path):
                        await asyncio.to_thread(_write, descriptor, chunk)
                os.utime(descriptor, (download.modified_at, download.modified_at))
            finally:
                os.close(descriptor)
        digest = seen.hexdigest()
        if files.checksum and files.checksum.removeprefix("sha256:") != digest:
            raise Invalid(f"{url}: digest mismatch sha256:{digest}: {files.checksum}")
        await self._say.text("\n")
        return Origin(directory=str(directory)), Source(
            path=path.name, is_directory=False, digest=digest
        )


def told(source: Source) -> str:
    """A source as the history names it."""
    return f"{'dir' if source.is_directory else 'file'}:{source.digest}"


def together(digests: list[str]) -> str:
    """Several sources by one digest."""
    if len(digests) == 1:
        return digests[0]
    return f"multi:{hashlib.sha256(','.join(digests).encode()).hexdigest()}"


def _digest(content: Content) -> str:
    text = f"{content.name}\0{content.text}"
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _write(descriptor: int, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(descriptor, view) :]
