"""What nodes pull with: stored with its service, sealed, and given to those that need it."""

import base64
from collections.abc import Callable

import pytest
from msgspec import structs

from agent.assignments import Wanted
from manager.control import logins
from swarm.api.v1 import control_pb2
from swarm.codec import to_message
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.images.credentials import Credentials
from swarm.images.logins import parse_logins
from swarm.specs import ContainerSpec, ServiceSpec, TaskSpec
from swarm.states import TaskState
from tests.manager.io.swarm import Agent, Swarm, service, until
from tests.sim.fake_store import Fault
from tests.swarm.io.fake_registry import FakeRegistry, serving

Tell = Callable[..., None]
ME, YOU = Credentials("me", "swordfish"), Credentials("me", "marlin-77")
PLAIN = b"swordfish", b"marlin-77"


def auth(login: Credentials) -> str:
    text = f'{{"username": "{login.username}", "password": "{login.password}"}}'
    return base64.urlsafe_b64encode(text.encode()).decode()


def running(image: str) -> ServiceSpec:
    name = image.replace(":", "-").replace("/", "-").replace(".", "-")
    return structs.replace(service(name), task=TaskSpec(container=ContainerSpec(image=image)))


def prepared(agent: Agent, wanted: Wanted) -> TaskState | None:
    """Report that preparing began, and wait until it is to end."""
    if wanted.task.desired > TaskState.RUNNING:
        return TaskState.SHUTDOWN
    return TaskState.PREPARING if wanted.task.id not in agent.states else None


async def create(swarm: Swarm, image: str, login: Credentials | None) -> ServiceId:
    given = auth(login) if login is not None else ""
    return ServiceId((await swarm.create(running(image), registry_auth=given)).service.service.id)


async def update(swarm: Swarm, service_id: ServiceId, image: str = "", **fields: object) -> bytes:
    """The answer."""
    (found,) = (await swarm.services(service_id)).services
    found.service.spec.task.container.image = image or found.service.spec.task.container.image
    found.service.spec.task.registry_login = False  # as of a client that knows nothing of it
    request = control_pb2.UpdateServiceRequest(
        service_id=service_id, version=found.version, spec=found.service.spec, **fields
    )
    return (await swarm.call("UpdateService", request)).SerializeToString()


def known(swarm: Swarm, service_id: ServiceId, image: str) -> Credentials | None:
    return logins.known(swarm.view, swarm.members.keys.data_key, service_id, image)


def test_a_login_is_sealed_shown_to_nobody_and_given_to_the_node_that_pulls(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        first = await swarm.join("first", answer=prepared)
        second = await swarm.join("second", answer=prepared)

        service_id = await create(swarm, "r:5000/app:1", ME)
        busy = await until(lambda: next((x for x in (first, second) if x.tasks), None))
        await until(lambda: busy.assignments.contents)

        (idle,) = {first, second} - {busy}
        assert parse_logins(busy.assignments.contents[service_id].data) == {"r:5000": ME}
        assert not idle.assignments.contents
        assert PLAIN[0] not in repr((first.heard, second.heard)).encode()
        listed = await swarm.services(service_id)
        told = await swarm.call("ListTasks", control_pb2.ListTasksRequest())
        assert PLAIN[0] not in listed.SerializeToString() + told.SerializeToString()
        assert not [x.key for x in (await swarm.store.read("")).items if PLAIN[0] in x.value]

    tell(story)


def test_an_update_without_a_login_keeps_what_there_is_and_one_with_it_replaces(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = await create(swarm, "r:5000/app:1", ME)

        await update(swarm, service_id, "other:5000/app:2")
        assert known(swarm, service_id, "r:5000/app") == ME
        await update(swarm, service_id, "other:5000/app:3", registry_auth=auth(YOU))

        assert known(swarm, service_id, "r:5000/app") == ME
        assert known(swarm, service_id, "other:5000/app") == YOU
        found = swarm.view.services[service_id]
        assert found.spec.task.registry_login
        assert found.previous_spec is not None
        assert found.previous_spec.task.registry_login

    tell(story)


def test_a_login_that_comes_later_makes_other_tasks_and_a_renewed_one_does_not(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join("host-1", answer=prepared)
        service_id = await create(swarm, "r:5000/app:1", None)
        await until(lambda: agent.tasks)
        assert not swarm.view.services[service_id].spec.task.registry_login

        await update(swarm, service_id, registry_auth=auth(ME))
        await until(lambda: agent.assignments.contents)
        version = swarm.view.services[service_id].spec_version
        answer = await update(swarm, service_id, registry_auth=auth(YOU))
        await until(lambda: agent.assignments.contents[service_id].version == 2)

        assert version == 2
        assert swarm.view.services[service_id].spec_version == 2
        assert parse_logins(agent.assignments.contents[service_id].data) == {"r:5000": YOU}
        assert not any(each in answer for each in PLAIN)

    tell(story)


@pytest.mark.parametrize("fault", [Fault.LOST_ANSWER, Fault.UNAVAILABLE])
def test_a_renewed_login_is_stored_whatever_became_of_the_answer(tell: Tell, fault: Fault) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = await create(swarm, "r:5000/app:1", ME)
        swarm.fake.fail_next("commit", fault)

        await update(swarm, service_id, registry_auth=auth(YOU))

        assert known(swarm, service_id, "r:5000/app") == YOU
        assert swarm.view.logins[service_id].version == 2

    tell(story)


def test_an_image_is_pinned_with_the_login_that_its_service_has(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        registry = FakeRegistry(basic=(ME.username, ME.password))
        digest = registry.add_image("app", "v2", [b"layer"])
        async with serving(registry):
            image = f"{registry.address}/app:v2"
            service_id = await create(swarm, f"{registry.address}/app:v1", ME)
            other = await create(swarm, f"{registry.address}/app:v0", None)

            await update(swarm, service_id, image, resolve_image=True)
            with pytest.raises(Refused, match="wants a user and a password for app"):
                await update(swarm, other, image, resolve_image=True)

        stored = swarm.view.services[service_id].spec.task.container.image
        assert stored == f"{image}@{digest}"

    tell(story)


def test_a_login_is_removed_with_its_service(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = await create(swarm, "r:5000/app:1", ME)
        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))

        assert not swarm.view.logins
        assert not [x for x in (await swarm.store.read("")).items if "logins/" in x.key]

    tell(story)


def test_a_plan_says_that_tasks_wait_for_a_login_and_stores_none(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        request = control_pb2.PlanServiceRequest(
            spec=to_message(running("r:5000/app:1")), registry_auth=auth(ME)
        )
        plan = await swarm.call("PlanService", request)

        assert "task.registry_login" in {each.path for each in plan.changes}
        assert PLAIN[0] not in plan.SerializeToString()
        assert not swarm.view.logins

    tell(story)
