import time
from collections.abc import Callable

import pytest

from swarm.api.v1 import control_pb2, control_pb2_grpc
from tests.manager.io.swarm import Swarm, service, until

Story = Callable[[Swarm], object]


async def create_and_watch(swarm: Swarm) -> None:
    agents = [await swarm.join(f"host-{n}") for n in range(2)]
    began = time.perf_counter()

    created = await swarm.create(service(replicas=10), resolve_image=True)
    seen: list[int] = []
    async with swarm.dial() as channel:
        request = control_pb2.WatchServiceRequest(service_id=created.service.service.id)
        async for progress in control_pb2_grpc.ControlStub(channel).WatchService(request):
            seen.append(progress.running)
            if progress.running == 10:
                break

    print(f"10 tasks ran after {time.perf_counter() - began:.3f} s, told as {seen}")
    assert seen == sorted(seen)
    assert [len(agent.tasks) for agent in agents] == [5, 5]
    image = created.service.service.spec.task.container.image
    assert image == "app:1@sha256:" + "ab" * 32


def test_a_service_runs_and_its_creator_sees_it_come_up(tell: Callable[[Story], None]) -> None:
    tell(create_and_watch)


@pytest.mark.cluster
def test_a_service_runs_on_a_real_etcd(tell_on_etcd: Callable[[Story], None]) -> None:
    tell_on_etcd(create_and_watch)


@pytest.mark.cluster
def test_a_real_etcd_sees_tasks_replaced_and_removed(tell_on_etcd: Callable[[Story], None]) -> None:
    async def story(swarm: Swarm) -> None:
        agent = await swarm.join(images=())
        service_id = await swarm.run(service(replicas=20))

        await swarm.scale(service_id, 5)
        await until(lambda: swarm.progress(service_id).is_converged)
        told = await swarm.remove(service_id)
        await until(lambda: not agent.tasks)

        assert told[-1].removed
        kinds = {item.key.partition("/")[0] for item in (await swarm.store.read("")).items}
        founded = {"cluster", "names", "networks", "nodes", "pools"}
        assert kinds == {*founded, "leader", "managers", "sessions"}

    tell_on_etcd(story)
