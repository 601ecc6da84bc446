"""Volumes on the real kernel: mounted by the first that needs them, unmounted after the last."""

import asyncio
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.io import volumes as module
from agent.io.volumes import Volumes
from agent.volumes import Placed, Source, Volume
from runtime.io import kernel
from runtime.spec import Mount
from swarm.errors import Invalid, Missing, Refused

TMPFS = {"type": "tmpfs", "device": "tmpfs", "o": "size=1m,noexec"}


class Here:
    """Volumes below a directory; `used` is who uses them."""

    def __init__(self, base: Path) -> None:
        self.base, self.used, self.changes = base, dict[str, tuple[str, ...]](), 0
        self.volumes = Volumes(base / "volumes", users=lambda: self.used, changed=self._count)

    def _count(self) -> None:
        self.changes += 1

    def provide(self, *needs: Volume | Source) -> None:
        placed = tuple(Placed(mount=Mount(target="/x"), needs=each) for each in needs)
        asyncio.run(self.volumes.provide(placed))

    def volume(self, name: str = "data", **fields: object) -> Volume:
        return Volume(path=self.volumes.path(name), name=name, **fields)

    def mounts(self) -> list[str]:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return [line for line in lines if f"{self.base}/" in line]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    made = Here(tmp_path)
    yield made
    made.used = {}
    asyncio.run(made.volumes.release())
    assert not made.mounts()


def test_a_named_volume_is_made_once_with_its_description(here: Here) -> None:
    needs = here.volume(labels={"a": "b"})

    here.provide(needs)
    (Path(needs.path) / "kept").write_text("x")
    here.provide(needs)

    described = json.loads((here.base / "volumes/data/volume.json").read_text())
    assert (Path(needs.path) / "kept").exists()
    assert (described["name"], described["labels"]) == ("data", {"a": "b"})
    assert here.volumes.names() == ("data",)
    assert here.changes == 1


def test_what_a_crash_left_of_a_volume_is_removed_and_volumes_stay(here: Here) -> None:
    here.provide(here.volume())
    (here.base / "volumes/.half.77/_data").mkdir(parents=True)
    (here.base / "volumes/.gone.removed").mkdir()

    module.clean(here.base / "volumes")

    assert [each.name for each in (here.base / "volumes").iterdir()] == ["data"]


def test_a_volume_goes_however_deep_a_program_nested_its_directories(here: Here) -> None:
    needs = here.volume()
    here.provide(needs)
    for depth in range(1, 1500):
        os.mkdir(f"{needs.path}/{'d/' * depth}")  # noqa: PTH102

    asyncio.run(here.volumes.remove("data"))

    assert here.volumes.names() == ()
    assert list((here.base / "volumes").iterdir()) == []


def test_a_source_that_is_not_there_is_refused_unless_it_is_to_be_made(here: Here) -> None:
    here.provide(Source(path=str(here.base), field="f"))
    with pytest.raises(Refused, match="bind source path does not exist: /no/x"):
        here.provide(Source(path="/no/x", field="f"))

    here.provide(Source(path=str(here.base / "new/er"), field="f", create=True))

    assert (here.base / "new/er").is_dir()


@pytest.mark.kernel
def test_a_volume_with_options_is_mounted_once_and_unmounted_after_its_last_user(
    here: Here,
) -> None:
    needs = here.volume(options=TMPFS)
    here.used = {"data": ("web.1",)}
    here.provide(needs)
    here.provide(needs)
    (mount,) = here.mounts()
    asyncio.run(here.volumes.release({"data"}))
    kept = here.mounts()
    here.used = {}
    asyncio.run(here.volumes.release({"other"}))
    still = here.mounts()
    asyncio.run(here.volumes.release({"data"}))

    assert "noexec" in mount
    assert "size=1024k" in mount
    assert kept == still == [mount]
    assert not here.mounts()


@pytest.mark.kernel
def test_an_agents_successor_finds_what_is_mounted(here: Here) -> None:
    here.provide(here.volume(options=TMPFS))
    successor = Here(here.base)

    successor.provide(successor.volume(options=TMPFS))

    assert len(here.mounts()) == 1


@pytest.mark.kernel
def test_a_bind_is_read_only_from_the_beginning(here: Here) -> None:
    source = here.base / "with space"
    source.mkdir()
    (source / "file").write_text("x")

    here.provide(here.volume(options={"type": "none", "device": str(source), "o": "bind,ro"}))

    path = Path(here.volumes.path("data"))
    assert (path / "file").read_text() == "x"
    with pytest.raises(OSError, match="Read-only"):
        (path / "other").write_text("")
    asyncio.run(here.volumes.remove("data"))
    assert (source / "file").exists()


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"type": "none", "device": "/no/such", "o": "bind"}, "no such file or directory"),
        ({"type": "nosuchfs", "device": "x"}, "kernel knows no file system 'nosuchfs'"),
        ({"type": "tmpfs", "device": "x", "o": "nonsense=1"}, "invalid argument"),
    ],
)
def test_what_cannot_be_mounted_says_why(here: Here, options: dict[str, str], reason: str) -> None:
    with pytest.raises(Refused, match=f"volume data: failed to mount local volume: .*{reason}"):
        here.provide(here.volume(options=options))


@pytest.mark.kernel
def test_a_mounted_volume_below_a_path_with_a_space_is_found(tmp_path: Path) -> None:
    here = Here(tmp_path / "a b")
    here.provide(here.volume(options=TMPFS))
    here.provide(here.volume(options=TMPFS))
    asyncio.run(here.volumes.release())

    assert "a\\040b" not in Path("/proc/self/mountinfo").read_text()


@pytest.mark.kernel
def test_a_subpath_has_to_be_in_the_volume(here: Here) -> None:
    here.provide(here.volume())
    path = Path(here.volumes.path("data"))
    (path / "a/b").mkdir(parents=True)
    (path / "link").symlink_to("/proc")
    (path / "near").symlink_to("a")

    for subpath in ("a/b", "near/b"):
        here.provide(here.volume(subpath=subpath))
    for subpath in ("none", "link"):
        with pytest.raises(Refused, match=f"volume data has no {subpath}"):
            here.provide(here.volume(subpath=subpath))


@pytest.mark.kernel
def test_a_volume_in_which_something_is_mounted_is_not_removed(here: Here) -> None:
    here.provide(here.volume())
    below = Path(here.volumes.path("data")) / "below"
    below.mkdir()
    kernel.mount("tmpfs", str(below), "tmpfs", 0)
    (below / "precious").write_text("x")

    try:
        with pytest.raises(Refused, match="something is mounted in volume data"):
            asyncio.run(here.volumes.remove("data"))
        assert (below / "precious").exists()
    finally:
        kernel.unmount(str(below), 0)


def test_a_volume_in_use_is_not_removed_and_says_by_whom(here: Here) -> None:
    here.provide(here.volume())
    here.used = {"data": ("web.1.abc",)}

    with pytest.raises(Refused, match=r"volume is in use: data is used by task web\.1\.abc"):
        asyncio.run(here.volumes.remove("data"))
    here.used = {}
    asyncio.run(here.volumes.remove("data"))

    assert here.volumes.names() == ()
    with pytest.raises(Missing, match="no such volume: data"):
        asyncio.run(here.volumes.remove("data"))
    asyncio.run(here.volumes.remove("data", force=True))


@pytest.mark.parametrize("name", ["../volumes", ".half", "", "data/_data", "."])
def test_a_name_never_leads_out_of_the_directory(here: Here, name: str) -> None:
    here.provide(here.volume())

    with pytest.raises((Missing, Invalid)):
        asyncio.run(here.volumes.remove(name))

    assert here.volumes.names() == ("data",)


def test_a_volume_is_created_once_and_another_of_its_name_is_refused(here: Here) -> None:
    async def story() -> None:
        first = await here.volumes.create("data", labels={"a": "b"}, options=TMPFS)
        again = await here.volumes.create("data", labels={}, options=TMPFS)
        assert again == first
        with pytest.raises(Refused, match="already exists with other options"):
            await here.volumes.create("data", labels={}, options=TMPFS | {"o": "size=2m"})
        with pytest.raises(Invalid, match="device: is missing"):
            await here.volumes.create("other", labels={}, options={"type": "tmpfs"})

    asyncio.run(story())
    assert here.volumes.names() == ("data",)


def test_what_was_said_of_a_volume_may_be_lost_but_not_its_content(here: Here) -> None:
    here.provide(here.volume())
    (here.base / "volumes/data/volume.json").unlink()

    found = here.volumes.describe("data")

    assert (found.name, found.labels) == ("data", {})
