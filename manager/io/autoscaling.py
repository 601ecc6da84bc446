"""Have the replicas of autoscaled services follow their use, while this manager leads.

What tasks use is read from their nodes, through the same conversations that serve `swarmctl
stats`, and from a Prometheus server. The decision is `manager.autoscaling`'s; it is written
to the service's ledger, and the planners do the rest. What was proposed lately is kept in
memory only: after a change of leader shrinking waits a whole window again.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator

import structlog
from msgspec import Struct, structs

from manager.autoscaling import History, Load, Measured, desired, remembered
from manager.decisions import Plan, WriteLedger, commit_for
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.io.prometheus import Prometheus
from manager.orchestrator.scaling import replicas_of
from manager.view import ClusterView
from swarm.api.v1 import control_pb2
from swarm.errors import Conflict, SwarmError
from swarm.ids import ServiceId, TaskId
from swarm.objects import Ledger, Service, Task
from swarm.specs import Autoscale, Replicated
from swarm.states import HealthState, TaskState

PERIOD_S = 5.0
FRESH_PERIODS = 3
"""A sample counts for so many periods: then its node is silent, and nothing is known."""
MOST_QUERIES = 16

Stats = Callable[[control_pb2.WatchStatsRequest], AsyncGenerator[control_pb2.StatsBatch]]


class Autoscaling:
    """The loop. `stats` yields what tasks use, for as long as it is read."""

    def __init__(
        self,
        mirror: Mirror,
        leader: Leader,
        stats: Stats,
        log: structlog.stdlib.BoundLogger,
        *,
        period_s: float = PERIOD_S,
    ) -> None:
        self._mirror = mirror
        self._leader = leader
        self._stats = stats
        self._log = log
        self._period_s = period_s
        self._prometheus = Prometheus()
        self._queries = asyncio.Semaphore(MOST_QUERIES)
        self._histories: dict[ServiceId, tuple[Autoscale, History]] = {}

    async def run(self) -> None:
        """Scale whenever this manager leads, for ever."""
        try:
            while True:
                term = await self._leader.leading()
                self._histories.clear()
                await self._lead(term)
        finally:
            await self._prometheus.close()

    async def _lead(self, term: int) -> None:
        uses = _Uses(self._stats, self._mirror.clock, self._period_s, self._log)
        try:
            while self._leader.leads and await self._leader.leading() == term:
                scaled = list(_autoscaled(self._mirror.view))
                uses.follow({each.id for each in scaled if _is_sampled(each)})
                await asyncio.sleep(self._period_s)
                await self._scale_all(uses)
        finally:
            await uses.close()

    async def _scale_all(self, uses: "_Uses") -> None:
        view = self._mirror.view
        services = list(_autoscaled(view))
        for service_id in self._histories.keys() - {each.id for each in services}:
            del self._histories[service_id]
        answers = await asyncio.gather(*(self._asked(each) for each in services))
        for service, (answer, problem) in zip(services, answers, strict=True):
            if self._leader.leads and view.services.get(service.id) == service:
                loads = tuple(_loads(view, service, uses))
                await self._scale(service, Measured(loads=loads, answer=answer, problem=problem))
        for ledger in list(view.ledgers.values()):
            present = view.services.get(ledger.service_id)
            if ledger.replicas and present is not None and present.spec.autoscale is None:
                forgotten = structs.replace(ledger, replicas=0, scaled_at=0.0, scale_message="")
                await self._write(present, forgotten)

    async def _asked(self, service: Service) -> tuple[float | None, str]:
        """What the service's query yields, or why it yields nothing."""
        policy, cluster = service.spec.autoscale, self._mirror.view.cluster
        if policy is None or not policy.query:
            return None, ""
        url = cluster.spec.prometheus_url if cluster is not None else ""
        try:
            async with self._queries:
                return await self._prometheus.ask(url, policy.query), ""
        except SwarmError as err:
            return None, f"{err.message} ({err.hint})" if err.hint else err.message

    async def _scale(self, service: Service, measured: Measured) -> None:
        view, now, policy = self._mirror.view, self._mirror.clock(), service.spec.autoscale
        assert policy is not None
        before, history = self._histories.get(service.id, (policy, ()))
        scaling = desired(
            policy,
            service.spec.task,
            measured,
            replicas=replicas_of(view, service),
            now=now,
            history=history if before == policy else (),
        )
        self._histories[service.id] = (policy, scaling.history)
        present = view.ledgers.get(service.id, Ledger(service_id=service.id))
        ledger = remembered(present, scaling, now=now)
        if ledger is not None and await self._write(service, ledger):
            self._log.info(
                "service.scaled",
                service=service.spec.name,
                replicas=ledger.replicas,
                reason=ledger.scale_message,
            )

    async def _write(self, service: Service, ledger: Ledger) -> bool:
        """Commit it; when someone was faster, the next round decides anew."""
        plan = Plan(service_id=service.id, decisions=(WriteLedger(ledger),))
        now = self._mirror.clock()
        try:
            await self._leader.commit(commit_for(self._mirror.view, plan, now=now))
        except Conflict:
            return False
        except SwarmError as err:
            self._log.warning("scale.postponed", service=service.spec.name, reason=err.message)
            return False
        return True


class _Use(Struct, frozen=True):
    """The last sample of one task; `cpu_percent` is `None` until there were two."""

    at: float
    cpu_percent: float | None
    memory_bytes: int


class _Uses:
    """What the tasks of some services use, kept current by one reader."""

    def __init__(
        self,
        stats: Stats,
        clock: Callable[[], float],
        period_s: float,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._stats = stats
        self._clock = clock
        self._period_s = period_s
        self._log = log
        self._services: set[ServiceId] = set()
        self._found: dict[TaskId, _Use] = {}
        self._reading: asyncio.Task[None] | None = None

    def follow(self, services: set[ServiceId]) -> None:
        """Read what these use from now on."""
        is_reading = self._reading is not None and not self._reading.done()
        if services == self._services and is_reading is bool(services):
            return
        self._services = services
        if self._reading is not None:
            self._reading.cancel()
        self._reading = asyncio.ensure_future(self._read(services)) if services else None

    def of(self, task_id: TaskId) -> _Use | None:
        """A task's last sample, unless it is too old."""
        found = self._found.get(task_id)
        if found is None or self._clock() - found.at > FRESH_PERIODS * self._period_s:
            self._found.pop(task_id, None)
            return None
        return found

    async def close(self) -> None:
        """Read no more."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self, services: set[ServiceId]) -> None:
        request = control_pb2.WatchStatsRequest(
            tasks=sorted(services), interval_s=self._period_s, once=False
        )
        try:
            async for batch in self._stats(request):
                for sample in batch.tasks:
                    self._take(sample)
        except SwarmError as err:
            self._log.debug("samples.lost", reason=err.message)

    def _take(self, sample: control_pb2.TaskStats) -> None:
        """The first sample of a task has no share of time in it: that takes two readings."""
        task_id = TaskId(sample.task_id)
        is_first = self.of(task_id) is None
        self._found[task_id] = _Use(
            self._clock(), None if is_first else sample.cpu_percent, sample.memory_bytes
        )


def _autoscaled(view: ClusterView) -> Iterator[Service]:
    for service in sorted(view.services.values(), key=lambda each: each.id):
        if service.spec.autoscale is not None and isinstance(service.spec.mode, Replicated):
            yield service


def _is_sampled(service: Service) -> bool:
    policy = service.spec.autoscale
    return policy is not None and (policy.cpu_percent > 0 or policy.memory_percent > 0)


def _loads(view: ClusterView, service: Service, uses: _Uses) -> Iterator[Load]:
    for task in view.tasks_of(service.id).values():
        if task.desired > TaskState.RUNNING or view.state(task).is_terminal:
            continue
        use = uses.of(task.id)
        yield Load(
            cpu_percent=use.cpu_percent if use is not None else None,
            memory_bytes=use.memory_bytes if use is not None else None,
            is_up=_is_up(view, task),
        )


def _is_up(view: ClusterView, task: Task) -> bool:
    seen = view.observation(task)
    is_well = seen is not None and seen.health in (HealthState.NONE, HealthState.HEALTHY)
    return is_well and view.state(task) is TaskState.RUNNING
