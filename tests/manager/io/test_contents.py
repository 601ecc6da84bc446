from collections.abc import Callable

import pytest
from msgspec import structs

from agent.assignments import Wanted
from manager import layout
from manager.store import Limits
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.errors import Conflict, Invalid, Missing, Refused
from swarm.ids import ServiceId
from swarm.specs import FileReference, ServiceSpec
from swarm.states import TaskState
from tests.manager.io.swarm import Agent, Swarm, service, until
from tests.sim.fake_store import Fault

Tell = Callable[..., None]
PLAIN = b"correct horse battery staple"


def needing(name: str) -> ServiceSpec:
    made = service(replicas=1)
    container = structs.replace(made.task.container, secrets=(FileReference(name=name),))
    return structs.replace(made, task=structs.replace(made.task, container=container))


async def create(swarm: Swarm, spec: ServiceSpec) -> ServiceId:
    return ServiceId((await swarm.create(spec)).service.service.id)


def prepared(agent: Agent, wanted: Wanted) -> TaskState | None:
    """Report that preparing began, and wait."""
    return TaskState.PREPARING if wanted.task.id not in agent.states else None


async def create_secret(swarm: Swarm, name: str, data: bytes = PLAIN) -> control_pb2.SecretView:
    request = control_pb2.CreateSecretRequest(spec=specs_pb2.SecretSpec(name=name), data=data)
    return (await swarm.call("CreateSecret", request)).secret


def test_a_secret_is_stored_sealed_and_shown_without_its_data(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        listed = await swarm.call("ListSecrets", control_pb2.ListSecretsRequest(secrets=["db"]))
        snapshot = await swarm.store.read("")

        assert list(listed.secrets) == [made]
        assert made.version == 1
        assert PLAIN not in listed.SerializeToString()
        assert not [each.key for each in snapshot.items if PLAIN in each.value]
        assert swarm.view.names["secret", "db"] == made.id

    tell(story)


def test_a_config_is_shown_with_its_data_and_stored_sealed_too(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        request = control_pb2.CreateConfigRequest(
            spec=specs_pb2.ConfigSpec(name="conf", labels={"a": "b"}), data=PLAIN
        )
        made = (await swarm.call("CreateConfig", request)).config
        snapshot = await swarm.store.read("")

        assert made.data == PLAIN
        assert not [each.key for each in snapshot.items if PLAIN in each.value]

    tell(story)


def test_an_update_of_what_changed_meanwhile_is_out_of_sequence(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        labels = specs_pb2.SecretSpec(labels={"a": "b"})
        request = control_pb2.UpdateSecretRequest(secret="db", spec=labels, revision=made.revision)

        changed = (await swarm.call("UpdateSecret", request)).secret

        assert changed.revision > made.revision
        assert changed.version == made.version
        with pytest.raises(Conflict, match="update out of sequence"):
            await swarm.call("UpdateSecret", request)

    tell(story)


def test_data_that_is_to_stay_is_compared_and_never_replaced(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        same = control_pb2.UpdateSecretRequest(secret="db", data=PLAIN, keep=True)
        other = control_pb2.UpdateSecretRequest(secret="db", data=b"other", keep=True)

        assert (await swarm.call("UpdateSecret", same)).secret == made
        with pytest.raises(Refused, match="secret db exists with other data"):
            await swarm.call("UpdateSecret", other)

        labels = specs_pb2.SecretSpec(labels={"a": "b"})
        same.spec.CopyFrom(labels)
        other.spec.CopyFrom(labels)
        with pytest.raises(Refused):
            await swarm.call("UpdateSecret", other)
        changed = (await swarm.call("UpdateSecret", same)).secret
        assert (changed.version, dict(changed.spec.labels)) == (1, {"a": "b"})

    tell(story)


def test_a_configs_data_is_compared_as_well(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        spec = specs_pb2.ConfigSpec(name="conf")
        create = control_pb2.CreateConfigRequest(spec=spec, data=PLAIN)
        made = (await swarm.call("CreateConfig", create)).config
        same = control_pb2.UpdateConfigRequest(config="conf", data=PLAIN, keep=True)
        other = control_pb2.UpdateConfigRequest(config="conf", data=b"other", keep=True)

        assert (await swarm.call("UpdateConfig", same)).config == made
        with pytest.raises(Refused, match="config conf exists with other data"):
            await swarm.call("UpdateConfig", other)

    tell(story)


def test_what_is_used_is_not_removed_and_what_is_not_is(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await create_secret(swarm, "db")
        await swarm.join("host-1")
        service_id = await swarm.run(needing("db"))
        remove = control_pb2.RemoveSecretRequest(secret="db")

        with pytest.raises(Refused, match="in use by the following service: "):
            await swarm.call("RemoveSecret", remove)
        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))
        await swarm.call("RemoveSecret", remove)

        assert not swarm.view.secrets
        with pytest.raises(Missing, match="secret 'db' not found"):
            await swarm.call("RemoveSecret", remove)

    tell(story)


def test_an_unknown_name_is_refused_with_its_path(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("host-1")
        with pytest.raises(Invalid, match=r"secrets\[0\].name: there is no secret 'db'"):
            await swarm.create(needing("db"))

    tell(story)


def test_only_the_node_that_runs_a_task_with_it_is_given_a_secret(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        first = await swarm.join("first", answer=prepared)
        second = await swarm.join("second", answer=prepared)

        await create(swarm, needing("db"))
        busy, idle = await until(lambda: _split(first, second))
        await until(lambda: busy.assignments.contents)

        assert busy.assignments.contents[made.id].data == PLAIN
        assert not idle.assignments.contents
        assert not any(PLAIN in repr(each).encode() for each in busy.heard)

    tell(story)


def test_an_update_reaches_tasks_that_wait_and_rolls_services_on_request(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        agent = await swarm.join("host-1", answer=prepared)
        service_id = await create(swarm, needing("db"))
        await until(lambda: agent.assignments.contents)

        quiet = control_pb2.UpdateSecretRequest(secret="db", data=b"two")
        await swarm.call("UpdateSecret", quiet)
        await until(lambda: agent.assignments.contents[made.id].data == b"two")
        version = swarm.view.services[service_id].spec_version
        loud = control_pb2.UpdateSecretRequest(secret="db", data=b"three", roll=True)
        answer = await swarm.call("UpdateSecret", loud)

        found = swarm.view.services[service_id]
        assert answer.secret.version == 3
        assert list(answer.rolled) == [found.spec.name]
        assert (version, found.spec_version, found.spec.task.force_update) == (1, 2, 1)

    tell(story)


def test_an_update_whose_answer_was_lost_is_done_once(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await create_secret(swarm, "db")
        await swarm.join("host-1")
        service_id = await swarm.run(needing("db"))
        swarm.fake.fail_next("commit", Fault.LOST_ANSWER)

        request = control_pb2.UpdateSecretRequest(secret="db", data=b"two", roll=True)
        answer = await swarm.call("UpdateSecret", request)

        assert answer.secret.version == 2
        assert swarm.view.services[service_id].spec.task.force_update == 1

    tell(story)


def test_a_new_session_in_sync_is_given_its_contents_again(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        made = await create_secret(swarm, "db")
        agent = await swarm.join("host-1", answer=prepared)
        await create(swarm, needing("db"))
        await until(lambda: agent.assignments.contents)
        await until(lambda: all(s is TaskState.PREPARING for s in agent.states.values()))

        await agent.disconnect()
        welcome = await agent.connect(swarm.address)
        await until(lambda: agent.assignments.contents)

        assert welcome.in_sync
        assert agent.assignments.contents[made.id].version == 1

    tell(story)


def test_data_that_is_empty_or_too_large_is_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        for data in (b"", bytes(512001)):
            with pytest.raises(Invalid, match="data: "):
                await create_secret(swarm, "db", data)
        assert layout.name_key("secret", "db") not in {
            each.key for each in (await swarm.store.read("")).items
        }

    tell(story)


def test_a_broken_template_is_refused_when_made_and_when_changed(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        spec = specs_pb2.ConfigSpec(name="c", template_driver="golang")
        broken = control_pb2.CreateConfigRequest(spec=spec, data=b"{{.Nope}}")
        with pytest.raises(Invalid, match="data: the template on line 1 is none that there is"):
            await swarm.call("CreateConfig", broken)
        assert not swarm.view.configs

        fine = control_pb2.CreateConfigRequest(spec=spec, data=b"{{.Service.Name}}")
        await swarm.call("CreateConfig", fine)
        update = control_pb2.UpdateConfigRequest(config="c", data=b"{{.Service")
        with pytest.raises(Invalid, match="data: the template on line 1 is never closed"):
            await swarm.call("UpdateConfig", update)
        listed = await swarm.call("ListConfigs", control_pb2.ListConfigsRequest())
        assert [each.data for each in listed.configs] == [b"{{.Service.Name}}"]

    tell(story)


def _split(first: Agent, second: Agent) -> tuple[Agent, Agent] | None:
    if first.tasks:
        return first, second
    return (second, first) if second.tasks else None


def test_more_services_than_one_transaction_takes_are_refused_with_a_way_out(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(swarm: Swarm) -> None:
        await create_secret(swarm, "db")
        await swarm.join("host-1")
        await swarm.run(needing("db"))
        monkeypatch.setattr(type(swarm.fake), "limits", Limits(operations=3, bytes=1 << 20))

        request = control_pb2.UpdateSecretRequest(secret="db", data=b"two", roll=True)
        with pytest.raises(Refused, match="used by 1 services") as caught:
            await swarm.call("UpdateSecret", request)

        assert "leave --roll out" in caught.value.hint
        assert next(iter(swarm.view.secrets.values())).version == 1

    tell(story)
