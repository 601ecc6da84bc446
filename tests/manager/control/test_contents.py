from random import Random

import pytest
from msgspec import structs

from manager import layout
from manager.control import contents
from manager.control.contents import CONFIG, SECRET
from manager.control.services import create as create_service
from manager.store import Absent, Commit, Delete, Put, Unchanged
from swarm.codec import unpack
from swarm.errors import Invalid, Refused
from swarm.ids import ConfigId, SecretId, ServiceId, TaskId
from swarm.objects import Config, Ledger, Rollout, Sealed, Secret, Service, Task
from swarm.sealing import make_data_key, seal
from swarm.specs import (
    ConfigSpec,
    ContainerSpec,
    FileReference,
    SecretSpec,
    ServiceSpec,
    TaskSpec,
)
from swarm.states import RolloutState, TaskState
from tests.manager.world import World

KEY = make_data_key(Random(1))
DB = SecretId("id-db")


def secret(name: str = "db", **fields: object) -> Secret:
    spec = SecretSpec(name=name, **fields)
    data = seal(KEY, b"hunter2", purpose=f"secret/id-{name}", random=Random(2))
    return Secret(id=SecretId(f"id-{name}"), spec=spec, data=data, created_at=1.0)


def needing(**fields: object) -> TaskSpec:
    return TaskSpec(container=ContainerSpec(secrets=(FileReference(**fields),)))


def make_world() -> World:
    world = World()
    made = secret()
    world.write((layout.secret_key(made.id), made), (layout.name_key("secret", "db"), made.id))
    return world


def keys(commit: Commit) -> list[str]:
    return [each.key for each in commit.operations if isinstance(each, Put)]


def test_a_secret_takes_its_name_in_the_same_commit() -> None:
    commit = contents.create(World().view, secret())

    assert Absent("names/secret/db") in commit.compares
    assert keys(commit) == ["names/secret/db", "secrets/id-db"]


def test_a_secret_and_a_config_may_have_one_name_and_two_secrets_may_not() -> None:
    view = make_world().view

    contents.create(view, Config(id=ConfigId("c"), spec=ConfigSpec(name="db")))
    with pytest.raises(Refused, match="secret name db is already taken by secret id-db"):
        contents.create(view, structs.replace(secret(), id=SecretId("other")))


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        (SecretSpec(name=""), "name: '' must be letters"),
        (SecretSpec(name="a/b"), "name: 'a/b' must be letters"),
        (SecretSpec(name="x" * 65), "1 to 64 characters"),
        (SecretSpec(name="x", labels={"": "y"}), "labels"),
        (SecretSpec(name="x", template_driver="jinja"), "template_driver: there is no 'jinja'"),
    ],
)
def test_a_spec_that_cannot_be_stored_says_why(spec: SecretSpec, complaint: str) -> None:
    with pytest.raises(Invalid, match=complaint):
        contents.create(World().view, structs.replace(secret(), spec=spec))


@pytest.mark.parametrize("size", [0, SECRET.most_bytes + 1])
def test_empty_and_large_data_are_refused(size: int) -> None:
    with pytest.raises(Invalid, match="data:"):
        contents.check_data(SECRET, bytes(size))


def test_the_largest_data_is_accepted() -> None:
    contents.check_data(SECRET, bytes(500 * 1024))
    contents.check_data(CONFIG, bytes(1000 * 1024))


def test_a_template_that_no_task_could_fill_in_is_refused_when_it_is_stored() -> None:
    """It was once found out by the first task, which every node then rejected for ever."""
    data = b"ok\n{{if hunter2}}\n{{.Task.Slot}}{{env X"
    with pytest.raises(Invalid) as caught:
        contents.check_data(SECRET, data, templated=True)

    assert caught.value.problems == (
        "data: the template on line 2 is none that there is",
        "data: the template on line 3 is never closed",
    )
    assert "hunter2" not in f"{caught.value} {caught.value.hint}"
    assert ".Service.Name" in caught.value.hint
    contents.check_data(SECRET, data)


def test_new_data_is_another_version_and_labels_alone_are_not() -> None:
    view = make_world().view
    present = view.secrets[DB]
    spec = SecretSpec(name="db", labels={"a": "b"})

    relabelled = contents.update(view, present, sealed=None, spec=spec, now=9.0)
    renewed = contents.update(view, present, sealed=Sealed(), spec=None, now=9.0)

    first, second = (unpack(Secret, c.operations[0].value) for c in (relabelled, renewed))
    assert (first.version, first.spec.labels, first.data) == (1, {"a": "b"}, present.data)
    assert (second.version, second.updated_at, second.spec) == (2, 9.0, present.spec)


def test_a_secret_keeps_its_name_and_its_template_driver() -> None:
    view = make_world().view

    for spec in (SecretSpec(name="other"), SecretSpec(name="db", template_driver="golang")):
        with pytest.raises(Invalid, match="cannot"):
            contents.update(view, view.secrets[DB], sealed=None, spec=spec, now=9.0)


def test_names_become_ids_and_targets() -> None:
    task = contents.resolved(make_world().view, needing(name="db"))

    assert task.container.secrets == (FileReference(id="id-db", name="db", target="db"),)


def test_every_unknown_name_is_told_with_its_path() -> None:
    container = ContainerSpec(
        secrets=(FileReference(name="db"), FileReference(name="none")),
        configs=(FileReference(id="c9"),),
    )

    with pytest.raises(Invalid) as caught:
        contents.resolved(make_world().view, TaskSpec(container=container))

    assert caught.value.problems == (
        "task.container.secrets[1].name: there is no secret 'none'",
        "task.container.configs[0].id: there is no config 'c9'",
    )


def test_a_used_secret_stays_and_the_refusal_names_the_services() -> None:
    world = make_world()
    for name in ("web", "api"):
        world.service(name, task=needing(id="id-db", name="db"))

    with pytest.raises(Refused, match="in use by the following services: api, web") as caught:
        contents.remove(world.view, world.view.secrets[DB])

    assert caught.value.hint == (
        "take it from them first: swarmctl service update --secret-rm db SERVICE"
    )


def test_a_secret_stays_while_a_rollback_may_need_it() -> None:
    """The new spec has it no more, but the rollout may yet fail.

    1. A service stops using the secret, and its tasks are replaced.
    2. Until that is over a rollback leads back to the secret, so it stays.
    3. Afterwards nothing does.
    """
    world = make_world()
    service_id = world.service("web", task=needing(id="id-db", name="db"))
    world.new_version(service_id, container=ContainerSpec())
    states = []
    for state in (RolloutState.UPDATING, RolloutState.PAUSED, RolloutState.COMPLETED):
        rollout = Rollout(state=state, spec_version=2)
        world.write((layout.ledger_key(service_id), Ledger(service_id=service_id, rollout=rollout)))
        states.append(bool(contents.used(world.view, SECRET, DB)))

    assert states == [True, True, False]


def test_a_secret_stays_while_a_task_of_an_older_version_may_start() -> None:
    world = make_world()
    service_id = world.service("web", task=needing(id="id-db", name="db"))
    task = Task(id=TaskId("t1"), service_id=service_id, service_name="web", node_id="n1")
    world.task(task)
    world.new_version(service_id, container=ContainerSpec())
    before = contents.used(world.view, SECRET, DB)
    with pytest.raises(Refused, match="following service: web") as caught:
        contents.remove(world.view, world.view.secrets[DB])
    world.report(task, TaskState.FAILED)

    assert [each.id for each in before] == [service_id]
    assert "wait until" in caught.value.hint  # nothing is left to be taken from it
    assert not contents.used(world.view, SECRET, DB)


def test_a_removal_and_a_new_user_cannot_both_succeed() -> None:
    """Both are decided on one view; whichever is committed first makes the other conflict."""
    world = make_world()
    task = needing(id="id-db", name="db")

    removal = contents.remove(world.view, world.view.secrets[DB])
    creation = contents.keeping(
        world.view,
        create_service(world.view, ServiceSpec(name="web", task=task), ServiceId("s-web"), now=1.0),
        task,
    )

    def touched(commit: Commit) -> set[str]:
        return {each.key for each in commit.operations if isinstance(each, Put | Delete)}

    def compared(commit: Commit) -> set[str]:
        return {each.key for each in commit.compares if isinstance(each, Unchanged)}

    assert touched(removal) & compared(creation)
    assert touched(creation) & compared(removal)


def test_rolling_gives_every_user_another_version_in_the_same_commit() -> None:
    world = make_world()
    for name in ("web", "api"):
        world.service(name, task=needing(id="id-db", name="db"))
    world.service("other")
    view = world.view
    users = contents.users(view, SECRET, DB)

    commit = contents.rolling(
        view,
        contents.update(view, view.secrets[DB], sealed=Sealed(), spec=None, now=9.0),
        users,
        now=9.0,
        cause="secret update",
    )

    services = [
        unpack(Service, each.value)
        for each in commit.operations
        if isinstance(each, Put) and each.key.startswith(layout.SERVICES)
    ]
    assert {each.id: each.spec.task.force_update for each in services} == {"s-api": 1, "s-web": 1}
    assert all(each.spec_version == 2 for each in services)
    assert "secrets/id-db" in keys(commit)
    assert {each for each in keys(commit) if each.startswith(layout.HISTORY)} == {
        layout.revision_key(ServiceId(each), 2) for each in ("s-api", "s-web")
    }
    for each in services:
        key = layout.service_key(each.id)
        assert Unchanged(key, view.version(key)) in commit.compares


def test_a_node_gets_it_in_clear_and_its_sealed_form_opens_nowhere_else() -> None:
    world = make_world()
    moved = structs.replace(world.view.secrets[DB], id=SecretId("id-x"))
    world.write((layout.secret_key(moved.id), moved))

    content = contents.opened(world.view, KEY, "id-db")

    assert content is not None
    assert (content.data, content.version, content.templated) == (b"hunter2", 1, False)
    assert "hunter2" not in repr(content)
    assert contents.opened(world.view, KEY, "none") is None
    with pytest.raises(Refused, match="secret/id-x is damaged or was moved"):
        contents.opened(world.view, KEY, "id-x")
