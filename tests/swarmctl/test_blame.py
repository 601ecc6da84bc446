"""Problems are told under the name of the flag that caused them."""

import pytest
from msgspec.structs import fields

from swarm.errors import Invalid, Refused
from swarm.specs import Mount
from swarmctl.blame import blamed, reblamed, refusal
from swarmctl.main import command, told
from swarmctl.mounts import parse_mount


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
        (
            "task.container.mounts[2].tmpfs_size_bytes: bad",
            "--mount: tmpfs-size: bad",
            "--mount-add: tmpfs-size: bad",
        ),
        (
            "task.container.mounts[0].volume_options[type]: bad",
            "--mount: volume-opt[type]: bad",
            "--mount-add: volume-opt[type]: bad",
        ),
        (
            "container.mounts[0].source: bad",
            "--mount: source: bad",
            "--mount-add: source: bad",
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


EXAMPLES = {
    "source": "x", "target": "/x", "read_only": "true", "nocopy": "true", "roams": "true",
    "propagation": "rshared", "nonrecursive": "true", "create_source": "true", "labels": "a=b",
    "volume_driver": "local", "volume_options": "o=x", "volume_subpath": "a",
    "tmpfs_size_bytes": "1m", "tmpfs_mode": "1770",
}  # fmt: skip


@pytest.mark.parametrize("field", [x.name for x in fields(Mount) if x.name != "kind"])
def test_every_field_of_a_mount_is_told_by_the_key_that_sets_it(field: str) -> None:
    """`--mount type=tmpfs,…,volume-nocopy` was refused as `nocopy`, which is no key of a mount."""
    key = blamed(f"task.container.mounts[0].{field}: x", is_update=False).split(": ")[1]

    mount = parse_mount(f"{key}={EXAMPLES[field]}{'' if field == 'target' else ',target=/y'}")

    assert getattr(mount, field) != getattr(Mount(target="/y"), field)


def test_what_somebody_else_has_is_told_under_its_flag() -> None:
    error = Refused("endpoint.ports[0].published: 80/tcp is published by service api", hint="no")

    found = reblamed(error, is_update=True)

    assert isinstance(found, Refused)
    assert found.message == "--publish-add: published: 80/tcp is published by service api"
    assert found.hint == "no"
    plain = Refused("service name web is already taken by service x")
    assert reblamed(plain, is_update=False).message == plain.message
