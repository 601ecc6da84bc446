from collections.abc import Callable
from dataclasses import dataclass

import pytest
from msgspec import structs

from manager import layout
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.codec import to_message
from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError
from swarm.specs import Availability, ContainerSpec, NodeSpec, Role, TaskSpec
from tests.manager.io.swarm import Swarm, certify, service, until
from tests.sim.fake_store import Fault

Tell = Callable[..., None]


@dataclass
class Update:
    """A change of a service that was read before."""

    request: control_pb2.UpdateServiceRequest

    @classmethod
    async def of(cls, swarm: Swarm, service_id: str) -> "Update":
        (found,) = (await swarm.services(service_id)).services
        return cls(
            control_pb2.UpdateServiceRequest(
                service_id=service_id, version=found.version, spec=found.service.spec
            )
        )


def test_the_swarm_is_shown_without_its_secrets(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        answer = await swarm.call("GetCluster", control_pb2.GetClusterRequest())

        assert answer.leader_id == "manager-1"
        assert answer.cluster.root_certificate
        for secret in ("root_key", "worker_token", "manager_token"):
            assert not answer.cluster.HasField(secret)

    tell(story)


def test_settings_are_changed_and_checked(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        spec = specs_pb2.ClusterSpec(cert_expiry_s=7200.0, heartbeat_s=2.0, task_history_limit=3)
        await swarm.call("UpdateCluster", control_pb2.UpdateClusterRequest(spec=spec))
        spec.heartbeat_s = 0.0
        with pytest.raises(Invalid, match="heartbeat_s"):
            await swarm.call("UpdateCluster", control_pb2.UpdateClusterRequest(spec=spec))

        assert swarm.view.cluster is not None
        assert swarm.view.cluster.spec.heartbeat_s == 2.0

    tell(story)


def test_tokens_are_replaced_with_the_settings_or_not_at_all(tell: Tell) -> None:
    async def token(swarm: Swarm, role: Role) -> str:
        asked = control_pb2.GetJoinTokenRequest(role=specs_pb2.Role.ValueType(role))
        return (await swarm.call("GetJoinToken", asked)).token

    async def story(swarm: Swarm) -> None:
        before = await swarm.call("GetCluster", control_pb2.GetClusterRequest())
        worker, manager = await token(swarm, Role.WORKER), await token(swarm, Role.MANAGER)
        request = control_pb2.UpdateClusterRequest(
            spec=before.cluster.spec,
            version=before.version,
            rotated=[specs_pb2.ROLE_WORKER],
        )
        request.spec.labels["tier"] = "gold"

        after = await swarm.call("UpdateCluster", request)

        assert after.version > before.version
        assert after.cluster.spec.labels == {"tier": "gold"}
        assert await token(swarm, Role.WORKER) != worker
        assert await token(swarm, Role.MANAGER) == manager
        request.rotated.append(specs_pb2.ROLE_MANAGER)
        with pytest.raises(Conflict, match="update out of sequence"):
            await swarm.call("UpdateCluster", request)
        assert await token(swarm, Role.MANAGER) == manager

    tell(story)


def test_nodes_are_shown_with_what_is_believed_of_them(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join("host-1")
        listed = await swarm.nodes()

        assert listed[agent.node_id].state == 2
        assert listed[agent.node_id].node.description.hostname == "host-1"
        assert listed["manager-1"].is_leader
        assert listed["manager-1"].manager_addr == "127.0.0.1:2377"
        with pytest.raises(Missing, match="nobody"):
            await swarm.call("ListNodes", control_pb2.ListNodesRequest(nodes=["nobody"]))

    tell(story)


def test_a_drained_node_gives_its_tasks_away(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        first = await swarm.join("first")
        service_id = await swarm.run(service(replicas=4))
        second = await swarm.join("second")

        spec = to_message(NodeSpec(availability=Availability.DRAIN))
        await swarm.call(
            "UpdateNode", control_pb2.UpdateNodeRequest(node_id=first.node_id, spec=spec)
        )
        await until(lambda: len(second.tasks) == 4 and swarm.progress(service_id).is_converged)

        assert all(state.is_terminal for state in first.states.values())

    tell(story)


@pytest.mark.parametrize(
    ("name", "request_", "error", "complaint"),
    [
        (
            "UpdateNode",
            control_pb2.UpdateNodeRequest(
                node_id="WORKER", spec=specs_pb2.NodeSpec(role=specs_pb2.ROLE_MANAGER)
            ),
            Refused,
            "promotion comes with multi-manager support",
        ),
        (
            "UpdateNode",
            control_pb2.UpdateNodeRequest(node_id="WORKER", version=1, spec=specs_pb2.NodeSpec()),
            Conflict,
            "out of sequence",
        ),
        ("RemoveNode", control_pb2.RemoveNodeRequest(node_id="WORKER"), Refused, "is ready"),
        (
            "RemoveNode",
            control_pb2.RemoveNodeRequest(node_id="manager-1", force=True),
            Refused,
            "is a manager",
        ),
        ("ReadLogs", control_pb2.ReadLogsRequest(), Invalid, "name at least one"),
        ("WatchService", control_pb2.WatchServiceRequest(service_id="no"), Missing, "no"),
        ("RemoveService", control_pb2.RemoveServiceRequest(service_id="no"), Missing, "no"),
        ("GetJoinToken", control_pb2.GetJoinTokenRequest(role=7), Invalid, "no role 7"),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_reason(
    tell: Tell, name: str, request_: object, error: type[SwarmError], complaint: str
) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        before = swarm.fake.list_now("nodes/").items
        if getattr(request_, "node_id", "") == "WORKER":
            request_.node_id = agent.node_id
        with pytest.raises(error, match=complaint):
            await swarm.ask(name, request_)

        assert swarm.fake.list_now("nodes/").items == before

    tell(story)


def test_a_worker_may_not_call_the_clusters_api(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        for name, request in (
            ("ListServices", control_pb2.ListServicesRequest()),
            ("GetJoinToken", control_pb2.GetJoinTokenRequest()),
            ("CreateService", control_pb2.CreateServiceRequest(spec=to_message(service()))),
        ):
            with pytest.raises(Refused, match="may not call"):
                await swarm.call(name, request, identity=agent.identity)

        assert not swarm.view.services

    tell(story)


def test_a_certificate_of_no_node_is_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        stranger = certify(swarm.members.founded, "stranger", Role.MANAGER)

        with pytest.raises(Refused, match="not part of this swarm"):
            await swarm.call("GetCluster", control_pb2.GetClusterRequest(), identity=stranger)

    tell(story)


def test_scaling_keeps_tasks_and_a_new_image_replaces_them(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        service_id = await swarm.run(service(replicas=2))
        first = set(swarm.view.tasks_of(service_id))

        await swarm.scale(service_id, 3)
        await until(lambda: swarm.progress(service_id).running == 3)
        kept = first & set(swarm.view.tasks_of(service_id))
        update = await Update.of(swarm, service_id)
        update.request.spec.task.container.image = "app:2"
        await swarm.call("UpdateService", update.request)
        await until(lambda: swarm.progress(service_id).is_converged)

        stored = swarm.view.services[service_id]
        assert kept == first
        assert stored.spec_version == 3  # what the third revision made
        assert stored.previous_spec is not None
        assert stored.previous_spec.task.container.image == "app:1"
        live = [t for t in swarm.view.tasks_of(service_id).values() if t.desired < 600]
        assert {task.spec_version for task in live} == {3}

    tell(story)


def test_an_update_of_what_changed_meanwhile_is_out_of_sequence(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        service_id = (await swarm.create(service())).service.service.id
        update = await Update.of(swarm, service_id)
        await swarm.scale(service_id, 5)

        with pytest.raises(Conflict, match="update out of sequence"):
            await swarm.call("UpdateService", update.request)

    tell(story)


def test_a_removed_service_leaves_nothing_behind(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join()
        service_id = await swarm.run(service(replicas=5))

        await swarm.call("RemoveService", control_pb2.RemoveServiceRequest(service_id=service_id))
        await until(lambda: not swarm.view.tasks_of(service_id))
        await until(lambda: not agent.tasks)

        left = {item.key.partition("/")[0] for item in swarm.fake.list_now("").items}
        founded = {"cluster", "names", "networks", "nodes", "pools"}
        assert left == {*founded, "leader", "managers", "sessions"}
        assert not swarm.fake.list_now(layout.NAMES + layout.SERVICE_NAMES).items

    tell(story)


def test_every_problem_of_a_spec_is_named_and_nothing_stored(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join()
        spec = service("-bad-", seccomp='{"defaultAction": "X"}')
        limits = structs.replace(spec.task.limits, memory_bytes=1 << 50)
        spec = structs.replace(spec, task=structs.replace(spec.task, limits=limits))

        with pytest.raises(Invalid) as caught:
            await swarm.create(spec)

        assert [each.partition(":")[0] for each in caught.value.problems] == [
            "name",
            "task.container.seccomp",
            "task.limits.memory_bytes",
        ]
        assert "1PiB is more than any node has; the largest, host, has 4GiB" in str(
            caught.value.problems
        )
        assert not swarm.fake.list_now(layout.NAMES + layout.SERVICE_NAMES).items

    tell(story)


def test_a_taken_name_is_refused(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.create(service())
        with pytest.raises(Refused, match="name web is already taken"):
            await swarm.create(service())

        assert len(swarm.view.services) == 1

    tell(story)


@pytest.mark.parametrize("fault", [Fault.CONFLICT, Fault.LOST_ANSWER, Fault.UNAVAILABLE])
def test_a_fault_of_the_store_makes_neither_two_services_nor_none(tell: Tell, fault: Fault) -> None:
    async def story(swarm: Swarm) -> None:
        swarm.fake.fail_next("commit", fault)
        created = await swarm.create(service())
        swarm.fake.fail_next("commit", fault)
        update = await Update.of(swarm, created.service.service.id)
        update.request.spec.labels["a"] = "b"
        await swarm.call("UpdateService", update.request)

        (stored,) = swarm.view.services.values()
        assert stored.spec.labels == {"a": "b"}
        assert len(swarm.fake.list_now(layout.NAMES + layout.SERVICE_NAMES).items) == 1

    tell(story)


def test_tasks_are_listed_by_what_is_asked_for(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join("host-1")
        await swarm.run(service(replicas=2))
        await swarm.run(service("other"))

        async def listed(**fields: list[str]) -> list[control_pb2.TaskView]:
            request = control_pb2.ListTasksRequest(**fields)
            return list((await swarm.call("ListTasks", request)).tasks)

        first, *_ = await listed(services=["web"])
        assert len(await listed()) == 3
        assert len(await listed(services=["web"])) == 2
        assert len(await listed(nodes=[agent.node_id])) == 3
        assert len(await listed(services=["other"], nodes=["host-1"])) == 1
        assert not await listed(nodes=["manager-1"])
        assert [each.task.id for each in await listed(tasks=[first.task.id])] == [first.task.id]
        assert first.node_hostname == "host-1"
        assert first.spec.container.image == "app:1"
        assert first.observation.state == 512

    tell(story)


def test_a_spec_that_was_never_pinned_keeps_its_image(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        task = TaskSpec(container=ContainerSpec(image="nowhere.invalid/app"))
        spec = structs.replace(service(), task=task)

        created = await swarm.create(spec, resolve_image=False)

        assert created.service.service.spec.task.container.image == "nowhere.invalid/app"

    tell(story)
