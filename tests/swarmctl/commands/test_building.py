"""`build` sends what a build needs and nothing else, and shows what comes of it."""

import io
import tarfile
from pathlib import Path

import pytest

from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "sub").mkdir(parents=True)
    (directory / "Dockerfile").write_text("FROM busy:1\n")
    (directory / "kept").write_text("k" * 1000)
    (directory / "sub" / "secret").write_text("s")
    (directory / "sub" / "public").write_text("p")
    (directory / "link").symlink_to("/etc/passwd")
    return directory


def sent(swarm: FakeSwarm) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(swarm.context)) as tar:
        return {entry.name: entry for entry in tar}


def test_a_directory_is_sent_without_what_it_ignores(
    swarm: FakeSwarm, socket: Path, context: Path
) -> None:
    (context / ".dockerignore").write_text("sub\n!sub/public\nDockerfile\n.dockerignore\n")

    ran = run(socket, "build", str(context))

    assert ran.status == 0, ran.err
    entries = sent(swarm)
    assert sorted(entries) == [".dockerignore", "Dockerfile", "kept", "link", "sub/public"]
    assert entries["link"].linkname == "/etc/passwd"
    assert {(each.uid, each.gid) for each in entries.values()} == {(0, 0)}


def test_an_ignore_file_of_the_dockerfiles_own_comes_first(
    swarm: FakeSwarm, socket: Path, context: Path
) -> None:
    (context / ".dockerignore").write_text("kept\n")
    (context / "Dockerfile.dockerignore").write_text("sub\nlink\n")

    run(socket, "build", str(context))

    assert "kept" in sent(swarm)
    assert "sub/secret" not in sent(swarm)


def test_a_dockerfile_from_elsewhere_travels_as_text(
    swarm: FakeSwarm, socket: Path, context: Path, tmp_path: Path
) -> None:
    (tmp_path / "Elsewhere").write_text("FROM other:1\n")

    run(socket, "build", "-f", str(tmp_path / "Elsewhere"), str(context))

    (asked,) = swarm.asked(pb.BuildImageRequest)
    assert asked.spec.dockerfile_text == "FROM other:1\n"


def test_standard_input_is_a_dockerfile_or_a_tar(
    swarm: FakeSwarm, socket: Path, context: Path
) -> None:
    run(socket, "build", "-", stdin=b"FROM busy:1\n")
    assert swarm.asked(pb.BuildImageRequest)[-1].spec.dockerfile_text == "FROM busy:1\n"

    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.add(context, ".")
    run(socket, "build", "-", stdin=raw.getvalue())
    assert swarm.context == raw.getvalue()
    assert swarm.asked(pb.BuildImageRequest)[-1].spec.dockerfile_text == ""


def test_a_url_is_fetched_by_the_builder(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "build", "https://example.org/context.tar")

    assert swarm.asked(pb.BuildImageRequest)[0].spec.remote == "https://example.org/context.tar"
    assert swarm.context == b""


def test_what_the_builder_says_is_printed_where_it_belongs(
    swarm: FakeSwarm, socket: Path, context: Path
) -> None:
    swarm.built = [
        pb.BuildImageResponse(text="Step 1/1 : FROM busy:1\n"),
        pb.BuildImageResponse(layer="sha256:" + "a" * 64, status="downloading"),
        pb.BuildImageResponse(text="oops\n", is_error_output=True),
    ]

    ran = run(socket, "build", str(context))

    assert ran.out == "Step 1/1 : FROM busy:1\naaaaaaaaaaaa: Downloading\n"
    assert ran.err == "oops\n"


def test_a_build_that_fails_says_why(swarm: FakeSwarm, socket: Path, context: Path) -> None:
    swarm.refuse("BuildImage", Invalid("line 1: unknown instruction: FORM", hint="write FROM"))

    ran = run(socket, "build", str(context))

    assert (ran.status, ran.out) == (1, "")
    assert ran.err == "Error: line 1: unknown instruction: FORM\nHint: write FROM\n"


def test_a_large_context_is_sent_whole(swarm: FakeSwarm, socket: Path, context: Path) -> None:
    """More than fits in any window, so that both sides have to take turns."""
    (context / "large").write_bytes(b"l" * (20 << 20))

    assert run(socket, "build", "-q", str(context)).status == 0
    assert sent(swarm)["large"].size == 20 << 20


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("nowhere",), "nowhere is not a directory"),
        (("-f", "Other", "."), "Other: there is no such Dockerfile"),
        (("-f", "-", "-"), "standard input cannot be both"),
        (("--build-arg", "=x", "."), "has no name"),
        (("--memory-swap", "1m", "."), "counts memory, too"),
    ],
)
def test_what_cannot_be_built_is_refused_and_not_sent(
    swarm: FakeSwarm,
    socket: Path,
    context: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    reason: str,
) -> None:
    monkeypatch.chdir(context)

    ran = run(socket, "build", *words)

    assert ran.status == 1
    assert reason in ran.err
    assert not swarm.asked(pb.BuildImageRequest)
