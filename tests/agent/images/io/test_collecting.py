"""What a container wrote becomes a layer that says exactly that, and packs the same every time."""

import io
import os
import shutil
import socket
import stat
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.images.answers import TREE, Collecting, Mark
from agent.images.differences import Difference
from agent.images.io.collecting import collect, compare, compress, pack
from agent.images.io.unpack import unpack
from runtime.oci.config import IdMapping
from swarm.errors import Invalid

pytestmark = pytest.mark.kernel  # overlayfs, owners and trusted attributes need root

LETTERS = {Difference.ADDED: "A", Difference.MODIFIED: "C", Difference.DELETED: "D"}


class Overlay:
    """A layer, what a container wrote on top of it, and both as the container sees them."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.lower, self.upper, self.work, self.merged = (
            base / name for name in ("lower", "upper", "work", "merged")
        )
        for each in (self.lower, self.upper, self.work, self.merged):
            each.mkdir()

    @contextmanager
    def mounted(self, *lower: Path) -> Iterator[Path]:
        below = ":".join(str(each) for each in lower or (self.lower,))
        options = f"lowerdir={below},upperdir={self.upper},workdir={self.work}"
        subprocess.run(
            ["mount", "-t", "overlay", "swarmtest", "-o", options, str(self.merged)], check=True
        )
        try:
            yield self.merged
        finally:
            subprocess.run(["umount", str(self.merged)], check=True)

    def asked(self, **fields: object) -> Collecting:
        return Collecting(upper=str(self.upper), below=(str(self.lower),), **fields)

    def changes(self, **fields: object) -> list[str]:
        found = compare(self.asked(**fields))
        return [f"{LETTERS[each.kind]} {os.fsdecode(each.path)}" for each in found]

    def collected(self, name: str = "layer", **fields: object) -> tuple[Path, Mark]:
        target = self.base / name
        target.mkdir()
        mark = collect(self.asked(**fields), target, is_durable=False)
        return target / TREE, mark


@pytest.fixture
def overlay(tmp_path: Path) -> Overlay:
    return Overlay(tmp_path)


def packed(tree: Path) -> bytes:
    raw = io.BytesIO()
    pack(tree, raw)
    return raw.getvalue()


def shown(root: Path) -> dict[str, tuple[int, int, object]]:
    """Everything below `root`, as far as an image can tell it."""
    found: dict[str, tuple[int, int, object]] = {}
    for directory, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = Path(directory, name)
            status = path.lstat()
            content: object = ""
            if stat.S_ISREG(status.st_mode):
                content = path.read_bytes()
            elif stat.S_ISLNK(status.st_mode):
                content = str(path.readlink())
            found[str(path.relative_to(root))] = (status.st_mode, status.st_rdev, content)
    return found


PATHS = ("a", "a/a", "a/b", "a/b/c", "b", "c", "c/a", "c/a/b", "c/b")
KINDS = ("write", "make", "renew", "remove", "rename", "chmod", "symlink", "link", "fifo")
paths = st.sampled_from(PATHS)
steps = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        paths,
        paths,
    ),
    max_size=12,
)


def do(root: Path, step: tuple[str, str, str]) -> None:
    """One thing that a container may do; what cannot be done is not."""
    kind, one, other = step
    path = root / one
    with suppress(OSError):
        match kind:
            case "write" if not path.is_fifo():
                with path.open("ab") as file:
                    file.write(other.encode())
            case "make":
                path.mkdir()
            case "renew" if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
                path.mkdir()
            case "remove" if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            case "remove":
                path.unlink()
            case "rename":
                path.rename(root / other)
            case "chmod" if not path.is_symlink():
                path.chmod(0o700 if path.is_dir() else 0o600)
            case "symlink":
                path.symlink_to(other)
            case "link":
                (root / other).hardlink_to(path)
            case "fifo":
                os.mkfifo(path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(steps, steps)
def test_law_a_layer_says_what_a_container_did(
    before: list[tuple[str, str, str]], during: list[tuple[str, str, str]]
) -> None:
    """1. A container does anything to a layer.
    2. The difference names all that is another than before, and what it says is gone is gone.
    3. Copied or moved, packed, unpacked and packed again it is the same layer.
    4. That layer, on top of the first one, shows what the container saw in the end.
    """
    with tempfile.TemporaryDirectory() as base:
        overlay = Overlay(Path(base))
        for name in ("a/b", "c/a"):
            (overlay.lower / name).mkdir(parents=True)
        for file in ("a/a", "a/b/c", "b", "c/a/b"):
            (overlay.lower / file).write_text("before")
        for step in before:
            do(overlay.lower, step)
        was = shown(overlay.lower)
        with overlay.mounted() as merged:
            for step in during:
                do(merged, step)
            now = shown(merged)

        changes = overlay.changes()
        tree, mark = overlay.collected()
        again, same = overlay.collected("again", take=True)

        told = {line[2:].removeprefix("/"): line[0] for line in changes}
        gone = was.keys() - now.keys()
        assert {path for path in now if now[path] != was.get(path)} <= told.keys()
        assert {path for path, kind in told.items() if kind == "D"} <= gone
        assert {path for path in gone if _is_in_a_directory(path, now)} <= told.keys()
        assert {path for path, kind in told.items() if kind == "A"} <= now.keys() - was.keys()
        assert same == mark
        assert len(packed(tree)) == mark.tar_bytes
        assert packed(again) == packed(tree)
        unpacked = _unpacked(overlay.base, packed(tree))
        assert packed(unpacked) == packed(tree)
        for name in ("upper", "work"):
            shutil.rmtree(overlay.base / name, ignore_errors=True)
            (overlay.base / name).mkdir()
        with overlay.mounted(unpacked, overlay.lower) as merged:
            assert shown(merged) == now


def _is_in_a_directory(path: str, now: dict[str, tuple[int, int, object]]) -> bool:
    above = path.rpartition("/")[0]
    return not above or (above in now and stat.S_ISDIR(now[above][0]))


def _unpacked(base: Path, layer: bytes) -> Path:
    tree = base / "unpacked"
    tree.mkdir()
    mask, root = os.umask(0), os.open(tree, os.O_RDONLY)
    try:
        unpack(io.BytesIO(layer), root)
    finally:
        os.close(root)
        os.umask(mask)
    return tree


def test_a_directory_that_was_made_anew_hides_what_it_held(overlay: Overlay) -> None:
    (overlay.lower / "d/deep").mkdir(parents=True)
    (overlay.lower / "d/old").write_text("")
    (overlay.lower / "d/same").write_text("")
    with overlay.mounted() as merged:
        shutil.rmtree(merged / "d")
        (merged / "d").mkdir()
        (merged / "d/same").write_text("anew")

    assert overlay.changes() == ["C /d", "D /d/deep", "D /d/old", "C /d/same"]
    tree, _ = overlay.collected()
    assert set(shown(_unpacked(overlay.base, packed(tree)))) == {"d", "d/same"}
    with tarfile.open(fileobj=io.BytesIO(packed(tree))) as found:
        assert found.getnames() == ["d", "d/.wh..wh..opq", "d/same"]


def test_what_the_runtime_put_there_is_no_change(overlay: Overlay) -> None:
    """Where it mounts something over, there is an empty file or directory, and its parents."""
    (overlay.lower / "etc").mkdir()
    with overlay.mounted() as merged:
        (merged / "etc/hosts").write_text("")
        (merged / "etc/resolv.conf").write_text("a container may write one itself")
        (merged / "proc").mkdir()
        (merged / "run/secrets").mkdir(parents=True)

    ignored = ("/etc/hosts", "/etc/resolv.conf", "/proc", "/run/secrets")

    assert overlay.changes(ignored=ignored) == ["C /etc", "A /etc/resolv.conf"]
    tree, _ = overlay.collected(ignored=ignored)
    assert set(shown(tree)) == {"etc", "etc/resolv.conf"}
    assert "etc/hosts" in shown(overlay.upper)


def test_a_directory_that_was_only_touched_is_no_change(overlay: Overlay) -> None:
    (overlay.lower / "tmp/deep").mkdir(parents=True)
    with overlay.mounted() as merged:
        (merged / "tmp/deep/x").write_text("")
        (merged / "tmp/deep/x").unlink()

    assert overlay.changes() == []
    assert shown(overlay.collected()[0]) == {}


def test_ids_are_the_containers(overlay: Overlay) -> None:
    (overlay.lower / "etc").mkdir()
    (overlay.upper / "etc").mkdir()
    (overlay.upper / "x").write_text("")
    (overlay.upper / "y").write_text("")
    (overlay.upper / "x").chmod(0o4755)
    for name, uid in (("etc", 1000), ("x", 1005), ("y", 5)):
        os.chown(overlay.upper / name, uid, uid)
    (overlay.upper / "x").chmod(0o4755)
    ids = (IdMapping(container_id=0, host_id=1000, size=10),)

    assert overlay.changes(uids=ids, gids=ids) == ["A /x", "A /y"]
    tree, _ = overlay.collected(uids=ids, gids=ids, take=True)

    assert ((tree / "x").stat().st_uid, (tree / "y").stat().st_uid) == (5, 65534)
    assert (tree / "x").stat().st_mode & 0o7777 == 0o4755
    assert not overlay.upper.exists()


def test_holes_stay_holes_and_attributes_stay(overlay: Overlay) -> None:
    with (overlay.upper / "sparse").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(b"in the middle")
    capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    (overlay.upper / "ping").write_text("")
    os.setxattr(overlay.upper / "ping", "security.capability", capability)
    os.setxattr(overlay.upper / "ping", "user.note", b"\xff\0=")
    os.setxattr(overlay.upper / "ping", "trusted.overlay.origin", b"of this host")

    tree, mark = overlay.collected()

    assert (tree / "sparse").stat().st_blocks * 512 < 1 << 20
    assert mark.size_bytes == 1 << 30
    assert os.getxattr(tree / "ping", "security.capability") == capability
    assert sorted(os.listxattr(tree / "ping")) == ["security.capability", "user.note"]


def test_many_names_of_one_file_are_one_file(overlay: Overlay) -> None:
    (overlay.upper / "d").mkdir()
    (overlay.upper / "z").write_bytes(b"x" * 5000)
    (overlay.upper / "d/y").hardlink_to(overlay.upper / "z")

    tree, mark = overlay.collected()

    assert (tree / "z").stat().st_ino == (tree / "d/y").stat().st_ino
    assert mark.size_bytes == 5000
    with tarfile.open(fileobj=io.BytesIO(packed(tree))) as found:
        assert [(each.name, each.linkname) for each in found][1:] == [("d/y", ""), ("z", "d/y")]


def test_sockets_are_left_out(overlay: Overlay) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(overlay.upper / "s"))

    assert overlay.changes() == ["A /s"]
    assert shown(overlay.collected(take=True)[0]) == {}


def test_names_that_no_encoding_has_are_kept(overlay: Overlay) -> None:
    name = os.fsdecode(b"\xff\n\\ ")
    (overlay.upper / name).write_text("")

    tree, _ = overlay.collected()

    assert list(shown(tree)) == [name]
    with tarfile.open(fileobj=io.BytesIO(packed(tree)), errors="surrogateescape") as found:
        assert found.getnames() == [name]


def test_a_name_that_means_a_deletion_to_everybody_is_refused(overlay: Overlay) -> None:
    (overlay.upper / ".wh.x").write_text("")

    with pytest.raises(Invalid, match=r"cannot hold names that begin with \.wh\."):
        overlay.collected()


@pytest.mark.parametrize("plain", [True, False])
def test_a_layer_is_compressed_the_same_from_its_tree_and_from_its_blob(
    overlay: Overlay, plain: bool
) -> None:
    (overlay.upper / "x").write_bytes(os.urandom(10_000) * 20)
    tree, _ = overlay.collected()
    (overlay.base / "blob").write_bytes(packed(tree))
    source = overlay.base / "blob" if plain else tree

    made = compress(source, overlay.base / "one")
    again = compress(tree, overlay.base / "two")

    assert made == again
    assert made.size == (overlay.base / "one").stat().st_size
    gunzip = subprocess.run(["gzip", "-dc", overlay.base / "one"], check=True, capture_output=True)
    assert gunzip.stdout == packed(tree)
