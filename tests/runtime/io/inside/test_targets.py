"""Looking paths up within a root. Links are resolved by the kernel, so a directory suffices."""

import errno
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.io.inside.targets import find, find_or_make


@pytest.fixture
def root(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "root").mkdir()
    descriptor = os.open(tmp_path / "root", os.O_PATH | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def made(root: int, path: str, *, is_dir: bool = True, strict: bool = False) -> Path:
    """Where it really is."""
    descriptor = find_or_make(root, path, is_dir=is_dir, strict=strict)
    try:
        return Path(f"/proc/self/fd/{descriptor}").readlink()
    finally:
        os.close(descriptor)


def test_what_is_missing_is_made_with_all_above_it(root: int, tmp_path: Path) -> None:
    assert made(root, "/a/b/c") == tmp_path / "root/a/b/c"
    assert made(root, "/a/b/file", is_dir=False).is_file()
    assert made(root, "/x/y/file", is_dir=False).is_file()


def test_links_lead_to_places_in_the_root_only(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "up").symlink_to("../../../../..")
    (inside / "host").symlink_to("/etc")
    (inside / "etc").mkdir()

    assert made(root, "/up/new") == inside / "new"
    assert made(root, "/host/new") == inside / "etc/new"
    assert made(root, "/../../new2") == inside / "new2"


def test_a_link_that_leads_nowhere_is_followed_in_the_root(root: int, tmp_path: Path) -> None:
    inside = tmp_path / "root"
    (inside / "a").symlink_to("/b/c")
    (inside / "f").symlink_to("d/e")

    assert made(root, "/a") == inside / "b/c"
    assert made(root, "/f", is_dir=False) == inside / "d/e"
    assert (inside / "d/e").is_file()


def test_links_that_lead_to_each_other_are_refused(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/a").symlink_to("b")
    (tmp_path / "root/b").symlink_to("a")

    with pytest.raises(OSError) as err:
        made(root, "/a/c")

    assert err.value.errno == errno.ELOOP


def test_where_no_link_may_be_one_is_refused(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/proc").symlink_to("tmp")
    (tmp_path / "root/tmp").mkdir()

    with pytest.raises(OSError) as err:
        made(root, "/proc", strict=True)

    assert err.value.errno == errno.ELOOP


def test_a_file_in_the_way_is_named(root: int, tmp_path: Path) -> None:
    (tmp_path / "root/a").touch()

    with pytest.raises(NotADirectoryError):
        made(root, "/a/b")


def test_magic_links_are_no_way_out(root: int) -> None:
    descriptor = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        with pytest.raises(OSError) as err:
            find(proc, f"/self/fd/{descriptor}/etc")
    finally:
        os.close(descriptor)
        os.close(proc)

    assert err.value.errno in (errno.ELOOP, errno.EXDEV)


names = st.sampled_from(["a", "b", "..", ".", "link", "abs", "out"])


@given(st.lists(names, min_size=1, max_size=6), st.booleans())
def test_law_nothing_is_found_or_made_outside(names: list[str], is_dir: bool) -> None:
    with tempfile.TemporaryDirectory() as directory:
        inside = Path(directory) / "root"
        inside.mkdir()
        (inside / "a").mkdir()
        (inside / "link").symlink_to("a/b")
        (inside / "abs").symlink_to("/a/../../..")
        (inside / "out").symlink_to("../../outside")
        before = os.open(inside, os.O_PATH | os.O_DIRECTORY)
        try:
            found = made(before, "/" + "/".join(names), is_dir=is_dir)
        except OSError:
            found = inside
        finally:
            os.close(before)

        assert found == inside or inside in found.parents
        assert [each.name for each in Path(directory).iterdir()] == ["root"]
