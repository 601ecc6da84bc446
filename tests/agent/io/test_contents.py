"""Secrets in memory, on the real kernel."""

import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.contents import Files, Written
from agent.io import contents as module
from agent.io.contents import Contents
from runtime import constants as k
from runtime.io import kernel

pytestmark = pytest.mark.kernel

FILES = Files(
    written=(
        Written(path="secrets/tls/key", data=b"hunter2" * 1000, uid=33, gid=34, mode=0o440),
        Written(path="files/config-0", data=b"c", uid=0, gid=0, mode=0o444),
    ),
    uid=5,
    gid=6,
)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Contents]:
    made = Contents(tmp_path / "contents", dict)
    yield made
    made.dissolve()
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def mounted(base: Path) -> list[list[str]]:
    """The lines of mountinfo below `base`, each from the separator on."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [line.split(" - ")[1].split() for line in lines if f"{base}/contents/" in line]


def test_files_have_their_owners_and_modes_in_memory_of_their_own(
    here: Contents, tmp_path: Path
) -> None:
    here.write("t1", FILES)

    at = tmp_path / "contents/t1"
    key = (at / "secrets/tls/key").stat()
    assert (at / "secrets/tls/key").read_bytes() == b"hunter2" * 1000
    assert (key.st_uid, key.st_gid, stat.S_IMODE(key.st_mode)) == (33, 34, 0o440)
    assert ((at / "secrets").stat().st_uid, (at / "secrets/tls").stat().st_gid) == (5, 6)
    assert stat.S_IMODE(at.stat().st_mode) == 0o700
    ((kind, *_),) = mounted(tmp_path)
    assert kind in ("tmpfs", "ramfs")
    assert at.stat().st_dev != tmp_path.stat().st_dev


def test_a_kernel_without_noswap_gets_memory_that_never_swaps(
    here: Contents, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.kernel.fsconfig

    def fsconfig(context: int, command: int, key: str = "", value: str = "") -> None:
        if key == "noswap":
            raise OSError(22, "Invalid argument")
        real(context, command, key, value)

    monkeypatch.setattr(module.kernel, "fsconfig", fsconfig)

    here.write("t1", FILES)

    assert (tmp_path / "contents/t1/files/config-0").read_bytes() == b"c"
    assert [each[0] for each in mounted(tmp_path)] == ["ramfs"]


def test_this_kernel_is_asked_not_to_swap(here: Contents, tmp_path: Path) -> None:
    here.write("t1", FILES)

    ((kind, _, options),) = mounted(tmp_path)
    assert kind == "ramfs" or "noswap" in options


def test_removal_leaves_nothing_and_may_be_repeated(here: Contents, tmp_path: Path) -> None:
    here.write("t1", FILES)
    here.write("t1", FILES)
    assert len(mounted(tmp_path)) == 1

    here.remove("t1")
    here.remove("t1")

    assert not (tmp_path / "contents/t1").exists()


def test_what_crashes_left_is_swept_and_what_is_in_use_stays(
    here: Contents, tmp_path: Path
) -> None:
    """Killed between any two steps: a directory alone, or one that was mounted over twice."""
    here.write("kept", FILES)
    here.write("twice", FILES)
    kernel.mount("none", str(tmp_path / "contents/twice"), "tmpfs", 0)
    (tmp_path / "contents/bare").mkdir()

    here.sweep({"kept"})

    assert [each.name for each in (tmp_path / "contents").iterdir()] == ["kept"]
    assert len(mounted(tmp_path)) == 1


def test_a_write_that_fails_leaves_nothing(here: Contents, tmp_path: Path) -> None:
    twice = Files(written=(FILES.written[1], FILES.written[1]))

    with pytest.raises(Exception, match="File exists"):
        here.write("t1", twice)

    assert not (tmp_path / "contents/t1").exists()


def test_who_binds_what_is_around_sees_no_files(tmp_path: Path) -> None:
    """As a container does that has the host's `/run`, with what is mounted in it later on."""
    run, before, after = (tmp_path / each for each in ("run", "before", "after"))
    for each in (run, before, after):
        each.mkdir()
    here = Contents(run / "contents", dict)
    kernel.mount(str(run), str(run), "", k.MS_BIND)
    kernel.mount("", str(run), "", k.MS_SHARED)
    try:
        kernel.mount(str(run), str(before), "", k.MS_BIND | k.MS_REC)

        here.write("t1", FILES)
        kernel.mount(str(run), str(after), "", k.MS_BIND | k.MS_REC)

        assert (run / "contents/t1/files/config-0").exists()
        for each in (before, after):
            assert not list((each / "contents").rglob("config-0"))
    finally:
        here.dissolve()
        for each in (after, before, run):
            subprocess.run(["umount", "--recursive", "--lazy", str(each)], check=False)
    assert f"{tmp_path}/" not in Path("/proc/self/mountinfo").read_text()


def test_a_successor_finds_the_directory_as_it_is(here: Contents, tmp_path: Path) -> None:
    here.write("t1", FILES)
    Contents(tmp_path / "contents", dict).write("t2", FILES)

    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    assert len([line for line in lines if line.split()[4] == str(tmp_path / "contents")]) == 1
    assert len(mounted(tmp_path)) == 2
