"""Paths of containers are read by the letter, as Docker reads them."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.standalone.paths import absolute, go_mode, is_below, normal, objection, shown_name, split
from runtime.spec import Mount


@pytest.mark.parametrize(
    ("path", "whole", "parts", "name"),
    [
        ("/", "/", ("/", ""), "/"),
        ("", "/", ("/", ""), "/"),
        ("a", "/a", ("/", "a"), "a"),
        ("/a/b", "/a/b", ("/a", "b"), "b"),
        ("/a/b/", "/a/b/", ("/a/b", ""), "b"),
        ("/a/b/.", "/a/b/.", ("/a/b", "."), "."),
        ("/a/../b", "/b", ("/", "b"), "b"),
        ("../../a", "/a", ("/", "a"), "a"),
        ("//a//b", "/a/b", ("/a", "b"), "b"),
        ("/.", "/.", ("/", "."), "."),
        ("/a/..", "/", ("/", ""), "/"),
    ],
)
def test_a_path_keeps_what_its_end_says(
    path: str, whole: str, parts: tuple[str, str], name: str
) -> None:
    assert absolute(path) == whole
    assert split(whole) == parts
    assert shown_name(whole) == name


@given(st.text(st.sampled_from("a./"), max_size=20))
def test_law_a_path_is_below_the_root_and_normal_once_it_is(path: str) -> None:
    found = normal(path)

    assert found.startswith("/")
    assert ".." not in found.split("/")
    assert normal(found) == found
    assert normal(absolute(path)) == found


@pytest.mark.parametrize(
    ("mode", "go"),
    [
        (stat.S_IFREG | 0o644, 0o644),
        (stat.S_IFDIR | 0o1777, 1 << 31 | 1 << 20 | 0o777),
        (stat.S_IFREG | 0o6755, 1 << 23 | 1 << 22 | 0o755),
        (stat.S_IFLNK | 0o777, 1 << 27 | 0o777),
        (stat.S_IFCHR | 0o600, 1 << 26 | 1 << 21 | 0o600),
        (stat.S_IFBLK | 0o600, 1 << 26 | 0o600),
        (stat.S_IFIFO | 0o600, 1 << 25 | 0o600),
        (stat.S_IFSOCK | 0o755, 1 << 24 | 0o755),
    ],
)
def test_modes_are_gos(mode: int, go: int) -> None:
    assert go_mode(mode) == go


def test_the_innermost_mount_says_whether_anything_may_be_written() -> None:
    mounts = (
        Mount(target="/data"),
        Mount(target="/data/ro/", read_only=True),
        Mount(target="/data/ro/rw"),
    )

    assert objection("/tmp", mounts, read_only=False) == ""
    assert objection("/tmp", mounts, read_only=True) == "container rootfs is marked read-only"
    assert objection("/data", mounts, read_only=True) == ""
    assert objection("/data/ro/x", mounts, read_only=False) == "mounted volume is marked read-only"
    assert objection("/data/ro/rw/x", mounts, read_only=True) == ""
    assert objection("/database", mounts, read_only=True)


def test_a_name_that_begins_the_same_is_not_below() -> None:
    assert is_below("/a/b", "/a")
    assert is_below("/a", "/a")
    assert is_below("/a", "/")
    assert not is_below("/ab", "/a")
