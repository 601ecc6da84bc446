import asyncio
from collections.abc import Callable

import pytest
from msgspec import structs

from swarm.api.v1 import control_pb2
from swarm.errors import Invalid, Missing, Unavailable
from swarm.images.digest import digest_of
from swarm.objects import LocalImage
from swarm.specs import ContainerSpec, TaskSpec
from tests.etcd import free_port
from tests.manager.io.swarm import Swarm, service, until
from tests.swarm.io.fake_registry import FakeRegistry, serving

Tell = Callable[..., None]
NOT_HERE = ("container.image: not on this node",)


async def create(swarm: Swarm, image: str):
    task = TaskSpec(container=ContainerSpec(image=image))
    return await swarm.create(structs.replace(service(), task=task), resolve_image=True)


def test_a_tag_is_pinned_to_what_its_registry_has_now(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        registry = FakeRegistry()
        digest = registry.add_image("app", "v1", [b"layer"])
        async with serving(registry):
            created = await create(swarm, f"{registry.address}/app:v1")

        stored = created.service.service.spec.task.container.image
        assert stored == f"{registry.address}/app:v1@{digest}"

    tell(story)


def test_what_its_registry_does_not_have_is_missing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        async with serving(FakeRegistry()) as registry:
            with pytest.raises(Missing, match="not found"):
                await create(swarm, f"{registry.address}/app:v1")

        assert not swarm.view.services

    tell(story)


def test_a_registry_that_is_down_is_no_obstacle_where_a_node_has_the_image(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        image = f"127.0.0.1:{free_port()}/app:v1"

        agent.problems = NOT_HERE
        with pytest.raises(Unavailable, match="cannot be reached"):
            await create(swarm, image)
        assert not swarm.view.services
        agent.problems = ()
        created = await create(swarm, image)

        assert created.service.service.spec.task.container.image == image
        assert "is not pinned to a digest" in created.warnings[0]

    tell(story)


def test_a_node_that_loads_the_image_meanwhile_answers_for_a_silent_registry(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        registry = FakeRegistry()
        registry.faults.silent = True
        async with serving(registry):
            image = f"{registry.address}/app:v1"
            creating = asyncio.ensure_future(create(swarm, image))
            await until(lambda: registry.requests)
            loaded = LocalImage(reference=image, digest=digest_of(b"x"))
            agent.say(structs.replace(agent.description, images=(loaded,)))
            created = await creating

        stored = created.service.service.spec.task.container.image
        assert stored == f"{image}@{loaded.digest}"

    tell(story)


def test_a_digest_is_kept_without_asking_anyone(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        image = f"127.0.0.1:{free_port()}/app@{digest_of(b'x')}"

        created = await create(swarm, image)

        assert created.service.service.spec.task.container.image == image

    tell(story)


def test_what_is_no_image_name_is_invalid(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        with pytest.raises(Invalid, match="tag"):
            await create(swarm, "app:-no-tag-")
        with pytest.raises(Invalid, match="registry_auth"):
            await swarm.create(service(), resolve_image=True, registry_auth="%%%")

        assert not swarm.view.services

    tell(story)


def test_what_was_stored_unpinned_is_pinned_when_it_is_asked_for_again(tell: Tell) -> None:
    """A stack that was deployed without its registry stayed unpinned whatever it asked for.

    1. A service is made with its tag as it is.
    2. An update with the very same spec does not ask for the digest, and nothing changes.
    3. The next one asks, and only the image is another: it has its digest.
    """

    async def story(swarm: Swarm) -> None:
        registry = FakeRegistry()
        digest = registry.add_image("app", "v1", [b"layer"])
        async with serving(registry):
            image = f"{registry.address}/app:v1"
            task = TaskSpec(container=ContainerSpec(image=image))
            stored = (await swarm.create(structs.replace(service(), task=task))).service
            (service_id,) = swarm.view.services
            for looks_up, expected in ((False, image), (True, f"{image}@{digest}")):
                message = control_pb2.UpdateServiceRequest(
                    service_id=service_id,
                    version=stored.version,
                    spec=stored.service.spec,
                    resolve_image=looks_up,
                )
                stored = (await swarm.call("UpdateService", message)).service
                assert swarm.view.services[service_id].spec.task.container.image == expected

    tell(story)
