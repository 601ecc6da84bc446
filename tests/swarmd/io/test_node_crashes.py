"""kill -9 between any two steps of entering and leaving a swarm: the next swarmd is out or in.

A story runs in a process of its own that ends before its n-th step, for every n, as if killed:
nothing is cleaned up. Steps are what others see: files that get their place or lose it, and
parts that are started and stopped. Then another swarmd starts over what is left.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.errors import Refused
from swarmd.io import files
from swarmd.settings import Membership
from tests.swarmd.io.dying import DONE, KILLED, Dying, Purge
from tests.swarmd.io.test_node import World

MOST_STEPS = 80


@pytest.fixture
def dying() -> Iterator[Dying]:
    found = Dying()
    yield found
    found.close()


def next_swarmd(base: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[World, bool]:
    """Another swarmd over what is left, and whether it had to go on leaving."""
    purges: list[object] = []

    async def purge(*command: object) -> Purge:
        purges.append(command)
        return Purge()

    monkeypatch.setattr(asyncio, "create_subprocess_exec", purge)

    async def run() -> World:
        world = World(base)
        await world.node.resume()
        if world.node._renewing is not None:
            world.node._renewing.cancel()
        return world

    return asyncio.run(run()), bool(purges)


def check(world: World) -> None:
    """What must hold of a node that has just started, whatever was before."""
    membership = files.read(world.settings.membership_file, Membership)
    assert world.node.membership == membership
    assert world.agent.is_alone == (membership is None)
    assert {"launcher", "agent"} <= world.supervisor.parts.keys()
    assert ("manager" in world.supervisor.parts) == (membership is not None)
    if membership is None:
        assert world.node.identity.load() is None
    else:
        assert not membership.is_leaving
        identity = world.node.identity.load()
        assert identity is not None
        assert world.settings.data_key_file.exists()


def test_a_founding_that_is_killed_anywhere_has_happened_or_not(
    tmp_path: Path, dying: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set[bool]()
    for last in range(MOST_STEPS):
        base = tmp_path / str(last)
        base.mkdir()
        code = dying.live(base, last, "found")
        assert code in (KILLED, DONE)

        world, _ = next_swarmd(base, monkeypatch)
        check(world)
        seen.add(world.node.membership is not None)
        if world.node.membership is None:
            with pytest.raises(Refused):
                world.node.require_membership()
            assert dying.live(base, 10 * MOST_STEPS, "found") == DONE, "another attempt succeeds"
        if code == DONE:
            break
    else:
        pytest.fail("the story has more steps than we thought")

    assert seen == {True, False}


def test_a_leave_that_is_killed_anywhere_is_finished_or_never_began(
    tmp_path: Path, dying: Dying, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set[tuple[bool, bool]]()
    for last in range(MOST_STEPS):
        base = tmp_path / str(last)
        base.mkdir()
        assert dying.live(base, 10 * MOST_STEPS, "found") == DONE
        code = dying.live(base, last, "leave")
        assert code in (KILLED, DONE)

        world, has_purged = next_swarmd(base, monkeypatch)
        check(world)
        is_member = world.node.membership is not None
        assert not (is_member and has_purged)
        seen.add((is_member, has_purged))
        if not is_member:
            assert not world.settings.etcd_dir.exists()
            assert not world.settings.data_key_file.exists()
        if code == DONE:
            break
    else:
        pytest.fail("the story has more steps than we thought")

    assert seen == {(True, False), (False, True), (False, False)}
