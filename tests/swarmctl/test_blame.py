"""Problems are told under the name of the flag that caused them."""

import pytest

from swarm.errors import Invalid
from swarmctl.blame import blamed, refusal
from swarmctl.main import command, told


@pytest.mark.parametrize(
    ("problem", "on_create", "on_update"),
    [
        ("task.limits.memory_bytes: low", "--limit-memory: low", "--limit-memory: low"),
        (
            "task.container.mounts[1].target: bad",
            "--mount: target: bad",
            "--mount-add: target: bad",
        ),
        ("labels[a b]: bad", "--label: bad", "--label-add: bad"),
        ("task.container.image: bad", "IMAGE: bad", "--image: bad"),
        ("task.container.args[3]: bad", "ARG: bad", "--args: bad"),
        ("name: bad: worse", "--name: bad: worse", "--name: bad: worse"),
        ("container.mounts[0].source: none", "--mount: source: none", "--mount-add: source: none"),
        ("task.container.health.retries: bad", "--health-retries: bad", "--health-retries: bad"),
        (
            "task.container.devices[0].access: bad",
            "--device: access: bad",
            "--device-add: access: bad",
        ),
        ("autoscale.least: low", "--autoscale min: low", "--autoscale min: low"),
        ("task.future: bad", "task.future: bad", "task.future: bad"),
    ],
)
def test_a_path_becomes_its_flag(problem: str, on_create: str, on_update: str) -> None:
    assert blamed(problem, is_update=False) == on_create
    assert blamed(problem, is_update=True) == on_update


def test_several_problems_are_told_together() -> None:
    error = refusal(("name: a", "task.container.user: b"), is_update=False)

    assert isinstance(error, Invalid)
    assert told(error) == "Error: 2 problems\n  --name: a\n  --user: b"


@pytest.mark.parametrize("verb", ["create", "update"])
def test_every_flag_that_is_blamed_exists(verb: str) -> None:
    from swarmctl import blame
    from swarmctl.catalog import ROOT, Branch, Leaf
    from swarmctl.lazy import load

    service = ROOT.children["service"]
    assert isinstance(service, Branch)
    leaf = service.children[verb]
    assert isinstance(leaf, Leaf)
    known = {name for param in load(leaf).params for name in param.opts}

    paths = list(blame._FLAGS)
    texts = [blamed(f"{path}: x", is_update=verb == "update") for path in paths]
    flags = {text.partition(": ")[0].partition(" ")[0] for text in texts}

    assert flags - known - {"IMAGE", "ARG", "--name"} == set()
    assert command().name == "swarmctl"
