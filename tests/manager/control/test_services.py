import pytest
from msgspec import Struct, structs

from manager import layout
from manager.control.services import create, promote, remove, rollback, update
from manager.store import Absent, Commit, Delete, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ServiceId
from swarm.objects import Ledger, Revision, Rollout, Service, SpecVersion
from swarm.specs import ContainerSpec, Global, Replicated, ReplicatedJob, ServiceSpec, TaskSpec
from swarm.states import RolloutState
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
        "history/s-web/0000000001",
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
    assert [each.key for each in commit.operations] == [
        "services/s-web",
        "history/s-web/0000000002",
    ]


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
    [
        ({"name": "other"}, "cannot be renamed"),
        ({"mode": Global()}, "is replicated and cannot become global"),
    ],
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

    assert set(commit.operations) == {
        Delete("services/s-web"),
        Delete("names/service/web"),
        Delete("ledgers/s-web"),
        Delete("logins/s-web"),
        Delete("history/s-web/0000000001"),
    }


# -- what a service was ----------------------------------------------------------------------


def carry_out(world: World, commit: Commit) -> None:
    world.write(
        *(
            (each.key, None if isinstance(each, Delete) else decoded(each))
            for each in commit.operations
            if isinstance(each, Put | Delete) and not each.key.startswith(layout.NAMES)
        )
    )


def decoded(put: Put) -> Struct:
    kinds = {
        layout.SERVICES: Service,
        layout.VERSIONS: SpecVersion,
        layout.HISTORY: Revision,
        layout.LEDGERS: Ledger,
    }
    (kind,) = (kind for prefix, kind in kinds.items() if put.key.startswith(prefix))
    return unpack(kind, put.value)


def image(name: str) -> TaskSpec:
    return TaskSpec(container=ContainerSpec(image=name))


def updated_to(world: World, name: str, now: float = 9.0) -> None:
    spec = changed(world, task=image(name))
    carry_out(world, update(world.view, WEB, stored(world), spec, now=now))


def ledger_with(world: World, state: RolloutState, **fields: object) -> None:
    version = world.view.services[WEB].spec_version
    rollout = Rollout(state=state, spec_version=version, **fields)
    world.write((layout.ledger_key(WEB), Ledger(service_id=WEB, rollout=rollout)))


def image_of(spec: ServiceSpec | None) -> str:
    return spec.task.container.image if spec is not None else ""


def test_every_change_is_a_revision_that_says_why() -> None:
    world = World()
    world.service("web")

    spec = changed(world, mode=Replicated(replicas=3))
    commit = update(world.view, WEB, stored(world), spec, now=9.0)

    (put,) = (each for each in commit.operations if each.key.startswith(layout.HISTORY))
    assert isinstance(put, Put)
    revision = unpack(Revision, put.value)
    assert (revision.number, revision.cause, revision.spec, revision.at) == (2, "scale", spec, 9.0)


def test_a_rollback_swaps_the_spec_with_the_previous_one() -> None:
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")

    carry_out(world, rollback(world.view, WEB, 0, None, now=10.0))
    there = world.view.services[WEB]
    carry_out(world, rollback(world.view, WEB, 0, None, now=11.0))
    back = world.view.services[WEB]

    assert (image_of(there.spec), image_of(there.previous_spec)) == ("one", "two")
    assert (image_of(back.spec), image_of(back.previous_spec)) == ("two", "one")
    assert back.revision == 4


def test_a_rollback_takes_up_the_version_that_tasks_are_still_of() -> None:
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")

    carry_out(world, rollback(world.view, WEB, 0, None, now=10.0))

    assert world.view.services[WEB].spec_version == 1
    rollout = world.view.ledgers[WEB].rollout
    assert rollout is not None
    assert (rollout.state, rollout.spec_version) == (RolloutState.ROLLBACK_STARTED, 1)
    updated_to(world, "three")
    assert world.view.services[WEB].spec_version == 4  # 2 was something else


def test_a_rollback_of_what_no_task_is_made_from_is_no_rollout() -> None:
    world = World()
    world.service("web", replicas=1)
    spec = changed(world, mode=Replicated(replicas=3))
    carry_out(world, update(world.view, WEB, stored(world), spec, now=9.0))

    carry_out(world, rollback(world.view, WEB, 0, None, now=10.0))

    assert world.view.services[WEB].spec.mode == Replicated(replicas=1)
    assert WEB not in world.view.ledgers


def test_a_rollback_may_lead_to_any_revision() -> None:
    world = World()
    world.service("web", task=image("one"))
    first = Revision(service_id=WEB, number=1, spec=world.view.services[WEB].spec)
    updated_to(world, "two")
    ledger_with(world, RolloutState.COMPLETED)
    updated_to(world, "three")

    carry_out(world, rollback(world.view, WEB, 0, first, now=10.0))

    there = world.view.services[WEB]
    assert (image_of(there.spec), image_of(there.previous_spec)) == ("one", "three")


def test_a_rollback_of_a_job_is_not_rolled_out() -> None:
    """A new version of a job starts over at once; a record of a rollout would never be over."""
    world = World()
    world.service("web", task=image("one"), mode=ReplicatedJob(total=2))
    updated_to(world, "two")

    carry_out(world, rollback(world.view, WEB, 0, None, now=10.0))

    assert image_of(world.view.services[WEB].spec) == "one"
    assert WEB not in world.view.ledgers


def test_there_has_to_be_something_to_roll_back_to() -> None:
    world = World()
    world.service("web")
    present = Revision(service_id=WEB, number=1, spec=world.view.services[WEB].spec)

    with pytest.raises(Refused, match="has no previous spec"):
        rollback(world.view, WEB, 0, None, now=10.0)
    with pytest.raises(Refused, match="is already as it is to be"):
        rollback(world.view, WEB, 0, present, now=10.0)
    with pytest.raises(Conflict, match="out of sequence"):
        rollback(world.view, WEB, 99, present, now=10.0)


@pytest.mark.parametrize(
    ("state", "leads_back_to"),
    [
        (RolloutState.COMPLETED, "two"),
        (RolloutState.UPDATING, "one"),
        (RolloutState.PAUSED, "one"),
        (RolloutState.CANARY, "one"),
    ],
)
def test_a_rollback_never_leads_to_what_was_not_rolled_out(
    state: RolloutState, leads_back_to: str
) -> None:
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")
    ledger_with(world, state)

    updated_to(world, "three")

    assert image_of(world.view.services[WEB].previous_spec) == leads_back_to


def test_other_labels_leave_the_version_of_the_tasks_alone() -> None:
    world = World()
    world.service("web")

    spec = changed(world, labels={"tier": "front"})
    commit = update(world.view, WEB, stored(world), spec, now=9.0)

    assert not any(each.key.startswith(layout.VERSIONS) for each in commit.operations)


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (RolloutState.PAUSED, RolloutState.UPDATING),
        (RolloutState.CANARY, RolloutState.UPDATING),
        (RolloutState.ROLLBACK_PAUSED, RolloutState.ROLLBACK_STARTED),
    ],
)
def test_a_promotion_lets_a_rollout_go_on_and_forgives(
    state: RolloutState, after: RolloutState
) -> None:
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")
    ledger_with(world, state, failed=("1", "2"), total=4)

    carry_out(world, promote(world.view, WEB, now=20.0))

    rollout = world.view.ledgers[WEB].rollout
    assert rollout is not None
    assert (rollout.state, rollout.failed, rollout.promoted) == (after, (), True)
    assert rollout.changed_at == 20.0


def test_nothing_is_promoted_that_does_not_wait() -> None:
    world = World()
    world.service("web")

    with pytest.raises(Refused, match="nothing to promote: it has no rollout"):
        promote(world.view, WEB, now=20.0)
    ledger_with(world, RolloutState.UPDATING)
    with pytest.raises(Refused, match="nothing to promote: its rollout is updating"):
        promote(world.view, WEB, now=20.0)
    ledger_with(world, RolloutState.PAUSED)
    updated_to(world, "two")
    with pytest.raises(Refused, match="nothing to promote: it has no rollout"):
        promote(world.view, WEB, now=20.0)


def test_an_update_that_changes_nothing_is_no_revision() -> None:
    """Somebody repeats an update; a rollback still leads to what was there before it."""
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")

    before, version = world.view.services[WEB], stored(world)
    carry_out(world, update(world.view, WEB, version, changed(world), now=10.0))
    assert world.view.services[WEB] == before
    assert stored(world) > version  # Docker's clients tell by it that they were heard

    carry_out(world, rollback(world.view, WEB, 0, None, now=11.0))
    assert image_of(world.view.services[WEB].spec) == "one"


@pytest.mark.parametrize(
    ("state", "after"),
    [
        (RolloutState.PAUSED, RolloutState.UPDATING),
        (RolloutState.ROLLBACK_PAUSED, RolloutState.ROLLBACK_STARTED),
        (RolloutState.CANARY, RolloutState.CANARY),
        (RolloutState.UPDATING, RolloutState.UPDATING),
    ],
)
def test_an_update_that_changes_nothing_lets_a_paused_rollout_go_on(
    state: RolloutState, after: RolloutState
) -> None:
    world = World()
    world.service("web", task=image("one"))
    updated_to(world, "two")
    ledger_with(world, state, failed=("1",), total=4)

    carry_out(world, update(world.view, WEB, stored(world), changed(world), now=20.0))

    rollout = world.view.ledgers[WEB].rollout
    assert rollout is not None
    assert rollout.state is after
    assert world.view.services[WEB].revision == 2


def test_a_removed_service_leaves_no_history() -> None:
    world = World()
    world.service("web", task=image("one"))
    for number in range(2, 30):
        updated_to(world, f"image{number}")
    kept = {key for key in world.keys if key.startswith(layout.HISTORY)}
    assert len(kept) == 20

    carry_out(world, remove(world.view, WEB))

    assert not any(key.startswith((layout.HISTORY, layout.LEDGERS)) for key in world.keys)
