"""A service's history, and the way back, over a manager's own API."""

import pytest

from swarm.api.v1 import control_pb2
from swarm.errors import Missing, Refused
from tests.manager.io.swarm import Swarm, service, until
from tests.manager.io.test_control import Tell, Update


async def updated(swarm: Swarm, service_id: str, image: str) -> None:
    update = await Update.of(swarm, service_id)
    update.request.spec.task.container.image = image
    await swarm.call("UpdateService", update.request)


async def history(swarm: Swarm, service_id: str) -> list[tuple[int, str, str]]:
    request = control_pb2.ListRevisionsRequest(service_id=service_id)
    found = (await swarm.call("ListRevisions", request)).revisions
    return [(each.number, each.cause, each.spec.task.container.image) for each in found]


def test_every_change_is_in_the_history_and_a_rollback_is_one(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        service_id = await swarm.run(service(replicas=2))
        first = set(swarm.view.tasks_of(service_id))
        await updated(swarm, service_id, "app:2")

        request = control_pb2.RollbackServiceRequest(service_id=service_id)
        await swarm.call("RollbackService", request)
        await until(lambda: swarm.progress(service_id).is_converged)

        assert await history(swarm, service_id) == [
            (3, "rollback", "app:1"),
            (2, "update", "app:2"),
            (1, "create", "app:1"),
        ]
        assert swarm.view.services[service_id].spec_version == 1
        assert first & set(swarm.view.tasks_of(service_id))

    tell(story)


def test_a_rollback_leads_to_any_revision_that_is_kept(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = (await swarm.create(service())).service.service.id
        await updated(swarm, service_id, "app:2")
        await updated(swarm, service_id, "app:3")

        request = control_pb2.RollbackServiceRequest(service_id=service_id, revision=1)
        answer = await swarm.call("RollbackService", request)
        request.revision = 9
        with pytest.raises(Missing, match="has no revision 9"):
            await swarm.call("RollbackService", request)

        assert answer.service.service.spec.task.container.image == "app:1"
        assert (await history(swarm, service_id))[0] == (4, "rollback to revision 1", "app:1")

    tell(story)


def test_what_there_is_not_is_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = (await swarm.create(service())).service.service.id

        with pytest.raises(Refused, match="has no previous spec"):
            await swarm.call(
                "RollbackService", control_pb2.RollbackServiceRequest(service_id=service_id)
            )
        with pytest.raises(Refused, match="nothing to promote"):
            await swarm.call(
                "PromoteService", control_pb2.PromoteServiceRequest(service_id=service_id)
            )

    tell(story)


def test_a_removed_service_has_no_history(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = (await swarm.create(service())).service.service.id
        await updated(swarm, service_id, "app:2")

        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))

        snapshot = await swarm.store.read("history/")
        assert not snapshot.items

    tell(story)
