"""Pushes bring what came as it came, compress the rest the same every time, and send little."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from agent.images.image import PushProgress
from agent.images.io.store import ImageStore
from swarm.errors import Invalid, Missing, Refused
from swarm.images.credentials import Credentials
from swarm.images.platform import Platform
from tests.agent.images.io.archives import chunks, tar
from tests.images import docker_archive, layer
from tests.swarm.io.fake_registry import FakeRegistry, Faults, serving
from tests.swarm.io.real_registry import PASSWORD, USER, installed, push, real_registry, skopeo

pytestmark = pytest.mark.kernel  # owners and trusted attributes need root

AMD64 = Platform("linux", "amd64")
PLAIN = tar(("plain", b"p" * 100_000))
SQUEEZED = gzip.compress(tar(("squeezed", b"s" * 100_000)))


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tell(
    root: Path,
    story: Callable[[FakeRegistry, ImageStore], Coroutine[None, None, None]],
    fake: FakeRegistry | None = None,
) -> FakeRegistry:
    fake = fake or FakeRegistry()

    async def run() -> None:
        async with serving(fake):
            await story(fake, ImageStore(root, platform=AMD64))

    asyncio.run(run())
    assert not list((root / "tmp").iterdir())
    return fake


def archive(path: Path, *names: str) -> Path:
    return docker_archive(
        path / "a.tar", *names, layers=(layer({"f": b"x" * 9000}, busybox=False),)
    )


def test_what_was_pulled_goes_back_as_it_came(tmp_path: Path) -> None:
    """A layer that nobody compressed stays so: the manifest of others says it."""

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        digest = fake.add_image(
            "web", "1", [PLAIN, SQUEEZED],
            diff_ids=[digest_of(PLAIN), digest_of(gzip.decompress(SQUEEZED))],
        )  # fmt: skip
        await store.pull(f"{fake.address}/web:1")
        await store.tag(f"{fake.address}/web:1", f"{fake.address}/web:2")
        fake.blobs.clear()

        pushed = await store.push(f"{fake.address}/web:2")

        assert pushed.digest == digest
        assert {digest_of(PLAIN), digest_of(SQUEEZED)} < set(fake.blobs)
        assert fake.manifests["web", "2"] == fake.manifests["web", "1"]

    tell(tmp_path / "store", story)


def test_what_was_loaded_is_compressed_and_known_by_its_new_digest(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name)))

        pushed = await store.push(name)

        _, body = fake.manifests["web", "1"]
        assert digest_of(body) == pushed.digest
        assert len(body) == pushed.size
        (sent,) = json.loads(body)["layers"]
        assert sent["mediaType"].endswith("+gzip")
        plain = gzip.decompress(fake.blobs[sent["digest"]])
        assert (
            digest_of(plain) == json.loads(store.inspect(name).config_json)["rootfs"]["diff_ids"][0]
        )
        image = store.inspect(f"{fake.address}/web@{pushed.digest}").image
        assert image.references == (name, f"{fake.address}/web@{pushed.digest}")
        asked = len(fake.requests)
        assert (await store.pull(f"{name}@{pushed.digest}")).id == image.id
        assert len(fake.requests) == asked

    tell(tmp_path / "store", story)


def test_what_was_pushed_and_pulled_again_is_known_by_its_digest(tmp_path: Path) -> None:
    """Its name at the registry was given up in between; the image was here all the time."""

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name, "web:1")))
        pushed = await store.push(name)
        await store.remove(name)

        image = await store.pull(name)

        assert f"{fake.address}/web@{pushed.digest}" in image.references
        assert name in image.references

    tell(tmp_path / "store", story)


def test_two_nodes_that_push_the_same_image_agree_on_its_digest(tmp_path: Path) -> None:
    digests = []

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name)))
        digests.append((await store.push(name)).digest)

    for node in ("one", "two"):
        tell(tmp_path / node, story)

    assert len(set(digests)) == 1


def test_the_second_push_sends_and_compresses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[PushProgress] = []

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name)))
        first = await store.push(name)
        sent = fake.received_bytes
        monkeypatch.setattr("agent.images.io.workers.compress", None)

        second = await store.push(name, progress=heard.append)

        assert second == first
        assert fake.received_bytes == sent
        assert [notice.status for notice in heard] == ["preparing", "exists"]

    tell(tmp_path / "store", story)


def test_another_repository_of_the_registry_shares_its_layers(tmp_path: Path) -> None:
    heard: list[PushProgress] = []

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name, other = f"{fake.address}/web:1", f"{fake.address}/acme/copy:1"
        await store.load(chunks(archive(tmp_path, name)))
        await store.tag(name, other)
        first = await store.push(name)

        second = await store.push(other, progress=heard.append)

        assert second.digest == first.digest
        assert [origin for _, origin in fake.mounts] == ["web"]
        assert heard[-1].origin == "web"
        assert [notice.status for notice in heard] == ["preparing", "mounted"]

    tell(tmp_path / "store", story)


def test_each_layer_is_announced_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    heard: list[PushProgress] = []

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name)))
        await store.push(name, progress=heard.append)

    tell(tmp_path / "store", story, FakeRegistry(faults=Faults(cut_uploads=[10])))

    assert list(dict.fromkeys(notice.status for notice in heard)) == [
        "preparing", "pushing", "pushed",
    ]  # fmt: skip
    assert heard[-1].current_bytes == heard[-1].total_bytes > 0


def test_a_manifest_comes_after_all_that_it_lists(tmp_path: Path) -> None:
    """Or whoever pulls in between would find an image with a hole."""

    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        name = f"{fake.address}/web:1"
        await store.load(chunks(archive(tmp_path, name)))
        await store.push(name)

    requests = tell(tmp_path / "store", story).requests

    writes = [path for verb, path, _ in requests if verb in ("PUT", "POST", "PATCH")]
    assert "/manifests/" in writes[-1]
    assert sum("/manifests/" in path for path in writes) == 1


def test_only_tags_that_are_here_are_pushed(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        with pytest.raises(
            Missing, match=r"^An image does not exist locally with the tag: .*/web$"
        ):
            await store.push(f"{fake.address}/web:1")
        with pytest.raises(Invalid, match="cannot push a digest reference"):
            await store.push(f"{fake.address}/web@{digest_of(b'')}")

    assert not tell(tmp_path / "store", story).requests


@installed
@pytest.mark.parametrize("login", [False, True])
def test_debians_registry_takes_what_was_made_here(tmp_path: Path, *, login: bool) -> None:
    """Its own judgement of digests counts, and that of skopeo, who fetches the image from it."""
    credentials = Credentials(USER, PASSWORD) if login else None
    with real_registry(tmp_path / "registry", login=login) as address:
        name, other = f"{address}/acme/web:1", f"{address}/other/web:2"

        async def run() -> None:
            store = ImageStore(tmp_path / "store", platform=AMD64)
            await store.load(chunks(docker_archive(tmp_path / "a.tar", name, other)))
            if login:
                with pytest.raises(Refused):
                    await store.push(name)
                with pytest.raises(Refused):
                    await store.check_credentials(address, credentials=Credentials(USER, "no"))
            await store.check_credentials(f"http://{address}/v2/", credentials=credentials)
            heard: list[PushProgress] = []
            pushed = await store.push(name, credentials=credentials)
            assert await store.push(other, credentials=credentials, progress=heard.append) == pushed
            assert [notice.status for notice in heard] == ["preparing", "mounted"]
            assert await store.list_tags(f"{address}/acme/web", credentials=credentials) == ("1",)
            found = await store.inspect_distribution(name, credentials=credentials)
            assert (found.digest, found.size) == (pushed.digest, pushed.size)
            assert found.platforms == (AMD64,)
            fresh = ImageStore(tmp_path / "fresh", platform=AMD64)
            image = await fresh.pull(name, credentials=credentials)
            assert image.digest == pushed.digest
            assert image.id == store.inspect(name).image.id

        asyncio.run(run())
        flags = [f"--src-creds={USER}:{PASSWORD}"] if login else []
        copied = f"oci-archive:{tmp_path / 'copy.tar'}:x"
        skopeo("copy", "--src-tls-verify=false", *flags, f"docker://{other}", copied)


@installed
def test_what_docker_tools_pushed_goes_to_another_registry_as_it_is(tmp_path: Path) -> None:
    source = docker_archive(tmp_path / "a.tar", "web:1")
    with (
        real_registry(tmp_path / "one") as one,
        real_registry(tmp_path / "two") as two,
    ):
        push(f"docker-archive:{source}", one, "web:1")

        async def run() -> None:
            store = ImageStore(tmp_path / "store", platform=AMD64)
            image = await store.pull(f"{one}/web:1")
            await store.tag(f"{one}/web:1", f"{two}/web:1")
            assert (await store.push(f"{two}/web:1")).digest == image.digest

        asyncio.run(run())


def test_a_manifest_list_tells_its_platforms(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore) -> None:
        digest = fake.add_image("web", "1", [PLAIN])
        size = len(fake.manifests["web", "1"][1])
        entries = [
            {"digest": digest, "size": size, "platform": {"os": "linux", "architecture": arch}}
            for arch in ("amd64", "arm64")
        ]
        media_type = "application/vnd.oci.image.index.v1+json"
        body = {"schemaVersion": 2, "mediaType": media_type, "manifests": entries}
        listed = fake.add_manifest("web", "2", json.dumps(body).encode(), media_type)

        found = await store.inspect_distribution(f"{fake.address}/web:2")

        assert (found.digest, found.media_type) == (listed, media_type)
        assert found.platforms == (AMD64, Platform("linux", "arm64"))
        with pytest.raises(Missing):
            await store.inspect_distribution(f"{fake.address}/web:3")

    tell(tmp_path / "store", story)
