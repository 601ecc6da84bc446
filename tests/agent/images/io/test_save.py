"""Archives of images are read by Docker, by the tools of the OCI, and by ourselves."""

import asyncio
import contextlib
import gzip
import io
import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.images.io.store import ImageStore
from swarm.errors import Missing, Unavailable
from swarm.images.platform import Platform
from tests.agent.images.io.archives import chunks, tar
from tests.agent.images.io.made import made
from tests.cluster.hosts import wait_for
from tests.images import docker_archive, layer
from tests.swarm.io.fake_registry import FakeRegistry, serving
from tests.swarm.io.real_registry import installed, skopeo

pytestmark = pytest.mark.kernel  # owners and trusted attributes need root

AMD64 = Platform("linux", "amd64")


def tell(root: Path, story: Callable[[ImageStore], Coroutine[None, None, None]]) -> None:
    asyncio.run(story(ImageStore(root, platform=AMD64)))
    assert not list((root / "tmp").iterdir())


async def saved(store: ImageStore, *names: str) -> bytes:
    return b"".join([chunk async for chunk in store.save(names)])


def names_in(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as packed:
        return packed.getnames()


def test_an_archive_is_loaded_as_what_was_saved(tmp_path: Path) -> None:
    source = docker_archive(tmp_path / "a.tar", "web:1", "acme/web:2")

    async def story(store: ImageStore) -> None:
        await store.load(chunks(source))
        archive = await saved(store, "web:1", "acme/web:2")
        other = ImageStore(tmp_path / "other", platform=AMD64)

        assert await other.load(chunks(archive)) == ("web:1", "acme/web:2")

        (before,), (after,) = store.list(), other.list()
        assert (after.id, after.digest) == (before.id, before.digest)
        assert await saved(other, "web:1", "acme/web:2") == archive

    tell(tmp_path / "store", story)


def test_an_image_that_was_made_here_has_no_blob_and_is_saved_all_the_same(tmp_path: Path) -> None:
    async def story(store: ImageStore) -> None:
        image_id = await made(store, tmp_path / "upper", "web:1", files={"a/b": b"x" * 70_000})
        archive = await saved(store, "web:1")
        other = ImageStore(tmp_path / "other", platform=AMD64)

        await other.load(chunks(archive))

        rootfs = await other.rootfs("web:1")
        assert rootfs.id == image_id
        assert (rootfs.layer_dirs[0] / "a/b").read_bytes() == b"x" * 70_000

    tell(tmp_path / "store", story)


def test_an_image_for_several_platforms_keeps_its_digest(tmp_path: Path) -> None:
    fake = FakeRegistry()
    layer = gzip.compress(tar(("f", b"x")))
    plain = gzip.decompress(layer)
    import hashlib

    manifest = fake.add_image(
        "web", "", [layer], diff_ids=[f"sha256:{hashlib.sha256(plain).hexdigest()}"]
    )
    size = len(fake.manifests["web", manifest][1])
    entries = [
        {"digest": manifest, "size": size, "platform": {"os": "linux", "architecture": "amd64"}},
        {
            "digest": "sha256:" + "0" * 64,
            "size": 1,
            "platform": {"os": "linux", "architecture": "s390x"},
        },
    ]
    kind = "application/vnd.oci.image.index.v1+json"
    body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": entries}).encode()
    digest = fake.add_manifest("web", "1", body, kind)

    async def story(store: ImageStore) -> None:
        async with serving(fake):
            name = f"{fake.address}/web:1"
            await store.pull(name)
        archive = await saved(store, name)
        other = ImageStore(tmp_path / "other", platform=AMD64)

        assert await other.load(chunks(archive)) == (name,)

        assert other.list()[0].digest == digest

    tell(tmp_path / "store", story)


def test_a_name_alone_is_all_its_tags_and_an_id_has_none(tmp_path: Path) -> None:
    source = docker_archive(tmp_path / "a.tar", "web:1", "web:2", "other:1")

    async def story(store: ImageStore) -> None:
        await store.load(chunks(source))
        image = store.list()[0]
        other = ImageStore(tmp_path / "other", platform=AMD64)

        assert await other.load(chunks(await saved(store, "web"))) == ("web:1", "web:2")
        nameless = await saved(store, image.id[7:19])
        assert await ImageStore(tmp_path / "third", platform=AMD64).load(chunks(nameless)) == (
            image.id,
        )
        with pytest.raises(Missing, match="No such image: web:9"):
            await saved(store, "web:9")

    tell(tmp_path / "store", story)


def test_layers_that_images_share_are_in_the_archive_once(tmp_path: Path) -> None:
    base = layer({"base": b"b"}, busybox=False)
    one = docker_archive(tmp_path / "1.tar", "one", layers=(base, base))
    two = docker_archive(
        tmp_path / "2.tar", "two", layers=(base, layer({"t": b"t"}, busybox=False))
    )

    async def story(store: ImageStore) -> None:
        await store.load(chunks(one))
        await store.load(chunks(two))

        names = names_in(await saved(store, "one", "two"))

        assert len(names) == len(set(names))
        assert sum(name.startswith("blobs/sha256/") for name in names) == 2 + 2 * 2

    tell(tmp_path / "store", story)


def test_a_layer_that_was_changed_behind_our_back_ends_the_archive_in_the_middle(
    tmp_path: Path,
) -> None:
    async def story(store: ImageStore) -> None:
        await made(store, tmp_path / "upper", "web:1", files={"a": b"before"})
        tree = (await store.rootfs("web:1")).layer_dirs[0]
        (tree / "a").write_bytes(b"behind")

        with pytest.raises(Exception, match="layer is corrupted") as refusal:
            await saved(store, "web:1")

        assert not isinstance(refusal.value, Unavailable)

    tell(tmp_path / "store", story)


@installed
def test_skopeo_reads_an_archive_as_dockers_and_as_a_layout(tmp_path: Path) -> None:
    archive, layout = tmp_path / "saved.tar", tmp_path / "layout"

    async def story(store: ImageStore) -> None:
        await store.load(chunks(docker_archive(tmp_path / "a.tar", "base:1")))
        await made(store, tmp_path / "upper", "acme/web:1", parent="base:1", files={"f": b"f"})
        archive.write_bytes(await saved(store, "acme/web:1"))

    tell(tmp_path / "store", story)
    skopeo("copy", f"docker-archive:{archive}:acme/web:1", f"dir:{tmp_path / 'one'}")
    layout.mkdir()
    with tarfile.open(archive) as packed:
        packed.extractall(layout, filter="data")
    skopeo("copy", f"oci:{layout}:1", f"dir:{tmp_path / 'two'}")

    manifests = [
        json.loads((tmp_path / each / "manifest.json").read_text()) for each in ("one", "two")
    ]
    assert manifests[0]["config"]["digest"] == manifests[1]["config"]["digest"]


@contextlib.contextmanager
def dockerd() -> Iterator[Callable[..., str]]:
    """Docker's daemon with nothing but images; gives its command line."""
    with tempfile.TemporaryDirectory(prefix="swarm-dockerd-") as base:
        host = f"unix://{base}/docker.sock"
        daemon = subprocess.Popen(
            [
                "unshare", "--mount", "--net", "dockerd", "--host", host,
                "--data-root", f"{base}/data", "--exec-root", f"{base}/exec",
                "--pidfile", f"{base}/pid", "--storage-driver", "vfs", "--bridge", "none",
                "--iptables=false", "--ip6tables=false",
            ], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

        def docker(*args: str) -> str:
            return subprocess.run(
                ["docker", "--host", host, *args],
                check=True, capture_output=True, text=True, timeout=60,
                env=os.environ | {"DOCKER_CONFIG": base},
            ).stdout  # fmt: skip

        def answers() -> bool:
            with contextlib.suppress(subprocess.CalledProcessError):
                return bool(docker("version"))
            return False

        try:
            wait_for("dockerd answers", partial(answers), within_s=60)
            yield docker
        finally:
            daemon.terminate()
            daemon.wait(60)


@pytest.mark.cluster
def test_docker_loads_what_we_save_and_we_load_what_docker_saves(tmp_path: Path) -> None:
    """Docker changes nothing on the way: the image has the same id, and the same files."""
    archive, back = tmp_path / "saved.tar", tmp_path / "back.tar"
    ids: list[str] = []

    async def story(store: ImageStore) -> None:
        await store.load(chunks(docker_archive(tmp_path / "a.tar", "base:1")))
        image_id = await made(
            store, tmp_path / "upper", "acme/web:1", "acme/web:2", parent="base:1",
            files={"f": b"made here"}, gone=("etc/passwd",),
        )  # fmt: skip
        ids.append(image_id)
        archive.write_bytes(await saved(store, "acme/web", "base:1"))

    tell(tmp_path / "store", story)
    with dockerd() as docker:
        loaded = docker("load", "--input", str(archive))
        listed = docker("images", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
        history = docker("history", "--format", "{{.CreatedBy}}", "acme/web:1").splitlines()
        docker("save", "--output", str(back), "acme/web:1")

    assert sorted(loaded.splitlines()) == [
        f"Loaded image: {name}" for name in ("acme/web:1", "acme/web:2", "base:1")
    ]
    assert f"acme/web:2 {ids[0]}" in listed.splitlines()
    assert history == ["made by a test", ""], "a line for the layer below, of which nobody told"

    async def again(store: ImageStore) -> None:
        assert await store.load(chunks(back)) == ("acme/web:1",)
        rootfs = await store.rootfs("acme/web:1")
        assert rootfs.id == ids[0]
        assert (rootfs.layer_dirs[0] / "f").read_bytes() == b"made here"
        assert (rootfs.layer_dirs[0] / "etc/passwd").stat().st_rdev == 0

    tell(tmp_path / "again", again)
