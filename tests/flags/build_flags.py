"""Flags of builds, and of what else is done with images."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swarm.api.v1 import builds_pb2 as pb
from swarm.api.v1 import images_pb2
from tests.flags.asking import asks, formatted, has, lines, prints
from tests.flags.lab import Lab
from tests.flags.table import OUTPUT, REQUEST, Proof, Row
from tests.swarmctl import answers


def _context(lab: Lab) -> str:
    directory = lab.directory / "context"
    directory.mkdir(exist_ok=True)
    (directory / "Dockerfile").write_text("FROM busy:1\n")
    (directory / "Other").write_text("FROM busy:2\n")
    return str(directory)


def _asked(flag: str, words: str, shown: Callable[[pb.BuildSpec], object], expected: object) -> Row:
    """A flag that is in what the builder is asked for."""

    def look(lab: Lab, _: str) -> None:
        def seen(*flags: str) -> object:
            ran = lab.run("build", *flags, _context(lab))
            assert ran.status == 0, ran.err
            return shown(lab.sent_of(pb.BuildImageRequest).spec)

        given = words.split()
        besides = given[2:] if flag == "--memory-swap" else []
        assert seen(*given) == expected
        assert seen(*besides) != expected

    return Row("build", flag, Proof(REQUEST, look))


def _dockerfile(lab: Lab, flag: str) -> None:
    directory = _context(lab)
    assert lab.run("build", flag, f"{directory}/Other", directory).status == 0
    assert lab.sent_of(pb.BuildImageRequest).spec.dockerfile == "Other"
    with tarfile.open(fileobj=io.BytesIO(lab.swarm.context)) as tar:
        assert sorted(tar.getnames()) == ["Dockerfile", "Other"]
    assert lab.run("build", directory).status == 0
    assert lab.sent_of(pb.BuildImageRequest).spec.dockerfile == "Dockerfile"


def _iidfile(lab: Lab, flag: str) -> None:
    path = lab.directory / "iid"
    assert lab.run("build", flag, str(path), _context(lab)).status == 0
    assert path.read_text() == "sha256:" + "b" * 64
    path.unlink()
    assert lab.run("build", _context(lab)).status == 0
    assert not path.exists()


def _quiet(lab: Lab, flag: str) -> None:
    lab.swarm.built = [pb.BuildImageResponse(text="Step 1/1 : FROM busy:1\n")]
    directory = _context(lab)
    assert lab.run("build", flag, directory).out == "sha256:" + "b" * 64 + "\n"
    assert lab.run("build", directory).out == "Step 1/1 : FROM busy:1\n"


BUILD: tuple[Row, ...] = (
    _asked("--add-host", "--add-host db:10.0.0.9", lambda s: list(s.extra_hosts), ["db:10.0.0.9"]),
    _asked("--build-arg", "--build-arg A=1", lambda s: dict(s.args), {"A": "1"}),
    _asked("--cache-from", "--cache-from app:1", lambda s: list(s.cache_from), ["app:1"]),
    _asked("--label", "--label a=b", lambda s: dict(s.labels), {"a": "b"}),
    _asked("--tag", "-t app:1 -t app:2", lambda s: list(s.tags), ["app:1", "app:2"]),
    _asked("--ulimit", "--ulimit nofile=1:2", lambda s: [u.hard for u in s.ulimits], [2]),
    _asked("--cpu-shares", "-c 512", lambda s: s.cpu_shares, 512),
    _asked("--cpu-period", "--cpu-period 50000", lambda s: s.cpu_period_us, 50000),
    _asked("--cpu-quota", "--cpu-quota 25000", lambda s: s.cpu_quota_us, 25000),
    _asked("--cpuset-cpus", "--cpuset-cpus 0", lambda s: s.cpuset_cpus, "0"),
    _asked("--cpuset-mems", "--cpuset-mems 0", lambda s: s.cpuset_mems, "0"),
    Row("build", "--file", Proof(REQUEST, _dockerfile)),
    _asked("--force-rm", "--force-rm", lambda s: s.force_remove, True),
    Row("build", "--iidfile", Proof(OUTPUT, _iidfile)),
    _asked("--memory", "-m 64m", lambda s: s.limits.memory_bytes, 64 << 20),
    _asked(
        "--memory-swap", "--memory-swap 96m -m 64m", lambda s: s.limits.swap_bytes, 32 << 20
    ),
    _asked("--network", "--network host", lambda s: s.network_mode, "host"),
    _asked("--no-cache", "--no-cache", lambda s: s.no_cache, True),
    _asked("--platform", "--platform linux/arm64", lambda s: s.platform, "linux/arm64"),
    _asked("--pull", "--pull", lambda s: s.pull, True),
    Row("build", "--quiet", Proof(OUTPUT, _quiet)),
    _asked("--rm", "--no-rm", lambda s: s.keep_intermediate, True),
    _asked("--shm-size", "--shm-size 1m", lambda s: s.shm_bytes, 1 << 20),
    _asked("--target", "--target first", lambda s: s.target, "first"),
)  # fmt: skip
_BUILDS: tuple[Row, ...] = tuple(row._replace(command="image build") for row in BUILD)


def _images(lab: Lab) -> None:
    lab.swarm.images = [
        answers.image("a" * 64, "docker.io/library/app:1"),
        answers.image("b" * 64),
    ]


def _pruned(flag: str, words: str, expected: object, *, rest: str) -> Row:
    return asks(
        "image prune", flag, words, images_pb2.PruneImagesRequest, lambda r: len(r.names),
        expected, rest=rest, given=_images,
    )  # fmt: skip


def _unasked(lab: Lab, flag: str) -> None:
    _images(lab)
    assert lab.run("image", "prune", flag).status == 0
    assert lab.swarm.asked(images_pb2.PruneImagesRequest)
    assert "Are you sure" in lab.run("image", "prune", stdin=b"n\n").err
    assert not lab.swarm.asked(images_pb2.PruneImagesRequest)


def _saved(lab: Lab, flag: str) -> None:
    path = Path(lab.directory) / "images.tar"
    assert lab.run("image", "save", flag, str(path), "app:1").raw == b""
    assert path.read_bytes() == b"an archive"
    assert lab.run("image", "save", "app:1").raw == b"an archive"


def _history(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    return prints("image history", flag, words, shown, expected, rest="app:1", given=_with_history)


def _with_history(lab: Lab) -> None:
    _images(lab)
    lab.swarm.history = [{"created": "2024-01-01T00:00:00Z", "created_by": "x" * 60}]
    lab.swarm.layer_bytes = [2_000_000]


IMAGES: tuple[Row, ...] = (
    prints("image push", "--quiet", "-q", has("digest:"), False, rest="app:1"),
    Row("image save", "--output", Proof(OUTPUT, _saved)),
    _pruned("--all", "-a", 2, rest="-f"),
    _pruned("--filter", "--filter until=900000000", 0, rest="-f"),
    Row("image prune", "--force", Proof(REQUEST, _unasked)),
    formatted("image history", "--format x{{.ID}}", "app:1", given=_with_history),
    _history("--human", "--no-human", has("2MB"), False),
    _history("--no-trunc", "--no-trunc", has("x" * 60), True),
    _history("--quiet", "-q", lambda ran: lines(ran)[0], "a" * 12),
)


def _cached(lab: Lab) -> None:
    lab.swarm.cached = [pb.BuildCacheRecord(id="c" * 64, description="x" * 70, last_used_at=1.0)]


def _forgets(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    return asks(
        "builder prune", flag, words, pb.PruneBuildCacheRequest, shown, expected, rest="-f",
        given=_cached,
    )  # fmt: skip


def _unasked_of_the_builder(lab: Lab, flag: str) -> None:
    _cached(lab)
    assert lab.run("builder", "prune", flag).status == 0
    assert lab.swarm.asked(pb.PruneBuildCacheRequest)
    assert "Are you sure" in lab.run("builder", "prune", stdin=b"n\n").err
    assert not lab.swarm.asked(pb.PruneBuildCacheRequest)


def _remembered(flag: str, words: str, shown: Callable[[Any], object], expected: object) -> Row:
    return prints("builder ls", flag, words, shown, expected, given=_cached)


BUILDER: tuple[Row, ...] = (
    formatted("builder ls", "--format x{{.ID}}", given=_cached),
    _remembered("--no-trunc", "--no-trunc", has("x" * 70), True),
    _remembered("--quiet", "-q", lambda ran: lines(ran)[0], "c" * 12),
    _forgets("--all", "-a", lambda r: r.all, True),
    _forgets("--filter", "--filter until=900000000", lambda r: r.unused_since, 900000000.0),
    _forgets("--keep-storage", "--keep-storage 1m", lambda r: r.keep_bytes, 1 << 20),
    Row("builder prune", "--force", Proof(REQUEST, _unasked_of_the_builder)),
)
ROWS: tuple[Row, ...] = (*_BUILDS, *IMAGES, *BUILDER)
