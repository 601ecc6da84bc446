"""What a node's engine knows of other nodes, and for how long."""

import asyncio

import pytest

from engine.io.roster import FRESH_S, STALE_S, Roster
from swarm.errors import Missing, Refused, Unavailable
from swarm.ids import NodeId
from swarm.peers import Peer, Standing
from swarm.specs import Role

MANAGER = Peer(
    standing=Standing.MANAGER, node_id=NodeId("m2"), public_key=b"", not_before=0, not_after=1
)


class World:
    """A swarm that answers, or does not."""

    def __init__(self) -> None:
        self.now = 100.0
        self.roles = {"m2": Role.MANAGER}
        self.asked = 0
        self.is_away = False
        self.roster = Roster(self._ask, now=lambda: self.now)

    async def _ask(self, node_id: NodeId) -> Role:
        self.asked += 1
        if self.is_away:
            raise Unavailable("no manager answers")
        if node_id not in self.roles:
            raise Missing("no such node")
        return self.roles[node_id]

    def judge(self, own_role: Role = Role.MANAGER) -> Standing:
        return asyncio.run(self.roster.judge(MANAGER, own_role=own_role)).standing


def test_beside_a_worker_the_certificate_alone_counts() -> None:
    world = World()
    world.roles.clear()

    assert world.judge(Role.WORKER) is Standing.MANAGER
    assert world.asked == 0


def test_a_removed_node_is_nobody_as_soon_as_the_answer_is_not_fresh() -> None:
    world = World()
    assert world.judge() is Standing.MANAGER
    world.roles.clear()
    assert world.judge() is Standing.MANAGER
    assert world.asked == 1

    world.now += FRESH_S + 0.1

    with pytest.raises(Refused, match="not part of this swarm"):
        world.judge()


def test_a_demoted_manager_is_a_worker() -> None:
    world = World()
    world.roles["m2"] = Role.WORKER

    assert world.judge() is Standing.WORKER


def test_while_no_manager_answers_the_last_answer_counts_and_not_for_ever() -> None:
    world = World()
    world.judge()
    world.is_away = True

    world.now += STALE_S
    assert world.judge() is Standing.MANAGER
    world.now += 0.1

    with pytest.raises(Unavailable):
        world.judge()


def test_who_was_never_asked_about_is_not_let_in_unseen() -> None:
    world = World()
    world.is_away = True

    with pytest.raises(Unavailable):
        world.judge()
