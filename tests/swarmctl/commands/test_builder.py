"""What the builder remembers is listed and forgotten."""

from pathlib import Path

import pytest

from swarm.api.v1 import builds_pb2 as pb
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run


@pytest.fixture(autouse=True)
def _steps(swarm: FakeSwarm) -> None:
    swarm.cached = [
        pb.BuildCacheRecord(
            id="a" * 64, description="/bin/sh -c make  all", size_bytes=5_000_000, uses=3,
            created_at=1.0, last_used_at=86_400.0,
        ),
        pb.BuildCacheRecord(id="b" * 64, description="COPY " + "x" * 80, shared=True, uses=1),
    ]  # fmt: skip


def test_what_it_remembers_is_listed(socket: Path) -> None:
    heading, first, second = run(socket, "builder", "ls").out.splitlines()

    assert heading.split("  ")[0] == "CACHE ID"
    assert first.split() == [
        "a" * 12, "5MB", "1970-01-02T00:00:00Z", "3", "false", "/bin/sh", "-c", "make", "all",
    ]  # fmt: skip
    assert second.endswith(f"true      COPY {'x' * 54}…")
    assert run(socket, "builder", "ls", "-q").out.split() == ["a" * 12, "b" * 12]
    assert "x" * 80 in run(socket, "builder", "ls", "--no-trunc").out


def test_it_forgets_after_asking(swarm: FakeSwarm, socket: Path) -> None:
    no = run(socket, "builder", "prune", stdin=b"n\n")
    assert not swarm.asked(pb.PruneBuildCacheRequest)
    yes = run(socket, "builder", "prune", stdin=b"y\n")

    assert "WARNING! This will remove all dangling build cache" in no.err + no.out
    assert yes.out.endswith(f"{'a' * 64}\n{'b' * 64}\n\nTotal reclaimed space: 5kB\n")
    assert swarm.asked(pb.PruneBuildCacheRequest) == [pb.PruneBuildCacheRequest()]


def test_it_forgets_what_is_asked_for(swarm: FakeSwarm, socket: Path) -> None:
    flags = ("-a", "--filter", "until=1970-01-02T00:00:00Z", "--keep-storage", "1MB")
    run(socket, "builder", "prune", "-f", *flags)
    run(socket, "builder", "prune", "-f", "--filter", "until=1970-01-01T00:00:00Z")

    first, second = swarm.asked(pb.PruneBuildCacheRequest)
    assert (first.all, first.unused_since) == (True, 86_400.0)
    assert first.keep_bytes == 1 << 20
    assert second.unused_since > 0  # which is nothing, and not all


def test_what_nobody_knows_is_refused(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "builder", "prune", "-f", "--filter", "id=x")

    assert ran.status == 1
    assert "unknown key 'id'" in ran.err
    assert not swarm.asked(pb.PruneBuildCacheRequest)
