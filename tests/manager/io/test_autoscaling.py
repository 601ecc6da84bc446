"""Scaling by scripted samples and a small Prometheus, on a real leader."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec import structs

from manager.autoscaling import CANNOT
from manager.io import prometheus
from manager.io.autoscaling import Autoscaling
from manager.orchestrator.scaling import replicas_of
from swarm.api.v1 import control_pb2
from swarm.codec import to_message
from swarm.errors import Unavailable
from swarm.ids import ServiceId
from swarm.objects import Ledger
from swarm.specs import Autoscale, Resources
from tests.etcd import free_port
from tests.manager.io.swarm import IMAGE, LOG, ROOM, Swarm, service, until

Tell = Callable[..., None]
PERIOD_S = 0.05


class Loads:
    """What tasks are said to use: all the same share of a core; `None` says nothing."""

    def __init__(self, swarm: Swarm) -> None:
        self.cpu_percent: float | None = 0.0
        self.asked: list[control_pb2.WatchStatsRequest] = []
        self._swarm = swarm

    async def stats(
        self, request: control_pb2.WatchStatsRequest
    ) -> AsyncGenerator[control_pb2.StatsBatch]:
        self.asked.append(request)
        while True:
            if self.cpu_percent is not None:
                yield control_pb2.StatsBatch(
                    tasks=[
                        control_pb2.TaskStats(task_id=each, cpu_percent=self.cpu_percent)
                        for each in self._swarm.view.tasks
                    ]
                )
            await asyncio.sleep(PERIOD_S / 2)


@asynccontextmanager
async def scaling(swarm: Swarm) -> AsyncIterator[Loads]:
    """A quick loop beside the manager's own, which looks every five seconds."""
    loads = Loads(swarm)
    loop = Autoscaling(
        swarm.manager.mirror, swarm.manager.leader, loads.stats, LOG, period_s=PERIOD_S
    )
    running = asyncio.ensure_future(loop.run())
    try:
        yield loads
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def autoscaled(**policy: object) -> object:
    spec = service()
    task = structs.replace(spec.task, reservations=Resources(cpu_millis=100))
    found = Autoscale(**{"least": 1, "most": 4, "down_window_s": 0.2} | policy)
    return structs.replace(spec, task=task, autoscale=found)


def replicas(swarm: Swarm, service_id: str) -> int:
    return replicas_of(swarm.view, swarm.view.services[ServiceId(service_id)])


def ledger(swarm: Swarm, service_id: str) -> Ledger:
    return swarm.view.ledgers.get(ServiceId(service_id), Ledger(service_id=ServiceId(service_id)))


@asynccontextmanager
async def small_prometheus(answer: Callable[[str], object]) -> AsyncIterator[str]:
    """A server of `/api/v1/query` that answers with one series, or what else is given."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        target = urlsplit(head.split(" ")[1])
        assert target.path == "/api/v1/query"
        found = answer(parse_qs(target.query)["query"][0])
        if found is None:
            await reader.read()  # until the caller hangs up
        else:
            series = [{"metric": {}, "value": [1.0, str(found)]}]
            data = {"resultType": "vector", "result": series}
            body = json.dumps({"status": "success", "data": data}).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*serving, return_exceptions=True)


async def know(swarm: Swarm, prometheus_url: str) -> None:
    found = await swarm.call("GetCluster", control_pb2.GetClusterRequest())
    spec = found.cluster.spec
    spec.prometheus_url = prometheus_url
    await swarm.call("UpdateCluster", control_pb2.UpdateClusterRequest(spec=spec))


def test_a_service_grows_with_its_use_and_shrinks_after_its_window(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        async with scaling(swarm) as loads:
            loads.cpu_percent = 10.0  # of a core, and so all of what a task reserves
            service_id = await swarm.run(autoscaled(cpu_percent=50))

            await until(lambda: swarm.progress(service_id).running == 4)
            assert ledger(swarm, service_id).scale_message.startswith("cpu at 100% (target 50%)")
            assert ledger(swarm, service_id).scaled_at > 0

            loads.cpu_percent = 0.5
            await until(lambda: swarm.progress(service_id).running == 1)
            assert {each for asked in loads.asked for each in asked.tasks} == {service_id}

    tell(story)


def test_without_samples_nothing_changes_and_the_service_says_so(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        async with scaling(swarm) as loads:
            loads.cpu_percent = None
            service_id = await swarm.run(autoscaled(cpu_percent=50, least=2))

            await until(lambda: ledger(swarm, service_id).scale_message)
            assert ledger(swarm, service_id).scale_message.startswith(CANNOT)
            assert replicas(swarm, service_id) == 2

            loads.cpu_percent = 10.0
            await until(lambda: replicas(swarm, service_id) == 4)

    tell(story)


def test_a_query_scales_a_service(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        queue = {"length": 35.0}
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        async with small_prometheus(lambda query: queue[query]) as url, scaling(swarm) as loads:
            await know(swarm, url)
            service_id = await swarm.run(autoscaled(query="length", target=10.0))

            await until(lambda: swarm.progress(service_id).running == 4)
            queue["length"] = 11.0
            await until(lambda: replicas(swarm, service_id) == 2)
            assert loads.asked == []

    tell(story)


def test_a_prometheus_that_is_away_changes_nothing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        async with scaling(swarm):
            service_id = await swarm.run(autoscaled(query="length", target=10.0, least=2))
            await until(lambda: ledger(swarm, service_id).scale_message)
            assert "knows no prometheus" in ledger(swarm, service_id).scale_message

            await know(swarm, f"http://127.0.0.1:{free_port()}")
            await until(lambda: "cannot be asked" in ledger(swarm, service_id).scale_message)
            assert replicas(swarm, service_id) == 2

    tell(story)


def test_what_autoscaling_decided_is_forgotten_with_its_policy(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await swarm.join("one", resources=ROOM, images=(IMAGE,))
        async with scaling(swarm) as loads:
            loads.cpu_percent = 10.0
            service_id = await swarm.run(autoscaled(cpu_percent=50))
            await until(lambda: ledger(swarm, service_id).replicas == 4)

            (found,) = (await swarm.services(service_id)).services
            fixed = structs.replace(autoscaled(), autoscale=None)
            await swarm.call(
                "UpdateService",
                control_pb2.UpdateServiceRequest(
                    service_id=service_id, version=found.version, spec=to_message(fixed)
                ),
            )

            await until(lambda: ledger(swarm, service_id).replicas == 0)
            await until(lambda: swarm.progress(service_id).is_converged)
            assert swarm.progress(service_id).running == 1

    tell(story)


def test_a_server_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus, "PATIENCE_S", 0.1)

    async def story() -> None:
        async with small_prometheus(lambda query: None) as url:
            asking = prometheus.Prometheus()
            with pytest.raises(Unavailable, match="did not answer within"):
                await asking.ask(url, "up")
            await asking.close()

    asyncio.run(story())
