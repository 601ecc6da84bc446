import pytest
from msgspec import structs

from manager import layout
from manager.control.services import create, remove, update
from manager.store import Absent, Delete, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ServiceId
from swarm.objects import Service, SpecVersion
from swarm.specs import ContainerSpec, Global, Replicated, ServiceSpec, TaskSpec
from tests.manager.world import World

WEB = ServiceId("s-web")


def stored(world: World) -> int:
    return world.view.version(layout.service_key(WEB))


def changed(world: World, **fields: object) -> ServiceSpec:
    return structs.replace(world.view.services[WEB].spec, **fields)


def service_in(operations: tuple[object, ...]) -> Service:
    (put,) = (
        each
        for each in operations
        if isinstance(each, Put) and each.key.startswith(layout.SERVICES)
    )
    return unpack(Service, put.value)


def test_a_service_takes_its_name_in_the_same_commit() -> None:
    commit = create(World().view, ServiceSpec(name="web"), WEB, now=5.0)

    assert Absent("names/service/web") in commit.compares
    assert {each.key for each in commit.operations if isinstance(each, Put)} == {
        "names/service/web",
        "services/s-web",
        "versions/s-web/0000000001",
    }


def test_a_taken_name_is_refused_and_says_by_whom() -> None:
    world = World()
    world.service("web")

    with pytest.raises(Refused, match="name web is already taken by service s-web"):
        create(world.view, ServiceSpec(name="web"), ServiceId("other"), now=5.0)


def test_scaling_makes_no_new_version() -> None:
    world = World()
    world.service("web", replicas=1)

    commit = update(
        world.view, WEB, stored(world), changed(world, mode=Replicated(replicas=3)), now=9.0
    )

    service = service_in(commit.operations)
    assert service.spec_version == 1
    assert service.version_at == world.view.services[WEB].version_at
    assert len(commit.operations) == 1


def test_another_task_spec_makes_a_new_version_and_keeps_the_old_spec() -> None:
    world = World()
    world.service("web")
    before = world.view.services[WEB].spec
    task = TaskSpec(container=ContainerSpec(image="other"))

    commit = update(world.view, WEB, stored(world), changed(world, task=task), now=9.0)

    service = service_in(commit.operations)
    assert service.spec_version == 2
    assert service.previous_spec == before
    assert service.version_at == 9.0
    assert "versions/s-web/0000000002" in [each.key for each in commit.operations]


def test_a_version_keeps_the_labels_of_its_time() -> None:
    """Templates may use them, and all tasks of one version are to be alike."""
    world = World()
    world.service("web")
    spec = changed(
        world, task=TaskSpec(container=ContainerSpec(image="other")), labels={"zone": "east"}
    )

    commit = update(world.view, WEB, stored(world), spec, now=9.0)

    (version,) = (
        unpack(SpecVersion, each.value)
        for each in commit.operations
        if isinstance(each, Put) and each.key.startswith(layout.VERSIONS)
    )
    assert version.labels == {"zone": "east"}


def test_a_change_of_an_older_version_is_out_of_sequence() -> None:
    world = World()
    world.service("web")
    version = stored(world)
    world.scale(WEB, 5)

    with pytest.raises(Conflict, match="update out of sequence"):
        update(world.view, WEB, version, changed(world), now=9.0)


def test_a_change_is_compared_with_what_it_was_derived_from() -> None:
    world = World()
    world.service("web")

    commit = update(world.view, WEB, stored(world), changed(world), now=9.0)

    assert commit.compares == (Unchanged("services/s-web", stored(world)),)


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [({"name": "other"}, "cannot be renamed"), ({"mode": Global()}, "replicated and global")],
)
def test_name_and_mode_stay(fields: dict[str, object], complaint: str) -> None:
    world = World()
    world.service("web")

    with pytest.raises(Invalid, match=complaint):
        update(world.view, WEB, stored(world), changed(world, **fields), now=9.0)


def test_removal_frees_the_name() -> None:
    world = World()
    world.service("web")

    commit = remove(world.view, WEB)

    assert set(commit.operations) == {Delete("services/s-web"), Delete("names/service/web")}
