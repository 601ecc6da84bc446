"""Secrets of encrypted networks: made when due, sealed, and forgotten in their time."""

from random import Random

from manager.networks.keys import ROTATED_EVERY_S, purpose_of, rotate_keys
from manager.store import Absent, Put
from swarm.codec import unpack
from swarm.objects import Sealed
from swarm.sealing import make_data_key, unseal
from tests.manager.world import World

KEY = make_data_key(Random(1))
NOW = 100 * ROTATED_EVERY_S + 5.0


def rotated(world: World, now: float) -> list[int]:
    """Commit what is due; the numbers there are then."""
    found = rotate_keys(world.view, KEY, now=now, random=Random(2))
    puts = {each.key: each for each in found.commit.operations if isinstance(each, Put)}
    for each in found.commit.operations:
        put = puts.get(each.key)
        world.write((each.key, unpack(Sealed, put.value) if put is not None else None))
    again = rotate_keys(world.view, KEY, now=now, random=Random(3))
    assert not again.commit.operations
    return sorted(world.view.network_keys)


def make(*, encrypted: bool = True) -> World:
    world = World()
    world.network(encrypted=encrypted)
    return world


def test_without_an_encrypted_network_there_is_no_secret() -> None:
    assert rotated(make(encrypted=False), NOW) == []


def test_a_secret_is_made_once_in_each_stretch_of_time_and_the_one_before_is_kept() -> None:
    world = make()

    numbers = [rotated(world, NOW + turn * ROTATED_EVERY_S) for turn in range(3)]

    assert numbers == [[100], [100, 101], [101, 102]]


def test_a_clock_that_went_back_makes_none() -> None:
    world = make()
    rotated(world, NOW)

    assert rotated(world, NOW - 3 * ROTATED_EVERY_S) == [100]


def test_a_secret_is_sealed_for_its_own_number() -> None:
    world = make()
    rotated(world, NOW)

    secret = unseal(KEY, world.view.network_keys[100], purpose=purpose_of(100))

    assert len(secret) == 32
    assert secret not in world.keys["keys/100"][0]


def test_secrets_are_forgotten_with_the_last_encrypted_network() -> None:
    world = make()
    rotated(world, NOW)

    world.write(("networks/n-net", None))

    assert rotated(world, NOW) == []


def test_two_leaders_do_not_make_the_same_one() -> None:
    found = rotate_keys(make().view, KEY, now=NOW, random=Random(2))

    assert found.commit.compares == (Absent("keys/100"),)
    assert found.again_at == 101 * ROTATED_EVERY_S
