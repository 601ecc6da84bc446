"""What-if questions over the real API, with the real planners behind it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from msgspec import structs

from swarm.api.v1 import control_pb2
from swarm.codec import to_message
from swarm.errors import Invalid, Missing, Refused
from swarm.specs import Placement, Replicated, Resources, ServiceSpec, TaskSpec, UpdatePolicy
from swarm.states import TaskState
from tests.manager.io.swarm import IMAGE, ROOM, Swarm, service, until

Tell = Callable[..., None]


async def plan(
    swarm: Swarm, spec: ServiceSpec, service_id: str = "", **fields: Any
) -> control_pb2.PlanServiceResponse:
    request = control_pb2.PlanServiceRequest(service_id=service_id, spec=to_message(spec), **fields)
    return await swarm.call("PlanService", request)


async def why(swarm: Swarm, target: str, node: str = "") -> control_pb2.ExplainPlacementResponse:
    request = control_pb2.ExplainPlacementRequest(target=target, node=node)
    return await swarm.call("ExplainPlacement", request)


async def rebalance(swarm: Swarm, **fields: Any) -> control_pb2.RebalanceResponse:
    return await swarm.call("Rebalance", control_pb2.RebalanceRequest(**fields))


def spread(swarm: Swarm) -> Counter[str]:
    """Hosts by how many tasks run there that are to stay."""
    view = swarm.view
    return Counter(
        view.nodes[task.node_id].description.hostname
        for task in view.tasks.values()
        if task.desired <= TaskState.RUNNING
        and not task.eviction
        and view.state(task) is TaskState.RUNNING
    )


def with_image(spec: ServiceSpec, image: str) -> ServiceSpec:
    container = structs.replace(spec.task.container, image=image)
    return structs.replace(spec, task=structs.replace(spec.task, container=container))


def test_a_plan_of_a_new_service_starts_nothing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))

        found = await plan(swarm, service(replicas=2))

        assert [(each.action, each.name, each.node_hostname) for each in found.tasks] == [
            ("start", "web.1", "one"),
            ("start", "web.2", "one"),
        ]
        assert found.revision == 0
        assert not swarm.view.services
        assert not swarm.view.tasks

    tell(story)


def test_a_plan_of_a_change_names_the_revision_it_was_made_on(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        spec = service(replicas=2)
        service_id = await swarm.run(spec)
        before = dict(swarm.view.tasks)

        found = await plan(swarm, with_image(spec, "app:2"), service_id)

        assert found.is_new_version
        assert found.revision == 1
        assert [(each.path, each.before, each.after) for each in found.changes] == [
            ("task.container.image", "app:1", "app:2")
        ]
        assert [each.action for each in found.tasks] == ["replace", "replace"]
        assert dict(swarm.view.tasks) == before
        assert swarm.view.services[service_id].spec == spec

    tell(story)


def test_an_image_that_resolves_to_what_runs_is_no_change(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        created = await swarm.create(service(), resolve_image=True)
        service_id = created.service.service.id
        await until(lambda: swarm.progress(service_id).is_converged)

        found = await plan(swarm, service(), service_id, resolve_image=True)

        assert list(found.tasks) == []

    tell(story)


def test_a_plan_is_refused_as_the_command_would_be(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        service_id = await swarm.run(service())

        with pytest.raises(Refused, match="already taken"):
            await plan(swarm, service())
        with pytest.raises(Invalid, match="renamed"):
            await plan(swarm, service("other"), service_id)
        with pytest.raises(Invalid):
            await plan(swarm, with_image(service("third"), ""))
        with pytest.raises(Missing):
            await plan(swarm, service(), "nothing")

    tell(story)


def test_why_tells_node_by_node(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("small", resources=Resources(cpu_millis=500), images=(IMAGE,))
        await swarm.join("large", resources=ROOM, images=(IMAGE,))
        spec = service(replicas=2)
        task = structs.replace(spec.task, reservations=Resources(cpu_millis=3000))
        service_id = (await swarm.create(structs.replace(spec, task=task))).service.service.id
        await until(lambda: swarm.progress(service_id).running == 1)

        found = await why(swarm, "web")
        refused = {each.hostname: each.filter for each in found.verdicts}
        assert refused == {"large": "cpu", "leader": "ready", "small": "cpu"}
        (pending,) = (task for task in swarm.view.tasks.values() if not task.node_id)
        of_task = await why(swarm, pending.id, "small")
        assert of_task.summary.endswith(pending.message)
        assert [each.hostname for each in of_task.verdicts] == ["small"]
        assert of_task.task.task.id == pending.id

        with pytest.raises(Missing, match="no such service or task"):
            await why(swarm, "nothing")
        with pytest.raises(Missing):
            await why(swarm, "web", "nowhere")
        with pytest.raises(Invalid):
            await why(swarm, "")

    tell(story)


def spreadable(replicas: int, **update: Any) -> ServiceSpec:
    """A service that stays off the manager's own node, which has no agent here."""
    spec = service(replicas=replicas)
    task = TaskSpec(
        container=spec.task.container,
        placement=Placement(constraints=("node.role==worker",)),
    )
    return ServiceSpec(
        name="web", mode=Replicated(replicas=replicas), task=task, update=UpdatePolicy(**update)
    )


def test_moves_may_be_looked_at_before_they_are_made(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(4, parallelism=0, monitor_s=0.0))
        await swarm.join("two", resources=ROOM, images=(IMAGE,))

        looked = await rebalance(swarm, dry_run=True)
        assert [(each.from_hostname, each.to_hostname) for each in looked.moves] == [
            ("one", "two"),
            ("one", "two"),
        ]
        assert not any(task.eviction for task in swarm.view.tasks.values())

        made = await rebalance(swarm)
        assert [each.task_id for each in made.moves] == [each.task_id for each in looked.moves]
        await until(lambda: spread(swarm) == Counter(one=2, two=2))
        assert not (await rebalance(swarm)).moves

    tell(story)


def test_so_many_moves_as_are_asked_for_and_none_below_zero(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(6, parallelism=0, monitor_s=0.0))
        await swarm.join("two", resources=ROOM, images=(IMAGE,))

        assert len((await rebalance(swarm, max_moves=2, dry_run=True)).moves) == 2
        with pytest.raises(Invalid, match="max_moves"):
            await rebalance(swarm, max_moves=-1)

    tell(story)


def test_a_budget_spreads_moves_over_waves(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        await swarm.run(spreadable(6, parallelism=1, monitor_s=0.0))
        await swarm.join("two", resources=ROOM, images=(IMAGE,))

        waves: list[int] = []
        while (found := await rebalance(swarm)).moves or found.held_back:
            waves.append(len(found.moves))
            await until(lambda: sum(spread(swarm).values()) == 6)

        assert sum(waves) == 3
        assert max(waves) == 1
        assert spread(swarm) == Counter(one=3, two=3)

    tell(story)
