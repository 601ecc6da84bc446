"""`image` takes in, lists and removes this host's images."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from swarm.api.v1 import images_pb2
from swarm.errors import Invalid
from tests.swarmctl.answers import DIGEST, image
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def images(swarm: FakeSwarm) -> None:
    """Two images, one with two names."""
    swarm.images = [
        image("a" * 64, "docker.io/library/busybox:1", "localhost:5000/box:2"),
        image("b" * 64, "docker.io/me/app:3", age=5000),
    ]


def test_images_are_listed_by_name(socket: Path) -> None:
    lines = [each.split()[:3] for each in run(socket, "image", "ls").out.splitlines()]

    assert lines == [
        ["REPOSITORY", "TAG", "IMAGE"],
        ["busybox", "1", "a" * 12],
        ["localhost:5000/box", "2", "a" * 12],
        ["me/app", "3", "b" * 12],
    ]
    assert run(socket, "image", "ls", "-q", "--no-trunc", "busybox").out == f"sha256:{'a' * 64}\n"
    assert DIGEST in run(socket, "image", "ls", "--digests").out


def test_an_archive_is_loaded_from_a_file_or_from_standard_input(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x" * 1_000_000)

    ran = run(socket, "image", "load", "-i", str(archive))
    assert ran.out == "Loaded image: app:1\n"
    assert swarm.uploaded == b"x" * 1_000_000

    piped = subprocess.run(
        [sys.executable, "-m", "swarmctl.main", "-H", f"unix://{socket}", "image", "load"],
        input=b"y" * 3_000_000,
        capture_output=True,
        check=False,
    )
    assert (piped.stdout, piped.stderr) == (b"Loaded image: app:1\n", b"")
    assert swarm.uploaded == b"y" * 3_000_000


@pytest.mark.parametrize("path", ["/nonexistent.tar", "/tmp"])
def test_a_file_that_cannot_be_read_is_named(swarm: FakeSwarm, socket: Path, path: str) -> None:
    for words in (["load", "-i", path], ["import", path]):
        ran = run(socket, "image", *words)
        assert (ran.status, ran.out) == (1, "")
        assert ran.err.startswith(f"Error: {path}")
    assert swarm.requests == []


def test_a_broken_archive_is_the_agents_refusal(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    swarm.refuse("LoadImage", Invalid("layer 2 escapes the image: ../etc/passwd"))
    archive = tmp_path / "a.tar"
    archive.write_bytes(b"x" * 10)

    ran = run(socket, "image", "load", "-q", "-i", str(archive))

    assert (ran.status, ran.out) == (1, "")
    assert "../etc/passwd" in ran.err


def test_a_root_file_system_is_imported_with_changes(
    swarm: FakeSwarm, socket: Path, tmp_path: Path
) -> None:
    tar = tmp_path / "root.tar"
    tar.write_bytes(b"tar" * 1000)

    flags = ("-c", "CMD sh", "--change", "ENV A=1", "-m", "mine")
    ran = run(socket, "image", "import", *flags, str(tar), "box:1")

    assert ran.out == f"sha256:{'a' * 64}\n"
    [first] = swarm.asked(images_pb2.ImportImageRequest)
    assert (first.reference, first.message) == ("box:1", "mine")
    assert list(first.changes) == ["CMD sh", "ENV A=1"]
    assert swarm.uploaded == b"tar" * 1000


@pytest.mark.parametrize("words", [["http://x/y.tar"], ["/dev/null", "Bad:Name"]])
def test_an_import_that_makes_no_sense_sends_nothing(
    swarm: FakeSwarm, socket: Path, words: list[str]
) -> None:
    assert run(socket, "image", "import", *words).status == 1
    assert swarm.requests == []


def pulling(digest: str, status: str, current: int = 0) -> images_pb2.PullImageResponse:
    return images_pb2.PullImageResponse(
        layer=f"sha256:{digest * 64}", status=status, current_bytes=current, total_bytes=10
    )


def test_a_pull_tells_each_layers_news(
    swarm: FakeSwarm, socket: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    swarm.pulls = [
        pulling("a", "downloading", 1),
        pulling("a", "downloading", 9),
        pulling("b", "exists"),
        pulling("a", "done"),
        images_pb2.PullImageResponse(image=image("c" * 64)),
    ]

    ran = run(socket, "image", "pull", "busybox")

    assert ran.out.splitlines() == [
        "latest: Pulling from busybox",
        "aaaaaaaaaaaa: Downloading",
        "bbbbbbbbbbbb: Already exists",
        "aaaaaaaaaaaa: Pull complete",
        f"Digest: {DIGEST}",
        "Status: Downloaded newer image for busybox:latest",
        "docker.io/library/busybox:latest",
    ]
    [request] = swarm.asked(images_pb2.PullImageRequest)
    assert (request.reference, request.registry_auth) == ("docker.io/library/busybox:latest", "")
    quiet = run(socket, "image", "pull", "-q", "busybox")
    assert quiet.out == "docker.io/library/busybox:latest\n"


def test_a_name_that_cannot_be_is_not_pulled(swarm: FakeSwarm, socket: Path) -> None:
    assert "lower case" in run(socket, "image", "pull", "BusyBox").err
    assert swarm.requests == []


def test_an_image_is_inspected(socket: Path) -> None:
    [detail] = json.loads(run(socket, "image", "inspect", "busybox:1").out)

    assert detail["Id"] == f"sha256:{'a' * 64}"
    assert run(socket, "image", "inspect", "-f", "{{.Config.Cmd}}", "x").out == "[sh]\n"


def test_images_are_removed_and_tagged(swarm: FakeSwarm, socket: Path) -> None:
    assert run(socket, "image", "rm", "-f", "busybox:1").out == (
        "Untagged: busybox:1\nDeleted: sha256:abc\n"
    )
    assert run(socket, "image", "tag", "busybox:1", "other:2").status == 0
    assert run(socket, "image", "tag", "busybox:1", "Other").status == 1
    [tagged] = swarm.asked(images_pb2.TagImageRequest)
    assert (tagged.source, tagged.target) == ("busybox:1", "other:2")
