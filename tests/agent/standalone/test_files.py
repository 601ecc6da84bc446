"""Files of containers go in and out as Docker's users expect, wherever the container stands."""

import bz2
import gzip
import json
import lzma
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import zstandard

from runtime.io import freezing
from runtime.io.hierarchies import host_layout
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import images_pb2
from swarm.specs import Mount, MountKind
from tests.agent.files import Files
from tests.agent.images.io.archives import entry, tar
from tests.agent.lone import LoneNode, create, lone_node, run
from tests.agent.node import wait_for
from tests.liveness import children

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

FOREVER = ("sleep", "1000000")
DIRECTORY, SYMLINK = 1 << 31, 1 << 27


class World:
    """A node, its containers, and the calls about files."""

    def __init__(self, node: LoneNode) -> None:
        self.node = node
        self.stub = node.start()
        self.files = Files(self.stub)

    def create(self, *args: str, **fields: object) -> str:
        return create(self.stub, *(args or FOREVER), **fields)

    def run(self, *args: str, **fields: object) -> str:
        return run(self.stub, *(args or FOREVER), **fields)

    def stop(self, container: str) -> None:
        self.stub.StopContainer(pb.StopContainerRequest(container=container, grace_s=0), timeout=30)

    def start(self, container: str) -> None:
        self.stub.StartContainer(pb.StartContainerRequest(container=container), timeout=30)

    def shell(self, script: str, **fields: object) -> str:
        """A container that has run `script` and goes on."""
        container = self.run("sh", "-c", f"{script}; touch /done; exec sleep 1000000", **fields)
        wait_for("it is done", lambda: "A /done" in self.files.diff(container), within_s=60)
        return container

    def actions(self, container: str) -> list[str]:
        """What was told of it until now, in that order."""
        request = pb.WatchNodeEventsRequest(since=1, until=time.time())
        events = self.stub.WatchNodeEvents(request, timeout=30)
        return [each.action for each in events if each.id == container]

    def inspect(self, image: str) -> dict[str, object]:
        request = images_pb2.InspectImageRequest(name=image)
        config: dict[str, object] = json.loads(self.node.images().InspectImage(request).config_json)
        return config


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with lone_node() as node:
        yield World(node)


@pytest.fixture(autouse=True)
def _nothing_is_left(world: World) -> Iterator[None]:
    yield
    for view in world.stub.ListContainers(pb.ListContainersRequest(), timeout=30).containers:
        request = pb.RemoveContainerRequest(container=view.id, force=True, volumes=True)
        world.stub.RemoveContainer(request, timeout=30)
    base = str(world.node.base)
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    assert not [line for line in mounts if base in line]
    wait_for("nobody is on an errand", lambda: not errands(world))


def errands(world: World) -> list[int]:
    """Processes that are on errands: children of the one that forks them."""
    assert world.node.agent is not None
    return [
        pid
        for child in children(world.node.agent.pid)
        if "standalone.io.forked" in _line(child)
        for pid in children(child)
    ]


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:  # it has ended
        return ""


def the_errand(world: World) -> int:
    """The process that is on the only errand."""
    wait_for("one is on its errand", lambda: len(errands(world)) == 1)
    return errands(world)[0]


def refused(code: str, part: str = "") -> object:
    return pytest.raises(grpc.RpcError, match=rf"(?s)StatusCode\.{code}.*{part}")


States = Callable[[World, str], str]


def running(world: World, container: str) -> str:
    world.start(container)
    return container


def stopped(world: World, container: str) -> str:
    world.start(container)
    world.stop(container)
    return container


def created(world: World, container: str) -> str:
    return container


states = pytest.mark.parametrize("state", [created, running, stopped])

TREE = tar(
    entry("t", tarfile.DIRTYPE, mode=0o1777),
    entry("t/d", tarfile.DIRTYPE),
    entry("t/d/sub", tarfile.DIRTYPE),
    (entry("t/d/sub/s", mtime=1000), b"s"),
    (entry("t/f", mode=0o4755, uid=7, gid=8, mtime=1000), b"file"),
    entry("t/h", tarfile.LNKTYPE, linkname="t/f"),
    entry("t/l", tarfile.SYMTYPE, linkname="d"),
    entry("t/dangling", tarfile.SYMTYPE, linkname="/t/nowhere"),
    entry("t/up", tarfile.SYMTYPE, linkname="../../../../etc/passwd"),
    entry("t/p", tarfile.FIFOTYPE),
    entry("t/null", tarfile.CHRTYPE, devmajor=1, devminor=3),
)


@states
def test_what_is_put_in_comes_out_as_it_was(world: World, state: States) -> None:
    container = state(world, world.create())

    world.files.write(container, "/", TREE)

    found = world.files.read(container, "/t")
    assert list(found) == [
        "t", "t/d", "t/d/sub", "t/d/sub/s", "t/dangling", "t/f", "t/h", "t/l", "t/null", "t/p",
        "t/up",
    ]  # fmt: skip
    file = found["t/f"]
    assert (file.mode, file.uid, file.gid, file.mtime, file.size) == (0o4755, 7, 8, 1000, 4)
    assert (found["t/h"].type, found["t/h"].linkname) == (tarfile.LNKTYPE, "t/f")
    assert found["t/up"].linkname == "../../../../etc/passwd"
    assert found["t/p"].type == tarfile.FIFOTYPE
    assert (found["t/null"].devmajor, found["t/null"].devminor) == (1, 3)
    assert found["t"].mode == 0o1777
    assert world.files.content(container, "/t/f") == b"file"


def test_paths_are_told_as_docker_tells_them(world: World) -> None:
    """These are the answers of Docker's own daemon."""
    container = world.create()
    world.files.write(container, "/", TREE)

    def told(path: str) -> tuple[str, int, str]:
        found = world.files.stat(container, path)
        return found.name, found.mode, found.link_target

    assert told("/") == ("/", DIRECTORY | 0o755, "")
    assert told("/t/") == ("t", DIRECTORY | 1 << 20 | 0o777, "")
    assert told("/t/.") == (".", DIRECTORY | 1 << 20 | 0o777, "")
    assert told("t/f") == told("../t/f") == told("/t/d/../f") == ("f", 1 << 23 | 0o755, "")
    assert told("/t/l") == ("l", SYMLINK | 0o777, "/t/d")
    assert told("/t/l/") == ("l", DIRECTORY | 0o755, "")
    assert told("/t/l/sub/s")[0] == "s"
    assert told("/t/dangling")[2] == "/t/nowhere"
    assert told("/t/up")[2] == "/etc/passwd"
    assert told("/t/p")[1] == 1 << 25 | 0o644
    assert told("/t/null")[1] == 1 << 26 | 1 << 21 | 0o644
    assert world.files.stat(container, "/t/f").size_bytes == 4
    assert world.files.stat(container, "/t/f").modified_at == 1000


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("/t/d", ["d", "d/sub", "d/sub/s"]),
        ("/t/d/", ["d", "d/sub", "d/sub/s"]),
        ("/t/d/.", [".", "./sub", "./sub/s"]),
        ("/t/l", ["l"]),
        ("/t/l/", ["l", "l/sub", "l/sub/s"]),
        ("/t/f", ["f"]),
        ("/t/d/sub/s", ["s"]),
    ],
)
def test_archives_begin_with_the_last_name_that_was_said(
    world: World, path: str, names: list[str]
) -> None:
    container = world.create()
    world.files.write(container, "/", TREE)

    assert list(world.files.read(container, path)) == names


def test_an_archive_of_the_root_begins_at_the_root(world: World) -> None:
    names = list(world.files.read(world.create(), "/"))

    assert names[0] == ""  # "/", but tarfile takes slashes away
    assert "/bin/busybox" in names


@pytest.mark.parametrize(
    ("path", "code", "part"),
    [
        ("/nothing", "NOT_FOUND", "Could not find the file /nothing in container files"),
        ("/nothing/below", "NOT_FOUND", "Could not find the file /nothing/below"),
        ("/etc/passwd/", "INVALID_ARGUMENT", "not a directory"),
        ("/etc/passwd/x", "INVALID_ARGUMENT", "not a directory"),
        ("/proc/self/fd/0/x", "NOT_FOUND", ""),
        ("", "INVALID_ARGUMENT", "cannot be empty"),
    ],
)
def test_what_is_not_there_is_said(world: World, path: str, code: str, part: str) -> None:
    world.run(name="files")

    with refused(code, part):
        world.files.stat("files", path)
    with refused(code, part):
        world.files.packed("files", path)


def test_archives_are_put_only_where_there_is_a_directory(world: World) -> None:
    container = world.create(name="files")
    world.files.write(container, "/", TREE)

    with refused("NOT_FOUND", "Could not find the file /nowhere in container files"):
        world.files.put("files", "/nowhere", x=b"")
    with refused("NOT_FOUND", "Could not find the file /t/dangling"):
        world.files.put("files", "/t/dangling", x=b"")
    with refused("INVALID_ARGUMENT", "extraction point is not a directory"):
        world.files.put("files", "/t/f", x=b"")
    world.files.put("files", "/t/l", through=b"a link")

    assert world.files.content(container, "/t/d/through") == b"a link"


def test_kinds_are_kept_only_if_that_is_asked(world: World) -> None:
    container = world.create()
    directory, file = tar(entry("x", tarfile.DIRTYPE)), tar(("x", b"file"))
    world.files.write(container, "/tmp", directory)

    with refused("INVALID_ARGUMENT", 'cannot overwrite directory "/tmp/x" with non-directory'):
        world.files.write(container, "/tmp", file, no_overwrite_dir_non_dir=True)
    world.files.write(container, "/tmp", file)
    with refused("INVALID_ARGUMENT", 'cannot overwrite non-directory "/tmp/x" with directory'):
        world.files.write(container, "/tmp", directory, no_overwrite_dir_non_dir=True)
    world.files.write(container, "/tmp", directory)

    assert world.files.stat(container, "/tmp/x").mode & DIRECTORY


def test_a_tree_that_is_replaced_goes_however_deep_it_is(world: World) -> None:
    """Of the image and of the container, which overlayfs would not let anybody move away."""
    container = world.shell(
        "cd /var; i=0; while [ $i -lt 1500 ]; do mkdir d; cd d; i=$((i+1)); done"
    )

    world.files.write(container, "/", tar(("var", b"a file")))

    assert world.files.content(container, "/var") == b"a file"
    assert "C /var" in world.files.diff(container)
    with refused("FAILED_PRECONDITION", "device or resource busy"):  # files are mounted there
        world.files.write(container, "/", tar(("etc", b"a file")))


def test_a_directory_is_filled_and_described_and_the_one_that_is_named_stays_as_it_is(
    world: World,
) -> None:
    container = world.create()
    world.files.put(container, "/tmp", **{"d/old": b"old"})

    world.files.write(
        container, "/tmp", tar(entry(".", tarfile.DIRTYPE, mode=0o700),
        entry("d", tarfile.DIRTYPE, mode=0o711, mtime=5), ("d/new", b"new")),
    )  # fmt: skip

    assert list(world.files.read(container, "/tmp/d")) == ["d", "d/new", "d/old"]
    assert world.files.stat(container, "/tmp/d").mode == DIRECTORY | 0o711
    assert world.files.stat(container, "/tmp/d").modified_at == 5
    assert world.files.stat(container, "/tmp").mode == DIRECTORY | 1 << 20 | 0o777


@pytest.mark.parametrize(
    "compress",
    [gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress],
    ids=["gzip", "bzip2", "xz", "zstd"],
)
def test_a_compressed_archive_is_unpacked(world: World, compress: Callable[[bytes], bytes]) -> None:
    container = world.create()

    world.files.write(container, "/tmp", compress(tar(("x", b"content"))))

    assert world.files.content(container, "/tmp/x") == b"content"


@pytest.mark.parametrize(
    ("archive", "part"),
    [
        (b"nonsense" * 200, "not a whole tar archive"),
        (gzip.compress(tar(("x", os.urandom(9000))))[:-9], "the archive ends too early"),
        (tar(("x", b"x" * 5000))[:1500], "ends within|unexpected end"),
        (tar(("../../evil", b"x")), r"\"../../evil\" is outside of \"/tmp\""),
        (tar(entry("x", tarfile.LNKTYPE, linkname="../../bin/busybox")), "is outside of"),
    ],
    ids=["nonsense", "cut gzip", "cut tar", "climbing", "climbing link"],
)
def test_a_bad_archive_is_refused(world: World, archive: bytes, part: str) -> None:
    container = world.create()

    with refused("INVALID_ARGUMENT", part):
        world.files.write(container, "/tmp", archive)


def test_an_empty_archive_changes_nothing(world: World) -> None:
    container = world.create()

    world.files.write(container, "/tmp", b"")
    world.files.write(container, "/tmp", tar())

    assert world.files.diff(container) == []


def test_a_copy_may_belong_to_the_containers_user(world: World) -> None:
    container = world.create(user="7:8")
    world.files.write(container, "/etc", tar(("passwd", b"me:x:1234:99::/:/bin/sh\n")))
    named = world.create(user="me")
    world.files.write(named, "/etc", tar(("passwd", b"me:x:1234:99::/:/bin/sh\n")))
    archive = tar((entry("x", uid=5, gid=6), b""))

    for each in (container, named):
        world.files.write(each, "/tmp", archive, copy_uid_gid=True)
    assert _owner(world.files.read(container, "/tmp/x")["x"]) == (7, 8)
    assert _owner(world.files.read(named, "/tmp/x")["x"]) == (1234, 99)
    world.files.write(container, "/tmp", archive)
    assert _owner(world.files.read(container, "/tmp/x")["x"]) == (5, 6)
    nobody = world.create(user="nobody-we-know")
    with refused("INVALID_ARGUMENT", "nobody-we-know"):
        world.files.write(nobody, "/tmp", archive, copy_uid_gid=True)


def _owner(info: tarfile.TarInfo) -> tuple[int, int]:
    return info.uid, info.gid


@states
def test_mounts_are_seen_and_written_to_wherever_the_container_stands(
    world: World, state: States, tmp_path: Path
) -> None:
    (tmp_path / "of-the-host").write_text("h")
    mounts = (
        Mount(source="data", target="/data"),
        Mount(source="read-only", target="/ro", read_only=True),
        Mount(kind=MountKind.BIND, source=str(tmp_path), target="/a/bind"),
        Mount(source="etc", target="/etc"),
    )
    container = state(world, world.create(name="mounted", mounts=mounts))

    world.files.put(container, "/data", x=b"volume")
    world.files.put(container, "/a/bind", y=b"bind")

    assert (tmp_path / "y").read_bytes() == b"bind"
    assert world.files.content(container, "/a/bind/of-the-host") == b"h"
    assert "etc/passwd" in world.files.read(container, "/etc")  # a volume has what the image has
    with refused("FAILED_PRECONDITION", "mounted volume is marked read-only"):
        world.files.put(container, "/ro", x=b"")
    assert world.files.diff(container) in ([], ["A /a", "A /a/bind", "A /data", "A /ro"])
    exported = world.files.export(container)
    assert "data/x" not in exported
    assert "etc/passwd" in exported
    other = world.create(mounts=(Mount(source="data", target="/elsewhere"),))
    assert world.files.content(other, "/elsewhere/x") == b"volume"
    for each in (container, other):
        request = pb.RemoveContainerRequest(container=each, force=True)
        world.stub.RemoveContainer(request, timeout=30)


@states
def test_a_read_only_container_is_not_written_to_but_its_volumes_are(
    world: World, state: States
) -> None:
    mounts = (Mount(target="/data"),)
    container = state(world, world.create(read_only=True, mounts=mounts))

    with refused("FAILED_PRECONDITION", "container rootfs is marked read-only"):
        world.files.put(container, "/tmp", x=b"")
    world.files.put(container, "/data", x=b"x")

    assert world.files.content(container, "/data/x") == b"x"


def test_memory_and_what_the_kernel_shows_are_read_while_the_container_runs(world: World) -> None:
    container = world.run(
        "sh", "-c", "echo in-memory >/dev/shm/x; exec sleep 1000000",
        mounts=(Mount(kind=MountKind.TMPFS, target="/mem"),),
    )  # fmt: skip
    world.files.put(container, "/mem", y=b"y")
    wait_for("it has written", lambda: _size(world, container, "/dev/shm/x") == 10)

    assert world.files.content(container, "/dev/shm/x") == b"in-memory\n"
    assert world.files.content(container, "/mem/y") == b"y"
    assert world.files.content(container, "/etc/hostname") == f"{container[:12]}\n".encode()
    assert world.files.diff(container) == ["A /mem"]


def test_names_that_no_encoding_has_come_out_as_they_went_in(world: World) -> None:
    names = [b"new\nline", b"\xff\xfe", "größe".encode(), b"n" * 255, b" ", b"\\"]
    archive = tar(*((entry(os.fsdecode(name)), b"x") for name in names))
    container = world.create()

    world.files.write(container, "/tmp", archive)

    found = world.files.read(container, "/tmp")
    assert {os.fsencode(each) for each in found} == {b"tmp", *(b"tmp/" + name for name in names)}
    assert len(world.files.diff(container)) == len(names) + 1


def test_a_tree_as_deep_as_paths_can_be_is_read_and_one_deeper_is_refused(world: World) -> None:
    container = world.run()
    deep = "/".join(["d" * 100] * 38)
    world.files.write(container, "/tmp", tar((f"{deep}/f", b"deep")))
    assert world.files.read(container, "/tmp")[f"tmp/{deep}/f"].size == 4

    shell = "cd /tmp; i=0; while [ $i -lt 60 ]; do mkdir e; cd e; mkdir " + "x" * 200
    script = f"{shell}; cd {'x' * 200}; i=$((i+1)); done; touch /done; exec sleep 1000000"
    deeper = world.run("sh", "-c", script)
    wait_for("it is done", lambda: _size(world, deeper, "/done") == 0, within_s=60)

    with refused("INVALID_ARGUMENT", "its path is too long"):
        world.files.packed(deeper, "/tmp")
    with refused("INVALID_ARGUMENT", "its path is too long"):
        world.files.commit(deeper)


def _size(world: World, container: str, path: str) -> int:
    """How many bytes are in a file; -1 where there is none."""
    try:
        return world.files.stat(container, path).size_bytes
    except grpc.RpcError:
        return -1


def test_holes_capabilities_and_many_names_of_one_file_survive(world: World) -> None:
    container = world.create(name="odd")
    capability = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
    headers = {"SCHILY.xattr.security.capability": os.fsdecode(capability)}
    archive = tar(
        (entry("capable", mode=0o755, pax_headers=headers), b"x"), ("big", bytes(20_000_000)),
    )  # fmt: skip

    world.files.write(container, "/tmp", archive)

    found = world.files.read(container, "/tmp")
    told = found["tmp/capable"].pax_headers["SCHILY.xattr.security.capability"]
    assert os.fsencode(told) == capability
    assert found["tmp/big"].size == 20_000_000
    upper = world.node.data_root / "agent/standalone" / container / "upper/tmp/capable"
    assert os.getxattr(upper, "security.capability") == capability


def test_sockets_are_left_out(world: World) -> None:
    container = world.create(mounts=(Mount(source="sockets", target="/s"),))
    world.files.put(container, "/s", x=b"")
    data = world.node.data_root / "agent/volumes/sockets/_data"
    with socket.socket(socket.AF_UNIX) as listening, contextlib_chdir(data):
        listening.bind("s")

    assert list(world.files.read(container, "/s")) == ["s", "s/x"]


class contextlib_chdir:  # noqa: N801
    """Be in a directory in the block."""

    def __init__(self, path: Path) -> None:
        self._path, self._before = path, Path.cwd()

    def __enter__(self) -> None:
        os.chdir(self._path)

    def __exit__(self, *_: object) -> None:
        os.chdir(self._before)


def test_a_difference_tells_what_was_added_changed_and_deleted(world: World) -> None:
    """As Docker tells it: a directory counts for what is in it, not for when it was touched."""
    container = world.shell(
        "mkdir -p /new/deep; echo x >/new/deep/f; rm -r /root; mkdir /root; echo n >/root/n;"
        " rm /etc/passwd; echo >>/etc/group; touch /tmp/x; rm /tmp/x; rm -r /var; touch /var;"
        " /bin/busybox mv /bin/yes /bin/no; /bin/busybox chmod 700 /bin"
    )

    assert world.files.diff(container) == [
        "C /bin", "A /bin/no", "D /bin/yes", "A /done", "C /etc", "C /etc/group", "D /etc/passwd",
        "A /new", "A /new/deep", "A /new/deep/f", "C /root", "A /root/n", "C /var",
    ]  # fmt: skip
    world.stop(container)
    assert "A /new/deep/f" in world.files.diff(container)
    assert world.files.diff(world.create()) == []
    assert world.files.diff(world.run()) == []


@states
def test_an_export_holds_the_whole_root_and_nothing_that_is_mounted(
    world: World, state: States
) -> None:
    container = state(world, world.create(mounts=(Mount(target="/data"),)))
    world.files.put(container, "/data", mounted=b"")
    world.files.put(container, "/tmp", own=b"own")

    exported = world.files.export(container)

    assert exported["tmp/own"].size == 3
    assert exported["bin/sh"].linkname == "busybox"
    assert not [name for name in exported if name.startswith(("data/", "proc/", "sys/", "/", "."))]


def test_an_export_is_imported_again(world: World) -> None:
    container = world.create()
    world.files.put(container, "/tmp", own=b"own")
    request = pb.ExportContainerRequest(container=container)
    chunks = [each.chunk for each in world.stub.ExportContainer(request, timeout=30)]

    imports = [images_pb2.ImportImageRequest(reference="back:1", changes=['CMD ["sleep", "9"]'])]
    imports += [images_pb2.ImportImageRequest(chunk=chunk) for chunk in chunks]
    world.node.images().ImportImage(iter(imports), timeout=30)

    again = world.run(*FOREVER, image="back:1")
    assert world.files.content(again, "/tmp/own") == b"own"


def test_an_image_of_a_container_has_its_changes_and_says_how_it_ran(world: World) -> None:
    container = world.shell(
        "echo made >/made; rm /etc/passwd",
        env=("X=1",), labels={"of": "container"}, workdir="/tmp", user="0",
        hostname="its-host", domainname="its.domain", exposed=("80/tcp",),
    )  # fmt: skip

    image_id = world.files.commit(
        container, reference="made:1", author="me", message="why", pause=True,
        changes=["ENV A=$X", 'CMD ["x"]', "ONBUILD RUN true", "EXPOSE 90", "HEALTHCHECK NONE"],
    )  # fmt: skip

    config = world.inspect("made:1")
    run = config["config"]
    assert isinstance(run, dict)
    assert set(run["Env"]) == {"X=1", "A=1", "PATH=/bin"}
    assert (run["Cmd"], run["OnBuild"], run["User"]) == (["x"], ["RUN true"], "0")
    assert (run["Hostname"], run["Domainname"]) == ("its-host", "its.domain")
    assert (run["WorkingDir"], run["Labels"]) == ("/tmp", {"of": "container"})
    assert run["ExposedPorts"] == {"80/tcp": {}, "90/tcp": {}}
    assert run["Healthcheck"] == {"Test": ["NONE"]}
    last = config["history"][-1]  # type: ignore[index]
    assert (last["author"], last["comment"]) == ("me", "why")
    assert last["created_by"].startswith("sh -c echo made")
    assert config["comment"] == "why"
    listed = world.node.images().ListImages(images_pb2.ListImagesRequest()).images
    image = next(each for each in listed if each.id == image_id)
    assert image.parent_id
    assert image.labels == {"of": "container"}
    again = world.run(*FOREVER, image="made:1")
    assert world.files.content(again, "/made") == b"made\n"
    with refused("NOT_FOUND"):
        world.files.stat(again, "/etc/passwd")
    assert world.files.diff(again) == []


def test_a_container_outlives_its_images_name_and_can_be_made_an_image(world: World) -> None:
    images = world.node.images()
    world.files.commit(world.create(), reference="brief:1")
    container = world.create(image="brief:1")
    world.files.put(container, "/tmp", x=b"kept")
    images.RemoveImage(images_pb2.RemoveImageRequest(name="brief:1", force=True), timeout=30)

    world.start(container)
    world.files.commit(container, reference="again:1")

    with refused("NOT_FOUND", "No such image: brief:1"):
        world.inspect("brief:1")
    assert world.files.content(world.create(image="again:1"), "/tmp/x") == b"kept"


def test_an_image_that_was_removed_under_a_container_goes_with_it(world: World) -> None:
    """Its content stays for the container alone, and nobody is shown it."""
    images, layers = world.node.images(), world.node.data_root / "agent/images/layers"
    container = world.create()
    world.files.put(container, "/tmp", alone=b"kept")
    before = set(layers.iterdir())
    gone = world.files.commit(container, reference="alone:1")
    made = set(layers.iterdir()) - before  # of others, some may be about to go
    assert made
    of_it = world.create(image="alone:1")
    images.RemoveImage(images_pb2.RemoveImageRequest(name="alone:1", force=True), timeout=30)
    listed = images.ListImages(images_pb2.ListImagesRequest(), timeout=30).images
    assert gone not in {each.id for each in listed}
    assert made <= set(layers.iterdir())

    request = pb.RemoveContainerRequest(container=of_it, force=True)
    world.stub.RemoveContainer(request, timeout=30)

    wait_for("its layer is gone", lambda: not made & set(layers.iterdir()))


def test_volumes_are_filled_once_whoever_looks_at_them_first(world: World) -> None:
    """Some look at the same time as the container starts; what one that was killed left goes."""
    volumes = world.node.data_root / "agent/volumes"
    for number in range(3):
        name = f"new{number}"
        container = world.create(mounts=(Mount(source=name, target="/etc"),))
        rubble = volumes / name / f"_data.filling-{container}-999999999"
        (rubble / "half").mkdir(parents=True)
        looking = [
            threading.Thread(target=world.files.stat, args=(container, "/etc/passwd"))
            for _ in range(4)
        ]
        for each in looking:
            each.start()
        world.start(container)
        for each in looking:
            each.join()

        assert sorted(path.name for path in (volumes / name).iterdir()) == ["_data", "volume.json"]
        assert world.files.stat(container, "/etc/passwd").size_bytes > 0


def test_a_commit_may_say_otherwise_in_dockers_own_words(world: World) -> None:
    container = world.create(env=("X=1", "Y=1"), workdir="/tmp")
    asked = {"Env": ["Y=2"], "Cmd": ["other"], "Labels": None, "Volumes": {"/v": {}}}

    world.files.commit(container, reference="said:1", config_json=json.dumps(asked).encode())

    run = world.inspect("said:1")["config"]
    assert isinstance(run, dict)
    assert sorted(run["Env"]) == ["PATH=/bin", "X=1", "Y=2"]
    assert (run["Cmd"], run["WorkingDir"], run["Volumes"]) == (["other"], "/tmp", {"/v": {}})


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"changes": ["RUN true"]}, "run is not a valid change command"),
        ({"changes": ["USER"]}, "USER requires exactly one argument"),
        ({"reference": "Bad:Name"}, "must be lower case"),
        ({"reference": "x@sha256:" + "0" * 64}, "cannot choose its digest"),
        ({"config_json": b"[]"}, "config: "),
    ],
)
def test_a_commit_that_cannot_be_is_refused_and_leaves_nothing(
    world: World, fields: dict[str, object], part: str
) -> None:
    container = world.create()
    before = world.node.images().ListImages(images_pb2.ListImagesRequest()).images

    with refused("INVALID_ARGUMENT", part):
        world.files.commit(container, **fields)

    assert world.node.images().ListImages(images_pb2.ListImagesRequest()).images == before


def test_a_commit_holds_the_container_still_and_lets_it_go_on(world: World) -> None:
    """Two files that grow together are as long as each other in the image."""
    script = "while :; do echo x >>/a; echo x >>/b; done"
    container = world.run("sh", "-c", script)
    wait_for("it writes", lambda: "A /b" in world.files.diff(container))

    for number in range(3):
        world.files.commit(container, reference=f"still:{number}", pause=True)
        image = world.create(image=f"still:{number}")
        sizes = [world.files.stat(image, path).size_bytes for path in ("/a", "/b")]
        assert 0 <= sizes[0] - sizes[1] <= 2

    before = world.files.stat(container, "/a").size_bytes
    wait_for("it goes on", lambda: world.files.stat(container, "/a").size_bytes > before)


def test_an_agent_that_dies_over_a_commit_leaves_nobody_held_still(world: World) -> None:
    """1. A container has much to be copied, and is held still for that.
    2. The agent is killed in the middle.
    3. The next one lets it go on, and there is no image, nor any of its content.
    """
    script = (
        "dd if=/dev/urandom of=/big bs=1M count=300 2>/dev/null; touch /done; while :; do :; done"
    )
    container = world.run("sh", "-c", script)
    wait_for("it has written", lambda: "A /done" in world.files.diff(container), within_s=60)

    def is_frozen() -> bool:
        return freezing.is_paused(host_layout(), f"{world.node.cgroup_parent}/{container}")

    def commit() -> None:
        with pytest.raises(grpc.RpcError):
            world.files.commit(container, reference="never:1", pause=True)

    committing = threading.Thread(target=commit)
    committing.start()
    wait_for("it is held still", is_frozen)

    world.stub = world.node.restart_agent(9)
    world.files = Files(world.stub)
    committing.join()

    wait_for("it goes on", lambda: not is_frozen())
    names = world.node.images().ListImages(images_pb2.ListImagesRequest()).images
    assert "never:1" not in [name for image in names for name in image.references]
    rubble = world.node.data_root / "agent/images/tmp"
    wait_for("nothing of it is left", lambda: not list(rubble.iterdir()))


def test_an_agent_that_is_killed_leaves_nobody_in_a_container(world: World) -> None:
    """Neither processes nor mounts, whoever was reading or writing at that moment."""
    container = world.create()
    world.files.put(container, "/tmp", big=os.urandom(8_000_000))
    reading = world.stub.ReadArchive(pb.ReadArchiveRequest(container=container, path="/tmp"))
    next(reading)
    pid = the_errand(world)
    namespace = Path(f"/proc/{pid}/ns/mnt").readlink()
    held = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY)  # or another one may get its number

    world.stub = world.node.restart_agent(9)
    world.files = Files(world.stub)

    try:
        wait_for("it has ended", lambda: not Path(f"/proc/{pid}").exists())
        found = {_namespace(each) for each in Path("/proc").iterdir() if each.name.isdecimal()}
        assert namespace not in found
    finally:
        os.close(held)
    assert world.files.stat(container, "/tmp/big").size_bytes == 8_000_000
    world.start(container)
    assert world.files.stat(container, "/tmp/big").size_bytes == 8_000_000


def _namespace(process: Path) -> Path | None:
    try:
        return (process / "ns/mnt").readlink()
    except OSError:
        return None


def test_whoever_is_slow_to_read_is_ended_with_his_call(world: World) -> None:
    container = world.create()
    world.files.put(container, "/tmp", big=os.urandom(8_000_000))
    reading = world.stub.ReadArchive(pb.ReadArchiveRequest(container=container, path="/tmp"))
    next(reading)

    reading.cancel()

    wait_for("nobody is on an errand", lambda: not errands(world))


def test_whoever_stops_writing_is_not_waited_for(world: World) -> None:
    container = world.create()
    hold = threading.Event()

    def requests() -> Iterator[pb.WriteArchiveRequest]:
        yield pb.WriteArchiveRequest(container=container, path="/nowhere")
        hold.wait(60)

    with refused("NOT_FOUND"):
        world.stub.WriteArchive(requests(), timeout=30)
    hold.set()


def test_much_that_nobody_wants_is_refused_in_words(world: World) -> None:
    """The errand ends long before all of it has been sent."""
    container = world.create(name="files")

    for _ in range(5):
        with refused("NOT_FOUND", "Could not find the file /nowhere in container"):
            world.files.put(container, "/nowhere", big=bytes(30_000_000))


def test_a_start_waits_for_who_writes_to_the_layer(world: World) -> None:
    """Two of overlayfs over one directory would not see what each other does."""
    container = world.create()
    archive = tar(("x", b"x" * 500_000))
    go_on, written = threading.Event(), list[str]()

    def requests() -> Iterator[pb.WriteArchiveRequest]:
        yield pb.WriteArchiveRequest(container=container, path="/tmp", chunk=archive[:200_000])
        go_on.wait(60)
        yield pb.WriteArchiveRequest(chunk=archive[200_000:])

    def write() -> None:
        world.stub.WriteArchive(requests(), timeout=60)
        written.append("written")

    def start() -> None:
        world.start(container)
        written.append("started")

    writing, starting = threading.Thread(target=write), threading.Thread(target=start)
    writing.start()
    wait_for("it is being written to", lambda: bool(errands(world)))
    starting.start()
    starting.join(0.3)
    assert written == [], "it waits"
    go_on.set()
    writing.join()
    starting.join()

    assert sorted(written) == ["started", "written"]
    told = world.actions(container)
    assert told.index("extract-to-dir") < told.index("start")
    assert world.files.stat(container, "/tmp/x").size_bytes == 500_000


def test_links_that_move_while_a_path_is_followed_lead_nowhere_else(world: World) -> None:
    """A container swaps a directory for a link to the host's own place of secrets, all the time.

    Whoever copies in and out at the same time finds the container's files, or nothing.
    """
    secret = world.node.base / "secret"
    secret.write_text("the host's")
    target = os.path.relpath(secret.parent, "/tmp/swap")
    script = (
        f"mkdir -p /d; echo mine >/d/secret; cd /tmp; mkdir swap; echo mine >swap/secret;"
        f" while :; do /bin/busybox ln -sfn {target} link; /bin/busybox mv -T link swap2;"
        " /bin/busybox ln -sfn /d link; /bin/busybox mv -T link swap2; done"
    )
    container = world.run("sh", "-c", script)
    wait_for("it swaps", lambda: _is_linked(world, container))

    for _ in range(15):
        try:
            assert world.files.content(container, "/tmp/swap2/secret") == b"mine\n"
        except grpc.RpcError as err:
            assert err.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017
        try:
            world.files.put(container, "/tmp/swap2", planted=b"x")
        except grpc.RpcError as err:
            assert err.code() is grpc.StatusCode.NOT_FOUND  # noqa: PT017
    assert not (secret.parent / "planted").exists()
    assert secret.read_text() == "the host's"


def _is_linked(world: World, container: str) -> bool:
    try:
        return bool(world.files.stat(container, "/tmp/swap2").link_target)
    except grpc.RpcError:
        return False


def test_nothing_of_the_container_is_loaded_or_run(world: World) -> None:
    """Modules, libraries and programs lie where the errand's own would be looked for."""
    planted = "import os; open('/loaded','w').write('x')"
    root = Path(__file__).parents[3]
    names = [
        f"{root}/agent/__init__.py", f"{root}/encodings/__init__.py", "/tmp/tarfile.py",
        "/usr/lib/python3.11/lzma.py", "/etc/ld.so.preload",
    ]  # fmt: skip
    container = world.run()
    world.files.write(
        container, "/", tar(*((name.lstrip("/"), planted.encode()) for name in names))
    )

    world.files.write(container, "/tmp", lzma.compress(tar(("x", b"x"))))
    world.files.packed(container, "/tmp")

    assert not [line for line in world.files.diff(container) if "/loaded" in line]


def test_an_errand_has_few_rights_and_nobody_looks_into_it(world: World) -> None:
    container = world.run()
    hold = threading.Event()

    def requests() -> Iterator[pb.WriteArchiveRequest]:
        yield pb.WriteArchiveRequest(container=container, path="/tmp", chunk=tar(("x", b""))[:512])
        hold.wait(60)

    call = world.stub.WriteArchive.future(requests())
    pid = the_errand(world)
    status = Path(f"/proc/{pid}/status")

    def rights() -> dict[str, str]:
        lines = (line.partition(":") for line in status.read_text().splitlines())
        return {name: value.strip() for name, _, value in lines}

    few = f"{0x8800001F:016x}"
    wait_for("it has given up its rights", lambda: rights()["CapEff"] == few)

    found = rights()
    assert found["NoNewPrivs"] == "1"
    assert found["CapEff"] == found["CapPrm"] == few
    assert Path(f"/proc/{pid}/ns/mnt").readlink() != Path("/proc/self/ns/mnt").readlink()
    request = pb.InspectContainerRequest(container=container)
    first = world.stub.InspectContainer(request, timeout=30).container.pid
    roots = [Path(f"/proc/{each}/root").stat() for each in (pid, first)]
    assert (roots[0].st_dev, roots[0].st_ino) == (roots[1].st_dev, roots[1].st_ino)
    hold.set()
    call.cancel()
    wait_for("nobody is on an errand", lambda: not errands(world))


def test_ids_are_those_that_the_container_sees() -> None:
    """In a user namespace, whether the container runs or not; so they are in its image."""
    with lone_node() as node:
        ids = [{"containerID": 0, "hostID": 100_000, "size": 65_536}]
        node.configure(user_namespace={"uids": ids, "gids": ids})
        world = World(node)
        for state in (created, running, stopped):
            container = state(world, world.create(mounts=(Mount(source="data", target="/data"),)))
            for path in ("/tmp", "/data"):
                archive = tar((entry("x", uid=5, gid=6), b"x"), (entry("root"), b""))
                world.files.write(container, path, archive)
                assert _owner(world.files.read(container, f"{path}/x")["x"]) == (5, 6)
            assert _owner(world.files.export(container)["bin/busybox"]) == (0, 0)
            assert world.files.diff(container)[-2:] == ["A /tmp/root", "A /tmp/x"]
            upper = node.data_root / "agent/standalone" / container / "upper/tmp/x"
            assert (upper.stat().st_uid, upper.stat().st_gid) == (100_005, 100_006)
            data = node.data_root / "agent/volumes/data/_data/x"
            assert (data.stat().st_uid, data.stat().st_gid) == (5, 6)
            world.files.commit(container, reference="mapped:1")
            request = images_pb2.InspectImageRequest(name="mapped:1")
            (*_, top) = node.images().InspectImage(request).layer_directories
            assert (Path(top) / "tmp/x").stat().st_uid == 5
            again = world.create(image="mapped:1")
            assert _owner(world.files.read(again, "/tmp/x")["x"]) == (5, 6)


def test_dockers_own_events_are_told(world: World) -> None:
    container = world.create()
    world.files.put(container, "/tmp", x=b"")
    world.files.packed(container, "/tmp/x")
    world.files.export(container)
    image_id = world.files.commit(container, message="m", reference="docker.io/library/told:1")

    request = pb.WatchNodeEventsRequest(since=1, until=4_000_000_000)
    events = world.stub.WatchNodeEvents(request, timeout=30)
    told, names = [], []
    for event in events:
        if event.id == image_id:
            names.append((event.action, event.attributes["name"]))
        if event.id == container:
            told.append(event.action)
        if event.action == "commit" and event.id == container:
            break

    assert told[-4:] == ["extract-to-dir", "archive-path", "export", "commit"]
    assert names == [("tag", "told:1")]
