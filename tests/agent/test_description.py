"""What a node says of itself, and what it could not run."""

from collections.abc import Callable

import pytest

from agent.config import Config, parse
from agent.description import describe, memory_bytes, security_options
from agent.preflight import problems
from agent.rights import Fences
from runtime.oci.config import IdMapping
from runtime.spec import UserNamespace
from swarm.errors import Invalid
from swarm.objects import LocalImage
from swarm.specs import ContainerSpec, Device, GenericResource, Mount, MountKind, TaskSpec

MEMINFO = "MemTotal:       24678188 kB\nMemFree:        23631 kB\n"
GOOD = (
    b'{"node_id":"n","hostname":"h","identity":"/i","managers":["m:1"],"data_root":"/d",'
    b'"run_root":"/r","launcher_socket":"/r/l"}'
)


REMAPPED = UserNamespace(
    uids=(IdMapping(container_id=0, host_id=231072, size=65536),),
    gids=(IdMapping(container_id=0, host_id=231072, size=65536),),
)


def judged(
    spec: TaskSpec,
    *,
    is_there: Callable[[str], bool] = lambda _: True,
    has_image: bool = True,
    fences: Fences = Fences(),  # noqa: B008
    why_not_a_device: Callable[[str], str] = lambda _: "",
) -> tuple[str, ...]:
    return problems(
        spec,
        is_there=is_there,
        has_image=has_image,
        fences=fences,
        why_not_a_device=why_not_a_device,
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
        generic=(GenericResource(kind="ssd", count=4), GenericResource(kind="gpu", names=("a",))),
        images=images,
    )

    assert found.resources.cpu_millis == 2000
    assert found.resources.memory_bytes == 24678188 * 1024
    assert [each.reference for each in found.images] == ["a:1", "b:1"]
    assert found.engine_labels == {"disk": "ssd"}
    assert [each.kind for each in found.resources.generic] == ["gpu", "ssd"]


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

    found = judged(spec, is_there=lambda path: path == "/there")

    assert found == (
        'container.mounts[1].source: invalid mount config for type "bind": '
        "bind source path does not exist: /x",
    )


def test_preflight_says_that_an_image_is_not_here() -> None:
    spec = TaskSpec(container=ContainerSpec(image="a"))

    assert judged(spec, has_image=False) == ("container.image: not on this node",)


def test_preflight_names_the_device_that_is_not_there() -> None:
    devices = (Device(source="/dev/a", target="/dev/x"), Device(source="/dev/b", target="/dev/y"))
    spec = TaskSpec(container=ContainerSpec(image="a", devices=devices))

    found = judged(spec, why_not_a_device=lambda path: "is gone" if path == "/dev/b" else "")

    assert found == ("container.devices[1].source: /dev/b is gone",)


def test_preflight_tells_what_the_node_refuses() -> None:
    spec = TaskSpec(container=ContainerSpec(image="a", privileged=True))

    [found] = judged(spec, fences=Fences(user_namespace=REMAPPED))

    assert found.startswith("container.privileged: ")


def test_a_node_says_how_it_fences_containers_in() -> None:
    bare = security_options(Fences(), has_seccomp=False)
    full = security_options(Fences(user_namespace=REMAPPED, has_apparmor=True), has_seccomp=True)

    assert list(bare) == ["name=cgroupns"]
    assert list(full) == [
        "name=apparmor",
        "name=seccomp,profile=builtin",
        "name=userns,uids=231072:65536",
        "name=cgroupns",
    ]


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
