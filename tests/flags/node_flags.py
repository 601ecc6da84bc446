"""Flags of nodes: what the leader does with tasks once a node is as it is asked for."""

import pytest
from msgspec import structs

from manager import layout
from manager.control import nodes
from swarm.api.v1 import control_pb2 as pb
from swarm.codec import from_message
from swarm.errors import Refused
from swarm.ids import NodeId
from swarm.specs import (
    NodeSpec,
    Placement,
    Replicated,
    ServiceSpec,
    TaskSpec,
    Toleration,
    UpdateOrder,
    UpdatePolicy,
)
from swarmctl.io import emptying
from tests.flags.asking import full, inspecting, listing
from tests.flags.lab import Lab, Planned, specs_node
from tests.flags.stories import places, stopped
from tests.flags.table import OUTPUT, PLAN, REFUSED, Proof, Row

BEARING = (Toleration(key="gpu"),)
BETA = NodeId("b")
EAST, SSD = "node.labels.zone==east", "node.labels.disk==ssd"


def _service(*constraints: str, tolerations: tuple[Toleration, ...] = BEARING) -> ServiceSpec:
    """Four tasks; without constraints either node takes them."""
    placement = Placement(constraints=constraints, tolerations=tolerations)
    return ServiceSpec(name="web", mode=Replicated(replicas=4), task=TaskSpec(placement=placement))


def _world(lab: Lab, service: ServiceSpec) -> Planned:
    """The service runs on an empty node, and on beta as the swarm of the lab has it."""
    lab.furnish()
    world = Planned()
    world.add_node("a")
    world.add_node("b")
    spec = from_message(NodeSpec, lab.swarm.nodes[0].node.spec)
    description = world.view.nodes[BETA].description
    world.write((layout.node_key(BETA), specs_node("b", spec, description)))
    world.add(service)
    world.converge()
    return world


def _ask(lab: Lab, world: Planned, *flags: str) -> None:
    """Have the node become what the command asks for."""
    ran = lab.run("node", "update", "-d", *flags, "beta")
    assert ran.status == 0, ran.err
    spec = from_message(NodeSpec, lab.sent(pb.UpdateNodeRequest).spec)
    world.commit_now(nodes.update(world.view, BETA, 0, spec, now=world.now))


def _moves(flag: str, value: str, service: ServiceSpec, *, before: str, after: str) -> Row:
    """A flag that changes where tasks are: `aabb` are two on either node."""

    def look(lab: Lab, _: str) -> None:
        world = _world(lab, service)
        assert _written(places(world)) == before
        _ask(lab, world, flag, value)
        world.converge()
        for _ in range(4):
            world.wait(30.0)
            world.converge()
        assert _written(places(world)) == after

    return Row("node update", flag, Proof(PLAN, look))


def _written(found: dict[str, int]) -> str:
    return "".join(node * count for node, count in sorted(found.items()))


def _drain_timeout(lab: Lab, flag: str) -> None:
    """No other node takes the tasks, so they stay until the time is up."""

    def left_after(seconds: float, *flags: str) -> int:
        first = UpdatePolicy(order=UpdateOrder.START_FIRST)
        world = _world(lab, structs.replace(_service(EAST), update=first))
        _ask(lab, world, "--availability", "drain", *flags)
        world.plan()
        world.wait(seconds)
        world.plan()
        return 4 - stopped(world)

    assert left_after(60.0, flag, "90s") == 4
    assert left_after(100.0, flag, "90s") == 0
    assert left_after(100.0) == 4


def _role(lab: Lab, flag: str) -> None:
    """The command knows it; a swarm has one manager so far, and says so."""
    world = _world(lab, _service())
    with pytest.raises(Refused, match="cannot be promoted yet"):
        _ask(lab, world, flag, "manager")
    _ask(lab, world, "--label-add", "a=b")


def _removal(lab: Lab, flag: str) -> None:
    """A node that answers goes by force only."""

    def remove(*flags: str) -> None:
        world = _world(lab, _service())
        assert lab.run("node", "rm", *flags, "beta").status == 0
        force = lab.sent(pb.RemoveNodeRequest).force
        world.commit_now(nodes.remove(world.view, BETA, force=force))
        world.converge()
        assert _written(places(world)) == "aaaa"

    remove(flag)
    with pytest.raises(Refused, match="is ready and cannot be removed"):
        remove()


def _drain(lab: Lab, _: str) -> None:
    """Without -d the command waits until the node is empty."""
    lab.furnish()
    lab.swarm.tasks = []
    ran = lab.run("node", "update", "--availability", "drain", "beta")
    assert ran.out.endswith("Node beta is empty.\n")
    ran = lab.run("node", "update", "-d", "--availability", "drain", "beta")
    assert ran.out == "beta\n"
    assert not lab.swarm.asked(pb.ListTasksRequest)
    assert emptying.PERIOD_S > 0


ROWS: tuple[Row, ...] = (
    *listing("node ls", "role=manager", 1),
    *listing("node ps", "desired-state=shutdown", 1, "alpha beta"),
    *full("node ps", "alpha"),
    *inspecting("node inspect", "beta"),
    Row("node rm", "--force", Proof(PLAN, _removal)),
    Row("node update", "--detach", Proof(OUTPUT, _drain)),
    Row("node update", "--drain-timeout", Proof(PLAN, _drain_timeout)),
    Row("node update", "--role", Proof(REFUSED, _role)),
    _moves("--availability", "drain", _service(), before="aabb", after="aaaa"),
    _moves("--label-add", "disk=ssd", _service(SSD), before="", after="bbbb"),
    _moves("--label-rm", "zone", _service(EAST), before="bbbb", after=""),
    _moves("--taint-add", "x:no-execute", _service(), before="aabb", after="aaaa"),
    _moves("--taint-rm", "gpu", _service(EAST, tolerations=()), before="", after="bbbb"),
)
