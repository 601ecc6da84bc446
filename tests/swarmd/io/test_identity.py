"""A node joins a real port, and keeps its certificate valid."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

import pytest
import structlog

from swarm.certificates import subject_of
from swarm.errors import Invalid, Refused, SwarmError, Unavailable
from swarm.io.identity import IdentityFiles
from swarm.specs import Availability, Role
from swarmd.io.identity import Joined, join, keep_valid, renew
from tests.trust import DAY_S, Swarm, serving


async def _join(address: str, token: str, files: IdentityFiles) -> Joined:
    return await join(
        address,
        token,
        files=files,
        hostname="host1",
        availability=Availability.ACTIVE,
        now=time.time,
        random=SystemRandom(),
    )


def _mixed(ours: Swarm, other: Swarm) -> str:
    return f"{ours.token().rpartition('-')[0]}-{other.token().rpartition('-')[2]}"


async def _until(is_true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_true():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("role", Role)
def test_a_pasted_token_is_all_that_joining_takes(tmp_path: Path, role: Role) -> None:
    swarm, files = Swarm(time.time()), IdentityFiles(tmp_path)

    async def main() -> Joined:
        async with serving(swarm) as (address, _):
            return await _join(address, swarm.token(role), files)

    joined = asyncio.run(main())
    assert joined.subject.role is role
    assert joined.subject.cluster_id == swarm.cluster.id
    assert joined.identity.root == swarm.cluster.root_certificate
    assert joined.managers == ("10.0.0.1:2377",)
    assert files.load() is None


def test_a_joiner_that_died_before_it_was_done_becomes_the_same_node(tmp_path: Path) -> None:
    """The answer may be lost anywhere between the manager's commit and our disk.

    1. The first attempt enrolls; we die before anything is kept.
    2. The second attempt asks with the same key and is given the same node.
    3. We die after installing, before the membership is committed: still the same node.
    """
    swarm = Swarm(time.time())

    async def main() -> tuple[Joined, Joined, Joined]:
        async with serving(swarm) as (address, _):
            first = await _join(address, swarm.token(), IdentityFiles(tmp_path))
            second = await _join(address, swarm.token(), IdentityFiles(tmp_path))
            IdentityFiles(tmp_path).install(second.identity)
            return first, second, await _join(address, swarm.token(), IdentityFiles(tmp_path))

    assert len({each.subject.node_id for each in asyncio.run(main())}) == 1


def test_nodes_that_share_a_token_are_different_nodes(tmp_path: Path) -> None:
    swarm = Swarm(time.time())

    async def main() -> set[str]:
        async with serving(swarm) as (address, _):
            found: set[str] = set()
            for number in range(3):
                joined = await join(
                    address,
                    swarm.token(),
                    files=IdentityFiles(tmp_path / str(number)),
                    hostname="h",
                    availability=Availability.ACTIVE,
                    now=time.time,
                    random=Random(number),
                )
                found.add(joined.subject.node_id)
            return found

    assert len(asyncio.run(main())) == 3


@pytest.mark.parametrize(
    ("token", "kind", "reason"),
    [
        (lambda ours, other: "SWMTKN-1-abc", Invalid, "token: has 1 parts"),
        (lambda ours, other: other.token(), Refused, "another swarm than the token"),
        (_mixed, Refused, "join token refused"),
    ],
    ids=["malformed", "other swarm", "wrong secret"],
)
def test_a_bad_token_is_refused_and_leaves_no_identity(
    tmp_path: Path, token, kind: type[SwarmError], reason: str
) -> None:
    ours, other, files = Swarm(time.time()), Swarm(time.time(), seed=2), IdentityFiles(tmp_path)

    async def main() -> None:
        async with serving(ours) as (address, trust):
            with pytest.raises(kind, match=reason):
                await _join(address, token(ours, other), files)
            assert not trust.nodes

    asyncio.run(main())
    assert files.load() is None


def test_a_node_renews_with_a_new_key_and_keeps_its_name(tmp_path: Path) -> None:
    swarm, files = Swarm(time.time()), IdentityFiles(tmp_path)

    async def main() -> None:
        async with serving(swarm) as (address, _):
            joined = await _join(address, swarm.token(), files)
            swarm.now += 1
            renewed = await renew(address, joined.identity, random=Random(6))
            assert renewed.key != joined.identity.key
            assert subject_of(renewed).node_id == joined.subject.node_id
            assert subject_of(renewed).not_after > joined.subject.not_after
            swarm.roles.clear()
            with pytest.raises(Refused, match="is not part of this swarm"):
                await renew(address, renewed, random=Random(7))

    asyncio.run(main())


def test_the_certificate_is_kept_valid_through_an_outage(tmp_path: Path) -> None:
    """The manager is away when the renewal is due.

    1. Half of the certificate's life has passed; asking fails and is reported.
    2. The manager is back; the next attempt succeeds.
    3. The new identity is on disk, and nothing more is asked.
    """
    swarm, files = Swarm(time.time()), IdentityFiles(tmp_path)
    old = swarm.node()
    files.install(old)
    clock = [swarm.now + 45 * DAY_S]
    asked: list[str] = []

    async def ask(identity):
        asked.append("again")
        if len(asked) < 3:
            clock[0] += 3600
            raise Unavailable("no manager")
        swarm.now = clock[0]
        return swarm.node()

    async def main() -> None:
        keeping = asyncio.create_task(
            keep_valid(
                files,
                ask,
                now=lambda: clock[0],
                random=Random(1),
                log=structlog.get_logger(),
                look_every_s=0.01,
            )
        )
        await _until(lambda: len(asked) == 1)
        for _ in range(2):
            clock[0] += 3600
            seen = len(asked)
            await _until(lambda seen=seen: len(asked) > seen)
        await _until(lambda: files.current() != old)
        keeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await keeping

    with structlog.testing.capture_logs() as logs:
        asyncio.run(main())

    assert asked == ["again"] * 3
    assert [each["event"] for each in logs] == [
        "certificate.kept",
        "certificate.kept",
        "certificate.renewed",
    ]
    assert logs[0]["reason"] == "no manager"


def test_a_disk_that_is_full_keeps_the_old_identity(tmp_path: Path) -> None:
    swarm, files = Swarm(time.time()), IdentityFiles(tmp_path)
    old = swarm.node()
    files.install(old)
    asked: list[int] = []

    class Full(IdentityFiles):
        def install(self, identity) -> None:
            raise Unavailable("cannot write node.pem: no space left on device")

    async def ask(identity):
        asked.append(1)
        swarm.now += 45 * DAY_S
        return swarm.node()

    async def main() -> None:
        keeping = asyncio.create_task(
            keep_valid(
                Full(tmp_path),
                ask,
                now=lambda: time.time() + 45 * DAY_S,
                random=Random(1),
                log=structlog.get_logger(),
                look_every_s=0.01,
            )
        )
        await _until(lambda: bool(asked) and bool(logs))
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)

    with structlog.testing.capture_logs() as logs:
        asyncio.run(main())

    assert logs[0]["reason"] == "cannot write node.pem: no space left on device"
    assert IdentityFiles(tmp_path).load() == old
