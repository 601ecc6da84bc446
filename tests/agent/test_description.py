"""What a node says of itself, and what it could not run."""

import pytest

from agent.config import Config, parse
from agent.description import describe, memory_bytes
from agent.preflight import problems
from swarm.errors import Invalid
from swarm.objects import LocalImage
from swarm.specs import ContainerSpec, Mount, MountKind, TaskSpec

MEMINFO = "MemTotal:       24678188 kB\nMemFree:        23631 kB\n"
GOOD = (
    b'{"node_id":"n","hostname":"h","identity":"/i","managers":["m:1"],"data_root":"/d",'
    b'"run_root":"/r","launcher_socket":"/r/l"}'
)


def test_memory_and_cores_are_in_our_units() -> None:
    images = (LocalImage(reference="b:1"), LocalImage(reference="a:1"))

    found = describe(
        hostname="h",
        arch="x86_64",
        cpus=2,
        meminfo=MEMINFO,
        addr="10.0.0.1",
        engine_labels={"disk": "ssd"},
        images=images,
    )

    assert found.resources.cpu_millis == 2000
    assert found.resources.memory_bytes == 24678188 * 1024
    assert [each.reference for each in found.images] == ["a:1", "b:1"]
    assert found.engine_labels == {"disk": "ssd"}


def test_an_unreadable_meminfo_is_no_memory() -> None:
    assert memory_bytes("") == 0


def test_preflight_names_the_bind_that_is_not_there_and_skips_templates() -> None:
    mounts = (
        Mount(kind=MountKind.BIND, source="/there", target="/a"),
        Mount(kind=MountKind.BIND, source="/x", target="/b"),
        Mount(kind=MountKind.BIND, source="/{{.Task.Slot}}", target="/c"),
        Mount(source="volume", target="/d"),
    )
    spec = TaskSpec(container=ContainerSpec(image="a", mounts=mounts))

    found = problems(spec, is_there=lambda path: path == "/there", has_image=True)

    assert found == (
        'container.mounts[1].source: invalid mount config for type "bind": '
        "bind source path does not exist: /x",
    )


def test_preflight_says_that_an_image_is_not_here() -> None:
    spec = TaskSpec(container=ContainerSpec(image="a"))

    assert problems(spec, is_there=lambda _: True, has_image=False) == (
        "container.image: not on this node",
    )


def test_a_configuration_is_read_with_its_defaults() -> None:
    config = parse(GOOD, name="agent.json")

    assert isinstance(config, Config)
    assert str(config.socket) == "/r/agent.sock"
    assert str(config.volumes) == "/d/agent/volumes"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"{", "agent.json"),
        (GOOD.replace(b'"node_id":"n",', b""), "node_id"),
        (GOOD.replace(b'"hostname"', b'"host_name"'), "host_name"),
        (GOOD.replace(b'"/d"', b'"d"'), "data_root: 'd' must be absolute"),
        (GOOD.replace(b'["m:1"]', b"[]"), "managers: must name at least one"),
    ],
)
def test_a_wrong_configuration_names_the_field(text: bytes, said: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(text, name="agent.json")

    assert said in caught.value.message
