"""A shell completes the names of networks, also while no swarm answers."""

from contextlib import closing
from pathlib import Path

import click
import pytest

from swarm.api.v1 import control_pb2, objects_pb2, specs_pb2
from swarm.errors import Unavailable
from swarmctl import completing
from swarmctl.io.session import Session
from tests.swarmctl.fake_swarm import FakeSwarm


def completed(socket: Path, beginning: str) -> list[str]:
    session = Session(f"unix://{socket}")
    with closing(session), click.Context(click.Command("inspect"), obj=session) as ctx:
        return completing.networks(ctx, click.Argument(["network"]), beginning)


@pytest.mark.parametrize(
    ("beginning", "names"),
    [("", ["back", "bridge", "host", "none"]), ("b", ["back", "bridge"]), ("x", [])],
)
def test_networks_are_completed_with_every_nodes_own(
    swarm: FakeSwarm, socket: Path, beginning: str, names: list[str]
) -> None:
    back = objects_pb2.Network(id="n1", spec=specs_pb2.NetworkSpec(name="back"))
    swarm.networks = [control_pb2.NetworkView(network=back)]

    assert completed(socket, beginning) == names


def test_a_swarm_that_does_not_answer_has_no_names(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("ListNetworks", Unavailable("no leader"))

    assert completed(socket, "h") == ["host"]
