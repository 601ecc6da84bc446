"""A layer becomes what overlayfs wants, and never touches anything outside of its directory."""

import gzip
import hashlib
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.images.answers import Mark
from agent.images.io.unpack import unpack
from swarm.errors import Invalid
from tests.agent.images.io.archives import entry, tar

pytestmark = pytest.mark.kernel  # owners, devices and trusted attributes need root


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    mask = os.umask(0o022)
    (tmp_path / "outside").write_text("untouched")
    (tmp_path / "root").mkdir()
    yield tmp_path / "root"
    os.umask(mask)
    assert (tmp_path / "outside").read_text() == "untouched"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layer", "outside", "root"]


def run(root: Path, layer: bytes, *, expected: str = "") -> Mark:
    (root.parent / "layer").write_bytes(layer)
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with (root.parent / "layer").open("rb") as source:
            return unpack(source, descriptor, expected=expected)
    finally:
        os.close(descriptor)


def test_everything_a_tar_can_hold_is_made(root: Path) -> None:
    layer = tar(
        entry("./", tarfile.DIRTYPE, mode=0o711),
        entry("bin/", tarfile.DIRTYPE, mode=0o1777, mtime=1000, uid=5, gid=6),
        (entry("bin/su", mode=0o4755, uid=7, gid=8, mtime=2000), b"setuid"),
        entry("bin/hard", tarfile.LNKTYPE, linkname="bin/su"),
        entry("bin/soft", tarfile.SYMTYPE, linkname="/bin/su", uid=9),
        entry("dev/null", tarfile.CHRTYPE, devmajor=1, devminor=3, mode=0o666),
        entry("dev/disk", tarfile.BLKTYPE, devmajor=7, devminor=0),
        entry("pipe", tarfile.FIFOTYPE),
        ("naïve name", b"\0" * 100_000),
    )

    mark = run(root, layer)

    assert stat.S_IMODE(root.stat().st_mode) == 0o711
    directory, program = (root / "bin").stat(), (root / "bin/su").stat()
    assert (directory.st_mode & 0o7777, directory.st_uid, directory.st_mtime) == (0o1777, 5, 1000)
    assert (program.st_mode & 0o7777, program.st_gid, program.st_mtime) == (0o4755, 8, 2000)
    assert (root / "bin/hard").samefile(root / "bin/su")
    assert (root / "bin/soft").readlink() == Path("/bin/su")
    assert (root / "bin/soft").lstat().st_uid == 9
    assert (root / "dev/null").stat().st_rdev == os.makedev(1, 3)
    assert stat.S_ISBLK((root / "dev/disk").stat().st_mode)
    assert stat.S_ISFIFO((root / "pipe").stat().st_mode)
    assert mark == Mark(
        diff_id=f"sha256:{hashlib.sha256(layer).hexdigest()}",
        size_bytes=100_006,
        entries=9,
        covers_root=False,
    )


def test_deletions_become_what_overlayfs_takes_for_them(root: Path) -> None:
    run(root, tar(("gone/.wh.file", b""), ("new/.wh..wh..opq", b""), (".wh.dir", b"")))

    for name in ("gone/file", "dir"):
        hidden = (root / name).lstat()
        assert stat.S_ISCHR(hidden.st_mode)
        assert hidden.st_rdev == os.makedev(0, 0)
    assert os.getxattr(root / "new", "trusted.overlay.opaque") == b"y"
    assert "trusted.overlay.opaque" not in os.listxattr(root / "gone")


def test_capabilities_are_kept_and_attributes_of_overlayfs_are_not(root: Path) -> None:
    capability = b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    headers = {
        "SCHILY.xattr.security.capability": capability.decode("latin-1"),
        "SCHILY.xattr.trusted.overlay.redirect": "/etc",
        "SCHILY.xattr.user.overlay.opaque": "y",
        "SCHILY.xattr.user.note": "kept",
    }

    run(root, tar((entry("ping", pax_headers=headers), b"x")))

    found = os.listxattr(root / "ping")
    assert "security.capability" in found
    assert "user.note" in found
    assert not [name for name in found if "overlay" in name]


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_the_diff_id_is_that_of_the_plain_tar(root: Path, compress: object) -> None:
    layer = tar(("a", b"content"))
    assert callable(compress)

    mark = run(root, compress(layer), expected=f"sha256:{hashlib.sha256(layer).hexdigest()}")

    assert (root / "a").read_bytes() == b"content"
    assert mark.entries == 1


def test_a_layer_with_another_diff_id_is_corrupted(root: Path) -> None:
    with pytest.raises(Invalid, match="expected sha256:00, actual sha256:"):
        run(root, tar(("a", b"")), expected="sha256:00")


ESCAPES = {
    "dot dot": (("../outside", b"evil"),),
    "dot dot within": (("a/../../outside", b"evil"),),
    "absolute link": (
        entry("l", tarfile.SYMTYPE, linkname="/"),
        ("l/tmp/evil", b"evil"),
    ),
    "climbing link": (
        entry("l", tarfile.SYMTYPE, linkname=".."),
        ("l/outside", b"evil"),
    ),
    "link to a link": (
        entry("a", tarfile.SYMTYPE, linkname="b"),
        entry("b", tarfile.SYMTYPE, linkname="../"),
        ("a/outside", b"evil"),
    ),
    "hard link outside": (entry("h", tarfile.LNKTYPE, linkname="../outside"),),
    "hard link through a link": (
        entry("l", tarfile.SYMTYPE, linkname=".."),
        entry("h", tarfile.LNKTYPE, linkname="l/outside"),
    ),
    "whiteout outside": (("../.wh.outside", b""),),
    "whiteout through a link": (
        entry("l", tarfile.SYMTYPE, linkname=".."),
        ("l/.wh.outside", b""),
    ),
    "directory swapped for a link": (
        entry("d", tarfile.DIRTYPE),
        entry("d", tarfile.SYMTYPE, linkname=".."),
        ("d/outside", b"evil"),
    ),
}


@pytest.mark.parametrize("layer", ESCAPES.values(), ids=ESCAPES.keys())
def test_a_malicious_layer_is_refused_and_writes_nothing_outside(
    root: Path, layer: tuple[tarfile.TarInfo, ...]
) -> None:
    with pytest.raises(Invalid):
        run(root, tar(*layer))


def test_a_link_is_replaced_and_never_written_through(root: Path) -> None:
    """A file entry over a planted link must not land in the link's target."""
    run(
        root,
        tar(entry("l", tarfile.SYMTYPE, linkname="../outside"), ("l", b"mine")),
    )

    assert not (root / "l").is_symlink()
    assert (root / "l").read_bytes() == b"mine"


def test_a_hard_link_is_broken_and_not_written_through(root: Path) -> None:
    run(root, tar(("a", b"first"), entry("b", tarfile.LNKTYPE, linkname="a"), ("b", b"second")))

    assert (root / "a").read_bytes() == b"first"


def test_an_absolute_name_lands_in_the_layer(root: Path) -> None:
    run(root, tar(("/etc/x", b"inside")))

    assert (root / "etc/x").read_bytes() == b"inside"


GOOD = tar(("a", b"x" * 3000), ("b", b"y" * 3000), ("c", b"z"))


@pytest.mark.parametrize(
    "layer",
    [
        b"",
        b"not a tar at all" * 100,
        GOOD[:2000],
        GOOD[:4100],
        GOOD[:3584] + b"\xff" * 512 + GOOD[4096:],
        gzip.compress(GOOD)[:-20],
        zstandard.ZstdCompressor().compress(GOOD)[:-8],
        b"\xfd7zXZ\0" + bytes(100),
    ],
    ids=["empty", "text", "in a file", "in a header", "header", "gzip", "zstd", "xz"],
)
def test_a_broken_archive_is_refused(root: Path, layer: bytes) -> None:
    with pytest.raises(Invalid):
        run(root, layer)


names = st.lists(st.sampled_from(["a", "b", "..", "l"]), min_size=1, max_size=3).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
targets = st.sampled_from(["a", "b/l", "..", "../..", "/", "/tmp", "../outside"])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(names, kinds, targets), max_size=8))
def test_law_no_archive_writes_outside(tmp_path: Path, items: list[tuple[str, bytes, str]]) -> None:
    """The same archive of links, files and directories, whatever it is, stays inside."""
    world = tmp_path / os.urandom(8).hex()
    (world / "deep/root").mkdir(parents=True)
    (world / "outside").write_text("untouched")
    (world / "deep/outside").write_text("untouched")
    layer = tar(*(entry(name, kind, linkname=target) for name, kind, target in items))
    (world / "deep/layer").write_bytes(layer)
    descriptor = os.open(world / "deep/root", os.O_RDONLY)
    mask = os.umask(0o022)

    try:
        with (world / "deep/layer").open("rb") as source:
            unpack(source, descriptor)
    except Invalid:
        pass
    finally:
        os.close(descriptor)
        os.umask(mask)

    assert sorted(path.name for path in world.iterdir()) == ["deep", "outside"]
    assert sorted(path.name for path in (world / "deep").iterdir()) == ["layer", "outside", "root"]
    assert (world / "outside").read_text() == "untouched"
    assert (world / "deep/outside").stat().st_nlink == 1


def test_a_tar_without_its_last_padding_is_whole(root: Path) -> None:
    """Go programs that forget to close their archive write this; its content is all there."""
    layer = tar(("a", b"x" * 600))[: 512 + 600]

    mark = run(root, layer)

    assert (root / "a").read_bytes() == b"x" * 600
    assert mark.diff_id == f"sha256:{hashlib.sha256(layer).hexdigest()}"


def test_a_tar_that_lacks_one_byte_of_content_is_not(root: Path) -> None:
    with pytest.raises(Invalid, match="ends within 'a'"):
        run(root, tar(("a", b"x" * 600))[: 512 + 599])
