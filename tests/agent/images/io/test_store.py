"""The store takes images in whole or not at all, and finds them again after any crash."""

import asyncio
import gzip
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import zstandard

from agent.images.io.store import ImageStore
from agent.images.removal import Use
from swarm.errors import Invalid, KernelRefused, Missing, Refused
from swarm.images.platform import Platform
from tests.agent.images.io.archives import chunks, entry, everything, is_clean, tar
from tests.images import docker_archive, layer
from tests.swarm.io.real_registry import installed, skopeo

pytestmark = pytest.mark.kernel  # owners and trusted attributes need root

AMD64 = Platform("linux", "amd64")
NOW = 1_700_000_000.0


def store_at(root: Path) -> ImageStore:
    return ImageStore(root, platform=AMD64, clock=lambda: NOW)


def tell(root: Path, story: Callable[[ImageStore], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        await story(store_at(root))

    asyncio.run(run())
    assert not list((root / "tmp").iterdir())


def archive_of(path: Path, *names: str, **files: bytes) -> Path:
    """A docker-archive of one small layer that holds `files`."""
    return docker_archive(path, *names, layers=(layer(files, busybox=False),))


def test_a_saved_image_is_loaded_and_ready_to_run(tmp_path: Path) -> None:
    archive = docker_archive(tmp_path / "a.tar", "web:1", "acme/web:2", cmd=("sleep", "9"))

    async def story(store: ImageStore) -> None:
        names = await store.load(chunks(archive))

        rootfs = await store.rootfs("web:1")
        assert names == ("web:1", "acme/web:2")
        assert rootfs.config.cmd == ("sleep", "9")
        assert (rootfs.layer_dirs[0] / "bin/busybox").stat().st_mode & 0o111
        (image,) = store.list()
        assert image.id == rootfs.id
        assert image.references == ("acme/web:2", "web:1")
        assert image.local
        assert image.size_bytes > 100_000
        assert await store.rootfs(f"web:1@{image.digest}") == rootfs
        assert await store.rootfs(image.id[7:19]) == rootfs
        found = store.inspect("web:1")
        assert json.loads(found.manifest_json)["config"]["digest"] == image.id
        assert found.config == rootfs.config

    tell(tmp_path / "store", story)


def test_images_are_found_again_after_a_restart(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", "web:1", file=b"x")
    seen = []

    async def first(store: ImageStore) -> None:
        await store.load(chunks(archive))
        seen.append((store.list(), await store.rootfs("web:1")))

    async def second(store: ImageStore) -> None:
        seen.append((store.list(), await store.rootfs("web:1")))

    tell(tmp_path / "store", first)
    tell(tmp_path / "store", second)

    assert seen[0] == seen[1]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_archive_is_loaded(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    archive = compress(archive_of(tmp_path / "a.tar", "web:1", file=b"x").read_bytes())

    async def story(store: ImageStore) -> None:
        assert await store.load(chunks(archive, size=777)) == ("web:1",)

    tell(tmp_path / "store", story)


@installed
@pytest.mark.parametrize(
    "target",
    [
        ["docker-archive:{out}:acme/web:7"],
        ["oci-archive:{out}:acme/web:7"],
        ["--dest-compress-format=zstd", "oci-archive:{out}:acme/web:7"],
    ],
    ids=["docker-archive", "oci-archive", "oci-archive with zstd"],
)
def test_what_skopeo_writes_is_loaded(tmp_path: Path, target: list[str]) -> None:
    source = docker_archive(tmp_path / "in.tar", "web:1")
    out = tmp_path / "out.tar"
    skopeo("copy", f"docker-archive:{source}", *(part.format(out=out) for part in target))

    async def story(store: ImageStore) -> None:
        assert await store.load(chunks(out)) == ("acme/web:7",)
        rootfs = await store.rootfs("acme/web:7")
        assert (rootfs.layer_dirs[0] / "bin/sh").readlink() == Path("busybox")

    tell(tmp_path / "store", story)


@installed
def test_what_umoci_builds_is_loaded(tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    (tmp_path / "rootfs").mkdir()
    (tmp_path / "rootfs" / "hello").write_text("hi")
    for arguments in (
        ["init", "--layout", str(layout)],
        ["new", "--image", f"{layout}:first"],
        ["insert", "--image", f"{layout}:first", str(tmp_path / "rootfs"), "/srv"],
        ["config", "--image", f"{layout}:first", "--config.cmd", "/srv/hello"],
    ):
        subprocess.run(["umoci", *arguments], check=True, capture_output=True)
    with tarfile.open(tmp_path / "layout.tar", "w") as packed:
        packed.add(layout, ".")

    async def story(store: ImageStore) -> None:
        (name,) = await store.load(chunks(tmp_path / "layout.tar"))
        assert name.startswith("sha256:")  # its only name is a tag without a repository
        rootfs = await store.rootfs(name)
        assert rootfs.config.cmd == ("/srv/hello",)
        assert (rootfs.layer_dirs[0] / "srv/hello").read_text() == "hi"

    tell(tmp_path / "store", story)


def test_layers_are_shared_and_a_repeated_one_is_mounted_once(tmp_path: Path) -> None:
    base, top = layer({"base": b"b"}, busybox=False), layer({"top": b"t"}, busybox=False)
    one = docker_archive(tmp_path / "1.tar", "one", layers=(base, top, base))
    two = docker_archive(tmp_path / "2.tar", "two", layers=(base,))

    async def story(store: ImageStore) -> None:
        await store.load(chunks(one))
        await store.load(chunks(two))

        stacked = (await store.rootfs("one")).layer_dirs
        assert [(path / "base").exists() for path in stacked] == [True, False]
        assert (await store.rootfs("two")).layer_dirs == stacked[:1]

        await store.remove("one")
        assert (await store.rootfs("two")).layer_dirs[0].is_dir()
        assert not stacked[1].exists()

    tell(tmp_path / "store", story)


def test_an_image_without_layers_has_an_empty_root(tmp_path: Path) -> None:
    described = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {}}
    saved = [{"Config": "c.json", "RepoTags": ["scratch:1"], "Layers": []}]
    archive = tar(
        ("manifest.json", json.dumps(saved).encode()), ("c.json", json.dumps(described).encode())
    )

    async def story(store: ImageStore) -> None:
        await store.load(chunks(archive))
        (only,) = (await store.rootfs("scratch:1")).layer_dirs
        assert not list(only.iterdir())

    tell(tmp_path / "store", story)


def damaged(path: Path) -> bytes:
    """A docker-archive whose layer does not hash to its diff id."""
    content = archive_of(path, "web:1", file=b"precious content").read_bytes()
    return content.replace(b"precious content", b"PRECIOUS content")


def hostile(path: Path, *items: tuple[tarfile.TarInfo | str, bytes] | tarfile.TarInfo) -> bytes:
    return docker_archive(path, "web:1", layers=(tar(*items),)).read_bytes()


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (damaged, "layer is corrupted: expected sha256:"),
        (lambda path: hostile(path, ("../../evil", b"x")), "leaves the archive with '..'"),
        (
            lambda path: hostile(
                path, entry("l", tarfile.SYMTYPE, linkname="/tmp"), ("l/evil", b"x")
            ),
            "absolute symbolic link 'l' -> '/tmp'",
        ),
        (
            lambda path: hostile(path, entry("h", tarfile.LNKTYPE, linkname="/etc/passwd")),
            "hard link to '/etc/passwd'",
        ),
        (lambda path: tar(("../evil", b"x")), "leaves the archive with '..'"),
        (lambda path: tar(("etc/passwd", b"root")), "not an image archive"),
        (lambda path: b"garbage" * 1000, "not a whole tar archive"),
        (lambda path: archive_of(path, "web:1", f=b"x").read_bytes()[:3000], "not a whole tar"),
        (lambda path: gzip.compress(damaged(path))[:-9], "middle of its gzip stream"),
    ],
)
def test_a_bad_archive_is_refused_and_leaves_nothing(
    tmp_path: Path, make: Callable[[Path], bytes], part: str
) -> None:
    content = make(tmp_path / "a.tar")
    good = archive_of(tmp_path / "good.tar", "good:1", file=b"x")

    async def story(store: ImageStore) -> None:
        with pytest.raises(Invalid) as refusal:
            await store.load(chunks(content))
        assert part in refusal.value.message
        assert store.list() == ()
        assert is_clean(tmp_path / "store")

        assert await store.load(chunks(good)) == ("good:1",)

    tell(tmp_path / "store", story)


def test_of_two_images_in_an_archive_none_is_loaded_when_one_is_bad(tmp_path: Path) -> None:
    good, bad = layer({"a": b"1"}, busybox=False), tar(("../x", b""))
    items, files = [], {}
    for number, body in enumerate((good, bad)):
        diff_id = f"sha256:{hashlib.sha256(body).hexdigest()}"
        files[f"{number}.json"] = json.dumps({"rootfs": {"diff_ids": [diff_id]}}).encode()
        files[f"{number}.tar"] = body
        items.append(
            {
                "Config": f"{number}.json",
                "RepoTags": [f"image{number}:1"],
                "Layers": [f"{number}.tar"],
            }
        )
    archive = tar(("manifest.json", json.dumps(items).encode()), *files.items())

    async def story(store: ImageStore) -> None:
        with pytest.raises(Invalid):
            await store.load(chunks(archive))
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    content = archive_of(tmp_path / "a.tar", "web:1", file=b"x" * 500_000).read_bytes()

    async def half() -> AsyncIterator[bytes]:
        yield content[: len(content) // 2]
        raise ConnectionResetError("the client is gone")

    async def story(store: ImageStore) -> None:
        with pytest.raises(ConnectionResetError):
            await store.load(half())
        with pytest.raises(ConnectionResetError):
            await store.import_rootfs(half())
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_a_cancelled_load_leaves_nothing(tmp_path: Path) -> None:
    content = archive_of(tmp_path / "a.tar", "web:1", file=b"x" * 500_000).read_bytes()

    async def story(store: ImageStore) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield content[: len(content) // 2]
            reached.set()
            await asyncio.Event().wait()

        loading = asyncio.create_task(store.load(endless()))
        await reached.wait()
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_a_root_file_system_is_imported_with_changes(tmp_path: Path) -> None:
    rootfs_tar = gzip.compress(layer({"hello": b"world"}, busybox=False))

    async def story(store: ImageStore) -> None:
        image_id = await store.import_rootfs(
            chunks(rootfs_tar),
            reference="mine:1",
            changes=('CMD ["/hello"]', "ENV A=1", "WORKDIR /srv"),
            message="by hand",
            architecture="arm64",
        )

        rootfs = await store.rootfs("mine:1")
        assert rootfs.id == image_id
        assert (rootfs.layer_dirs[0] / "hello").read_bytes() == b"world"
        assert (rootfs.config.cmd, rootfs.config.env) == (("/hello",), ("A=1",))
        assert rootfs.config.platform.architecture == "arm64"
        (image,) = store.list()
        assert (image.created_at, image.local) == (NOW, True)
        assert json.loads(store.inspect("mine:1").config_json)["comment"] == "by hand"

    tell(tmp_path / "store", story)


@pytest.mark.parametrize(
    ("content", "options", "part"),
    [
        (b"junk" * 500, {}, "not a whole tar archive"),
        (b"BZh91" + b"x" * 100, {}, "bzip2"),
        (tar(("../x", b"")), {}, "'..'"),
        (tar(("x", b"")), {"changes": ("RUN x",)}, "run is not a valid change command"),
        (tar(("x", b"")), {"reference": "Bad"}, "lower case"),
        (tar(("x", b"")), {"reference": "a@sha256:" + "0" * 64}, "cannot choose its digest"),
    ],
)
def test_a_bad_import_is_refused_and_leaves_nothing(
    tmp_path: Path, content: bytes, options: dict[str, object], part: str
) -> None:
    async def story(store: ImageStore) -> None:
        with pytest.raises(Invalid) as refusal:
            await store.import_rootfs(chunks(content), **options)
        assert part in refusal.value.message
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_tags_are_given_and_taken_and_the_last_takes_the_image(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", "web:1", file=b"x")

    async def story(store: ImageStore) -> None:
        await store.load(chunks(archive))
        await store.tag("web:1", "localhost:5000/web:2")
        assert (await store.remove("web:1")).untagged == ("web:1",)
        with pytest.raises(Missing):
            await store.rootfs("web:1")
        image_id = (await store.rootfs("localhost:5000/web:2")).id
        uses = (Use(image_id=image_id, container="c"),)
        with pytest.raises(Refused):
            await store.remove("localhost:5000/web:2", uses=uses)
        with pytest.raises(Invalid, match="a digest cannot be given"):
            await store.tag("localhost:5000/web:2", "x@sha256:" + "0" * 64)

        removal = await store.remove("localhost:5000/web:2")

        assert removal.deleted == (image_id,)
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_an_image_that_was_removed_under_a_container_goes_with_it(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", "web:1", file=b"x")

    async def story(store: ImageStore) -> None:
        await store.load(chunks(archive))
        image_id = (await store.rootfs("web:1")).id
        uses = (Use(image_id=image_id, container="c", is_running=False),)
        removal = await store.remove("web:1", force=True, uses=uses)
        assert (removal.deleted, store.list()) == ((image_id,), ())
        assert store.has_removed
        assert await store.forget(uses) == 0
        assert (await store.rootfs(image_id)).layer_dirs[0].is_dir()

        assert await store.forget(()) > 0

        assert not store.has_removed
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_collecting_takes_nameless_images_that_no_task_uses(tmp_path: Path) -> None:
    old = archive_of(tmp_path / "old.tar", "web:1", file=b"old")
    new = archive_of(tmp_path / "new.tar", "web:1", file=b"new")

    async def story(store: ImageStore) -> None:
        await store.load(chunks(old))
        used = (await store.rootfs("web:1")).id
        await store.load(chunks(new))
        stray = tmp_path / "store/blobs/sha256" / ("ab" * 32)
        stray.write_bytes(b"s" * 1000)

        assert await store.collect({used}) == 1000
        assert (await store.rootfs(used)).layer_dirs[0].is_dir()
        assert await store.collect(()) > 0

        assert [image.references for image in store.list()] == [("web:1",)]
        with pytest.raises(Missing):
            await store.rootfs(used)

    tell(tmp_path / "store", story)


def test_collecting_during_a_load_takes_nothing_from_it(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", "web:1", file=b"x")

    async def story(store: ImageStore) -> None:
        loading = asyncio.create_task(store.load(chunks(archive, size=1000)))
        while not loading.done():
            await store.collect(())
            await asyncio.sleep(0)
        assert (await store.rootfs("web:1")).layer_dirs[0].is_dir()
        assert store.inspect("web:1").manifest_json

    tell(tmp_path / "store", story)


def test_a_layer_that_somebody_deleted_is_unpacked_again(tmp_path: Path) -> None:
    archive = archive_of(tmp_path / "a.tar", "web:1", file=b"x")
    trees = []

    async def first(store: ImageStore) -> None:
        await store.load(chunks(archive))
        trees.extend((await store.rootfs("web:1")).layer_dirs)

    async def second(store: ImageStore) -> None:
        assert (await store.rootfs("web:1")).layer_dirs[0].joinpath("file").read_bytes() == b"x"

    tell(tmp_path / "store", first)
    subprocess.run(["rm", "-r", str(trees[0].parent)], check=True)
    tell(tmp_path / "store", second)


def test_a_broken_index_is_refused_by_name(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / "index.json").write_text('{"images": 3}')

    with pytest.raises(Refused, match=r"index\.json: image index") as refusal:
        store_at(root)

    assert "remove it" in refusal.value.hint


SCRIPT = """
import asyncio, sys
from pathlib import Path
from agent.images.io.store import ImageStore

async def half(path):
    content = path.read_bytes()
    yield content[: len(content) // 2]
    await asyncio.Event().wait()

asyncio.run(getattr(ImageStore(Path(sys.argv[1])), sys.argv[2])(half(Path(sys.argv[3]))))
"""


@pytest.mark.parametrize("verb", ["load", "import_rootfs"])
def test_a_kill_in_mid_load_leaves_nothing_after_the_next_start(tmp_path: Path, verb: str) -> None:
    """The agent is killed with -9 while an archive arrives.

    1. Half of the archive is on disk, in `tmp`; the worker waits for the rest.
    2. The agent dies, and its worker with it.
    3. The next start finds the rubble, sweeps it, and loads the whole archive.
    """
    archive = archive_of(tmp_path / "a.tar", "web:1", file=os.urandom(3_000_000))
    root = tmp_path / "store"
    agent = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(root), verb, str(archive)], cwd=Path.cwd()
    )
    try:
        wait_until(lambda: any(path.startswith("tmp/stage-") for path in files(root)))
    finally:
        agent.send_signal(signal.SIGKILL)
        agent.wait()
    wait_until(lambda: not workers_of(agent.pid))

    async def story(store: ImageStore) -> None:
        assert is_clean(root)
        assert await store.load(chunks(archive)) == ("web:1",)

    tell(root, story)


def files(root: Path) -> set[str]:
    """Those in which there is something; others come and go while we look."""
    found = set[str]()
    for path in everything(root):
        with suppress(FileNotFoundError):
            status = (root / path).stat()
            if stat.S_ISREG(status.st_mode) and status.st_size:
                found.add(path)
    return found


def workers_of(pid: int) -> list[str]:
    """Workers on this machine that were started by process `pid`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"agent.images.io.worker" in words and str(pid).encode() in words:
            found.append(path.parent.name)
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, unmounted by the test's cleanup whatever happens."""
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "swarmtest", str(mount)], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("size", [6_000_000, 2_500_000], ids=["as it arrives", "as it unpacks"])
def test_a_full_disk_is_said_and_given_back(small_disk: Path, tmp_path: Path, size: int) -> None:
    """6 MB do not even arrive on 4 MiB; 2.5 MB arrive, but have no room to be unpacked."""
    big = archive_of(tmp_path / "big.tar", "big:1", file=os.urandom(size))
    good = archive_of(tmp_path / "good.tar", "good:1", file=b"x")
    root = small_disk / "store"

    async def story(store: ImageStore) -> None:
        with pytest.raises(KernelRefused, match="no space left on device") as refusal:
            await store.load(chunks(big))
        assert "free space" in refusal.value.hint
        assert is_clean(root)
        with pytest.raises(KernelRefused, match="no space left on device"):
            await store.import_rootfs(chunks(tar(("file", os.urandom(size)))))
        assert is_clean(root)

        assert await store.load(chunks(good)) == ("good:1",)

    tell(root, story)
