"""What the client relies on, shown on the fake registry and on Debian's docker-registry."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.errors import Missing, Refused
from swarm.images.credentials import Credentials
from swarm.images.manifest import Descriptor, Manifest, parse_document
from swarm.images.reference import Reference, parse_reference
from swarm.io.registry import Registry
from tests.images import docker_archive
from tests.swarm.io.fake_registry import FakeRegistry, serving
from tests.swarm.io.real_registry import PASSWORD, USER, installed, push, real_registry

kinds = pytest.mark.parametrize(
    "kind", ["fake", pytest.param("real", marks=[pytest.mark.cluster, installed])]
)


@asynccontextmanager
async def registry_of(kind: str, path: Path, *, login: bool = False) -> AsyncIterator[str]:
    """A registry that holds `acme/web:1` with one layer of more than 100 KiB."""
    if kind == "fake":
        fake = FakeRegistry(basic=(USER, PASSWORD) if login else None)
        fake.add_image("acme/web", "1", [b"layer" * 50_000])
        async with serving(fake):
            yield fake.address
        return
    archive = docker_archive(path / "web.tar", "acme/web:1")
    with real_registry(path / "registry", login=login) as address:
        await asyncio.to_thread(
            push, f"docker-archive:{archive}", address, "acme/web:1", login=login
        )
        yield address


async def read(registry: Registry, name: Reference, blob: Descriptor, *, start: int = 0) -> bytes:
    seen = hashlib.sha256()
    return b"".join([chunk async for chunk in registry.blob(name, blob, start=start, seen=seen)])


@kinds
def test_a_tag_resolves_to_the_digest_of_its_manifest(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with registry_of(kind, tmp_path) as address, Registry() as registry:
            tagged = parse_reference(f"{address}/acme/web:1")

            digest = await registry.resolve(tagged)

            document = await registry.manifest(tagged)
            assert document.digest == digest
            assert document.digest == f"sha256:{hashlib.sha256(document.body).hexdigest()}"
            assert await registry.manifest(tagged.with_digest(digest)) == document

    asyncio.run(story())


@kinds
def test_blobs_arrive_whole_and_in_parts(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with registry_of(kind, tmp_path) as address, Registry() as registry:
            name = parse_reference(f"{address}/acme/web:1")
            manifest = parse_document((await registry.manifest(name)).body)
            assert isinstance(manifest, Manifest)

            whole = await read(registry, name, manifest.layers[0])
            half = len(whole) // 2
            seen = hashlib.sha256(whole[:half])
            rest = b"".join(
                [
                    part
                    async for part in registry.blob(name, manifest.layers[0], start=half, seen=seen)
                ]
            )

            assert len(whole) == manifest.layers[0].size
            assert rest == whole[half:]
            assert json.loads(await read(registry, name, manifest.config))["os"] == "linux"

    asyncio.run(story())


@kinds
@pytest.mark.parametrize("name", ["acme/web:2", "acme/nothing:1"])
def test_what_is_not_there_is_missing(kind: str, name: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with registry_of(kind, tmp_path) as address, Registry() as registry:
            with pytest.raises(Missing, match=f"image {address}/{name} not found") as refusal:
                await registry.resolve(parse_reference(f"{address}/{name}"))
            assert refusal.value.hint

            with pytest.raises(Missing):
                await registry.manifest(parse_reference(f"{address}/{name}"))

    asyncio.run(story())


@kinds
def test_a_registry_with_a_login_wants_the_right_one(kind: str, tmp_path: Path) -> None:
    async def story() -> None:
        async with registry_of(kind, tmp_path, login=True) as address, Registry() as registry:
            name = parse_reference(f"{address}/acme/web:1")

            with pytest.raises(Refused, match="wants a user and a password"):
                await registry.resolve(name)
            with pytest.raises(Refused, match="denies access to acme/web") as refusal:
                await registry.resolve(name, credentials=Credentials(USER, "wrong-one"))
            digest = await registry.resolve(name, credentials=Credentials(USER, PASSWORD))

            assert digest.startswith("sha256:")
            assert "wrong-one" not in f"{refusal.value.message} {refusal.value.hint}"

    asyncio.run(story())
