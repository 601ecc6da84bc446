"""The kernel's overlayfs shows what an image's layers mean."""

import asyncio
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.images.image import RootFs
from agent.images.io.store import ImageStore
from swarm.images.platform import Platform
from tests.agent.images.io.archives import chunks, tar
from tests.images import docker_archive

pytestmark = pytest.mark.kernel


@contextmanager
def mounted(rootfs: RootFs, target: Path) -> Iterator[Path]:
    target.mkdir()
    lower = ":".join(str(path) for path in rootfs.layer_dirs)
    if len(rootfs.layer_dirs) == 1:
        lower += f":{target}"  # a mount without upper directory wants two lower ones
    command = ["mount", "-t", "overlay", "swarmtest", "-o", f"ro,lowerdir={lower}", str(target)]
    subprocess.run(command, check=True)
    try:
        yield target
    finally:
        subprocess.run(["umount", "-l", str(target)], check=True)


def shown(tmp_path: Path, *layers: bytes) -> set[str]:
    """Every path that a container of an image of `layers` sees."""
    archive = docker_archive(tmp_path / "a.tar", "web:1", layers=layers)

    async def rootfs() -> RootFs:
        store = ImageStore(tmp_path / "store", platform=Platform("linux", "amd64"))
        await store.load(chunks(archive))
        return await store.rootfs("web:1")

    with mounted(asyncio.run(rootfs()), tmp_path / "mount") as root:
        return {
            f"{path.relative_to(root)}={path.read_text()}" if path.is_file() else
            str(path.relative_to(root))
            for path in root.rglob("*")
        }  # fmt: skip


def test_deleted_files_and_replaced_directories_are_gone(tmp_path: Path) -> None:
    base = tar(("keep", b"1"), ("gone", b"1"), ("d/old", b"1"), ("o/old", b"1"), ("r/old", b"1"))
    top = tar(
        (".wh.gone", b""),
        (".wh.d", b""),
        ("o/new", b"2"),
        ("o/.wh..wh..opq", b""),
        (".wh.r", b""),
        ("r/new", b"2"),
    )

    assert shown(tmp_path, base, top) == {"keep=1", "o", "o/new=2", "r", "r/new=2"}


def test_an_opaque_root_hides_every_layer_below(tmp_path: Path) -> None:
    assert shown(tmp_path, tar(("old", b"1")), tar((".wh..wh..opq", b""), ("new", b"2"))) == {
        "new=2"
    }


def test_a_layer_that_occurs_twice_can_be_mounted(tmp_path: Path) -> None:
    base, middle = tar(("a", b"1")), tar((".wh.a", b""), ("b", b"2"))

    assert shown(tmp_path, base, middle, base) == {"a=1", "b=2"}


def test_a_stack_of_twenty_layers_is_what_its_last_writer_left(tmp_path: Path) -> None:
    layers = [tar(("count", str(number).encode())) for number in range(20)]

    assert shown(tmp_path, *layers) == {"count=19"}
