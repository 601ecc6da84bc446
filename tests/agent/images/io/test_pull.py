"""Pulls arrive whole, share their work, go on after anything, and say what went wrong."""

import asyncio
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path

import pytest

from agent.images.image import LayerProgress
from agent.images.io.store import ImageStore
from swarm.errors import Invalid, KernelRefused, Missing, Refused, Unavailable
from swarm.images.credentials import Credentials
from swarm.images.platform import Platform
from tests.agent.images.io.archives import chunks, everything, is_clean, tar
from tests.images import docker_archive, layer
from tests.swarm.io.fake_registry import MANIFEST_TYPE, FakeRegistry, serving
from tests.swarm.io.real_registry import PASSWORD, USER, installed, push, real_registry

pytestmark = pytest.mark.kernel  # owners and trusted attributes need root

AMD64 = Platform("linux", "amd64")
BIG = tar(("big", os.urandom(3_000_000)))
SMALL = tar(("small", b"s"))


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def tell(
    root: Path,
    story: Callable[[FakeRegistry, ImageStore, str], Coroutine[None, None, None]],
    *layers: bytes,
    fake: FakeRegistry | None = None,
    **config: object,
) -> FakeRegistry:
    """Run `story` with a registry that holds `web:1` and a store at `root`."""
    fake = fake or FakeRegistry()
    fake.add_image("web", "1", list(layers or (BIG, SMALL)), **config)

    async def run() -> None:
        async with serving(fake):
            await story(fake, ImageStore(root, platform=AMD64), f"{fake.address}/web:1")

    asyncio.run(run())
    assert not list((root / "tmp").iterdir())
    return fake


def test_a_pulled_image_is_ready_to_run(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        image = await store.pull(name)

        rootfs = await store.rootfs(name)
        assert [sorted(os.listdir(path)) for path in rootfs.layer_dirs] == [["small"], ["big"]]  # noqa: PTH208
        assert rootfs.config.cmd == ("sleep",)
        assert image.references == (name,)
        assert not image.local
        assert await store.rootfs(f"{name}@{image.digest}") == rootfs

    tell(tmp_path / "store", story, Cmd=["sleep"])


def test_a_pull_by_digest_is_called_by_it_and_costs_nothing_the_second_time(
    tmp_path: Path,
) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        digest = (await store.pull(name)).digest
        await store.remove(name)
        pinned = f"{name}@{digest}"

        image = await store.pull(pinned)
        asked = len(fake.requests)
        again = await store.pull(pinned)

        assert image.references == (f"{fake.address}/web@{digest}",)
        assert again == image
        assert len(fake.requests) == asked
        assert (await store.rootfs(pinned)).digest == digest
        with pytest.raises(Missing):
            await store.rootfs(name)

    tell(tmp_path / "store", story)


def test_a_tag_that_moved_is_pulled_again_and_shared_layers_are_not(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        old = await store.pull(name)
        fake.add_image("web", "1", [BIG, tar(("new", b"n"))])
        heard: list[LayerProgress] = []

        new = await store.pull(name, progress=heard.append)

        assert old.digest != new.digest
        assert fake.asked("GET", digest_of(BIG)) == 1
        last = {notice.layer: notice.status for notice in heard}
        assert last[digest_of(BIG)] == "exists"
        assert (await store.rootfs(name)).digest == new.digest
        assert store.inspect(old.digest).image.references == ()

    tell(tmp_path / "store", story)


def test_each_layer_is_announced_from_waiting_to_done(tmp_path: Path) -> None:
    heard: list[LayerProgress] = []

    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        await store.pull(name, progress=heard.append)

    tell(tmp_path / "store", story)

    mine = [notice for notice in heard if notice.layer == digest_of(BIG)]
    statuses = list(dict.fromkeys(notice.status for notice in mine))
    assert statuses == ["waiting", "downloading", "verifying", "extracting", "done"]
    positions = [notice.current_bytes for notice in mine]
    assert positions == sorted(positions)
    assert {notice.total_bytes for notice in mine} == {len(BIG)}


def test_pulls_of_one_image_at_once_are_one_download(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        late: list[LayerProgress] = []
        fake.faults.hold = asyncio.Event()
        pulls = [asyncio.create_task(store.pull(name)) for _ in range(20)]
        await until(lambda: fake.asked("GET", "/blobs/") > 0)
        pulls.append(asyncio.create_task(store.pull(name, progress=late.append)))
        pulls[0].cancel()
        await asyncio.wait([pulls[0]])

        fake.faults.hold.set()
        images = await asyncio.gather(*pulls[1:])

        assert len({image.digest for image in images}) == 1
        assert late[-1].status == "done"
        assert fake.asked("GET", "/manifests/") == 1
        assert fake.asked("GET", "/blobs/") == 3

    tell(tmp_path / "store", story)


def test_two_images_with_a_common_layer_download_it_once(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        fake.add_image("other", "1", [BIG, tar(("o", b"o"))])

        await asyncio.gather(store.pull(name), store.pull(f"{fake.address}/other:1"))

        assert fake.asked("GET", digest_of(BIG)) == 1

    tell(tmp_path / "store", story)


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.005)


def test_a_cancelled_pull_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """The only caller gives up in mid-layer; the next pull, in a new agent, asks for the rest."""
    root = tmp_path / "store"

    async def give_up(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        fake.faults.hold, fake.faults.held = asyncio.Event(), {digest_of(BIG)}
        pulling = asyncio.create_task(store.pull(name))
        await until(lambda: partial_bytes(root) >= 1 << 20)
        pulling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pulling

    fake = FakeRegistry()
    tell(root, give_up, BIG, fake=fake)
    have = partial_bytes(root)
    fake.faults.hold = None
    fake.requests.clear()

    async def go_on(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        await store.pull(name)
        assert (await store.rootfs(name)).layer_dirs[0].joinpath("big").stat().st_size == 3_000_000

    tell(root, go_on, BIG, fake=fake)

    ranges = [headers["range"] for _, _, headers in fake.requests if "range" in headers]
    assert ranges == [f"bytes={have}-"]
    assert have >= 1 << 20


def partial_bytes(root: Path) -> int:
    return sum(path.stat().st_size for path in (root / "partial").iterdir())


SCRIPT = """
import asyncio, sys
from pathlib import Path
from agent.images.io.store import ImageStore
from swarm.images.platform import Platform

asyncio.run(ImageStore(Path(sys.argv[1]), platform=Platform("linux", "amd64")).pull(sys.argv[2]))
"""


def test_a_killed_agent_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """kill -9 in mid-layer: what was written is kept, and nothing else is taken for an image."""
    root = tmp_path / "store"

    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        fake.faults.hold, fake.faults.held = asyncio.Event(), {digest_of(BIG)}
        agent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", SCRIPT, str(root), name, cwd=Path.cwd()
        )
        try:
            await until(lambda: partial_bytes(root) >= 1 << 20)
        finally:
            agent.send_signal(signal.SIGKILL)
            await agent.wait()
        fake.faults.hold = None
        fake.requests.clear()
        again = ImageStore(root, platform=AMD64)
        with pytest.raises(Missing):
            await again.rootfs(name)

        await again.pull(name)

        assert (await again.rootfs(name)).layer_dirs[0].joinpath("big").is_file()
        assert [h["range"] for _, _, h in fake.requests if "range" in h] != []

    tell(root, story, BIG)


def test_a_damaged_part_is_thrown_away_and_read_again(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        part = tmp_path / "store/partial" / digest_of(BIG)[7:]
        part.write_bytes(b"damage" * 1000)

        await store.pull(name)

        assert not part.exists()
        assert fake.asked("GET", digest_of(BIG)) == 2

    tell(tmp_path / "store", story)


def test_a_registry_that_dies_in_mid_pull_is_unavailable_and_named(tmp_path: Path) -> None:
    """It stays dead: the pull fails, keeps what it has, and the store stays usable."""
    root = tmp_path / "store"

    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        fake.faults.cut = {digest_of(BIG): (1, 1_500_000)}
        pulling = asyncio.create_task(store.pull(name))
        await until(lambda: fake.sent_bytes[digest_of(BIG)] >= 1_500_000)
        fake.faults.statuses = [(503, {})] * 100

        with pytest.raises(Unavailable, match=f"registry {fake.address}"):
            await pulling

        assert store.list() == ()
        assert partial_bytes(root) == 1_500_000
        archive = docker_archive(tmp_path / "a.tar", "local:1", layers=(SMALL,))
        assert await store.load(chunks(archive)) == ("local:1",)
        fake.faults.statuses.clear()
        await store.pull(name)
        assert partial_bytes(root) == 0

    tell(root, story)


def test_a_corrupted_layer_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        fake.faults.corrupt = {digest_of(BIG)}
        with pytest.raises(Invalid, match=f"expected {digest_of(BIG)}, actual sha256:"):
            await store.pull(name)
        assert is_clean(tmp_path / "store")

        fake.faults.corrupt.clear()
        await store.pull(name)

    tell(tmp_path / "store", story)


@pytest.mark.parametrize(
    ("bad", "config", "part"),
    [
        (tar(("../evil", b"x")), {}, "leaves the archive with '..'"),
        (gzip.compress(SMALL)[:-4], {"diff_ids": [digest_of(SMALL)]}, "middle of its gzip"),
        (SMALL, {"diff_ids": [digest_of(BIG)]}, "layer is corrupted"),
        (SMALL, {"diff_ids": []}, "1 layers, but its config lists 0"),
        (b"not a tar" * 200, {}, "not a whole tar archive"),
    ],
    ids=["escape", "cut short", "wrong diff id", "no diff id", "no tar"],
)
def test_a_layer_that_lies_is_refused_and_leaves_nothing(
    tmp_path: Path, bad: bytes, config: dict[str, object], part: str
) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        with pytest.raises(Invalid) as refusal:
            await store.pull(name)
        assert part in refusal.value.message
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story, bad, **config)


def test_what_the_registry_does_not_have_is_missing(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        with pytest.raises(Missing, match="web:2 not found"):
            await store.pull(f"{fake.address}/web:2")
        fake.blobs.pop(digest_of(SMALL))
        with pytest.raises(Missing, match=f"has lost blob {digest_of(SMALL)}"):
            await store.pull(name)
        assert is_clean(tmp_path / "store")

    tell(tmp_path / "store", story)


def test_our_platform_is_taken_from_an_index_and_found_by_either_digest(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        ours = fake.add_image("web", "", [SMALL], Cmd=["ours"])
        theirs = fake.add_image("web", "", [SMALL], Cmd=["theirs"])
        entries = [
            {"mediaType": MANIFEST_TYPE, "digest": digest, "size": 9}
            | {"platform": {"os": "linux", "architecture": architecture}}
            for digest, architecture in ((theirs, "arm64"), (ours, "amd64"))
        ]
        body = json.dumps({"schemaVersion": 2, "manifests": entries}).encode()
        index = fake.add_manifest("web", "multi", body)

        image = await store.pull(f"{fake.address}/web:multi")

        assert image.digest == index
        for text in (f"x@{index}", f"x@{ours}", ours):
            assert (await store.rootfs(text)).config.cmd == ("ours",)
        await store.collect(())
        assert json.loads(store.inspect(index).manifest_json)["schemaVersion"] == 2

    tell(tmp_path / "store", story)


def test_a_dead_registry_is_unavailable(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"  # bound, and nobody listens

        async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
            with pytest.raises(Unavailable, match=f"registry {address} cannot be reached"):
                await store.pull(f"{address}/web:1")

        tell(tmp_path / "store", story)


def test_one_users_refusal_is_not_anothers(tmp_path: Path) -> None:
    """Two users pull at once; the wrong password fails alone."""

    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        wrong, right = await asyncio.gather(
            store.pull(name, credentials=Credentials("me", "wrong")),
            store.pull(name, credentials=Credentials("me", "secret")),
            return_exceptions=True,
        )
        assert isinstance(wrong, Refused)
        assert not isinstance(right, BaseException)

    tell(tmp_path / "store", story, fake=FakeRegistry(bearer=True, token_user=("me", "secret")))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "small"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "swarmtest", str(mount)], check=True)
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


@pytest.mark.parametrize("size", [6_000_000, 2_500_000], ids=["as it arrives", "as it unpacks"])
def test_a_full_disk_is_said_and_given_back(small_disk: Path, size: int) -> None:
    root = small_disk / "store"

    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        with pytest.raises(KernelRefused, match="no space left on device"):
            await store.pull(name)
        assert is_clean(root)

        fake.add_image("small", "1", [SMALL])
        await store.pull(f"{fake.address}/small:1")

    tell(root, story, SMALL, tar(("big", os.urandom(size))))


def test_collecting_during_a_pull_takes_nothing_from_it(tmp_path: Path) -> None:
    async def story(fake: FakeRegistry, store: ImageStore, name: str) -> None:
        pulling = asyncio.create_task(store.pull(name))
        while not pulling.done():
            await store.collect(())
            await asyncio.sleep(0)

        for directory in (await store.rootfs(name)).layer_dirs:
            assert directory.is_dir()
        assert fake.asked("GET", digest_of(BIG)) == 1

    tell(tmp_path / "store", story)


@pytest.mark.cluster
@installed
@pytest.mark.parametrize("login", [False, True], ids=["open", "with a login"])
def test_a_real_registry_is_pulled_from(tmp_path: Path, login: bool) -> None:
    base = layer({"etc/passwd": b"root:x:0:0::/:/bin/sh\n"})
    source = docker_archive(tmp_path / "web.tar", "web:1", layers=(base, BIG, SMALL))
    credentials = Credentials(USER, PASSWORD) if login else None

    async def story(address: str) -> None:
        store = ImageStore(tmp_path / "store", platform=AMD64)
        name = f"{address}/acme/web:1"
        if login:
            with pytest.raises(Refused):
                await store.pull(name)
            with pytest.raises(Refused):
                await store.pull(name, credentials=Credentials(USER, "wrong"))
            assert not everything(tmp_path / "store")

        image = await store.pull(name, credentials=credentials)

        rootfs = await store.rootfs(f"{name}@{image.digest}")
        assert len(rootfs.layer_dirs) == 3
        assert (rootfs.layer_dirs[2] / "bin/sh").readlink() == Path("busybox")

    with real_registry(tmp_path / "registry", login=login) as address:
        push(f"docker-archive:{source}", address, "acme/web:1", login=login)
        asyncio.run(story(address))
