"""A host: containers that outlive their agent, and the agent's real machines over them.

What a container does follows from its image: `bad` ones crash at once, `ill` ones never pass
their health check, those of jobs end by themselves. Any of them may have bad luck besides.
"""

from collections.abc import Callable

from msgspec import Struct

from agent import session as sessions
from agent.assignments import Gap
from agent.effects import (
    Abandon,
    Connect,
    Delete,
    Effect,
    Kill,
    Leave,
    Prepare,
    Route,
    Signal,
    Start,
    Wait,
)
from agent.events import (
    Abandoned,
    Event,
    Examined,
    Exited,
    GraceExpired,
    Left,
    Prepared,
    PrepareFailed,
    Started,
    StartFailed,
)
from agent.session import Session
from agent.tasks import Stray, Tasks
from swarm.dispatch import (
    Diff,
    FromManager,
    Goodbye,
    Heartbeat,
    Snapshot,
    StatusAck,
    StatusBatch,
    Welcome,
)
from swarm.ids import NodeId, TaskId
from swarm.objects import NodeDescription, Task
from swarm.specs import TaskSpec
from swarm.states import HealthState
from tests.sim.engine import Clock, Engine
from tests.sim.manager import Manager
from tests.sim.network import Network, Stream

CRASHING, ILL, FINITE = "bad", "ill", "job"
"""What may be part of an image's name."""


LEAVES_S = 0.3


def image_works(image: str) -> bool:
    """Whether containers of this image do what they are to do."""
    return CRASHING not in image and ILL not in image


class Container(Struct):
    """What is left of a container on its host; its `health`, if it has a check."""

    task: Task
    spec: TaskSpec
    pid: int
    started_at: float
    exit: Exited | None = None
    health: Examined | None = None
    ignores_signals: bool = False


class Node:
    """One host. `started` and `acknowledged` tell the judge."""

    def __init__(
        self,
        engine: Engine,
        network: Network,
        managers: dict[str, Manager],
        name: str,
        *,
        description: NodeDescription,
        started: Callable[["Node", Container], None],
        acknowledged: Callable[["Node", StatusBatch], None],
        ended: Callable[["Node", Container], None],
    ) -> None:
        self.id = NodeId(name)
        self.containers: dict[TaskId, Container] = {}
        self.description = description
        self.is_up = False
        self.is_slow = False
        self.is_failing = False
        self.is_gone = False
        self.clock = Clock(engine, engine.between(-2.0, 2.0, f"clock of {name}"))
        self._engine = engine
        self._network = network
        self._managers = managers
        self._started = started
        self._acknowledged = acknowledged
        self._ended = ended
        self._life = 0
        self._pid = 100
        self._stream: Stream | None = None
        self._streams: dict[int, Stream] = {}
        self._flying: dict[int, StatusBatch] = {}
        self._timer = 0
        self._abandonable: set[TaskId] = set()

    @property
    def running(self) -> list[Container]:
        """The containers whose process lives."""
        return [each for each in self.containers.values() if each.exit is None]

    # -- birth and death -----------------------------------------------------------------

    def start_agent(self) -> None:
        """Start an agent over whatever containers are there."""
        self._life += 1
        self.is_up = True
        strays = [
            Stray(
                task_id=task_id,
                pid=each.pid,
                started_at=each.started_at,
                exit=each.exit,
                examined=each.health,
            )
            for task_id, each in sorted(self.containers.items())
        ]
        self.tasks = Tasks(strays)
        dice = self._engine.dice(f"dialling of {self.id}")
        self.session = Session(tuple(self._managers), random=dice)
        self._flying.clear()
        self._abandonable.clear()
        self._tell(f"agent starts over {len(strays)} containers")
        self._pump()

    def kill_agent(self) -> None:
        """The agent dies; its containers go on."""
        if not self.is_up:
            return
        self._tell("agent is killed")
        for stream in self._streams.values():
            stream.close(by="node")
        self._stop_agent()

    def lose_power(self) -> None:
        """The host dies with everything on it, traces of containers included."""
        self._tell(f"host dies with {len(self.running)} containers")
        for stream in self._streams.values():
            stream.sever()
        self._stop_agent()
        for container in self.running:
            self._ended(self, container)
        self.containers.clear()

    def leave(self) -> None:
        """The operator has this node leave: its containers end, and it says goodbye."""
        if not self.is_up or not self.session.is_live or self._stream is None:
            return
        self._tell(f"leaves with {len(self.running)} containers")
        for container in self.running:
            self._ended(self, container)
        self.containers.clear()
        self._stream.to_manager(Goodbye())
        self._stop_agent()

    def _stop_agent(self) -> None:
        self.is_up = False
        self._life += 1
        self._streams.clear()
        self._stream = None

    def fail(self, task_id: TaskId, exit_code: int) -> None:
        """A container's process ends by itself."""
        container = self.containers.get(task_id)
        if container is None or container.exit is not None:
            return
        container.exit = Exited(exit_code=exit_code, finished_at=self._at())
        self._tell(f"container {task_id[:6]} exits with {exit_code}")
        self._ended(self, container)
        self._happened(task_id, container.exit)

    def examine(self, task_id: TaskId, health: HealthState) -> None:
        """A container's health check finds something out, whoever listens."""
        container = self.containers.get(task_id)
        if container is None or container.exit is not None:
            return
        container.health = Examined(health=health)
        self._tell(f"container {task_id[:6]} is {health.word}")
        self._happened(task_id, container.health)

    # -- the session ---------------------------------------------------------------------

    def hear(self, stream: Stream, message: FromManager) -> None:
        """A message of a manager arrives."""
        if stream is not self._stream or not self.is_up:
            return
        now = self._engine.now
        self.session.heard(now=now)
        match message:
            case Welcome():
                self.session.welcomed(message.managers, message.heartbeat_s, now=now)
                self._do(self.tasks.welcomed(message, at=self._at(), now=now))
            case Snapshot() | Diff():
                found = self.tasks.take(message, at=self._at(), now=now)
                if isinstance(found, Gap):
                    self._tell(f"starts over: {found.reason}")
                    self._break()
                else:
                    self._do(found)
            case StatusAck(sequence=sequence):
                self.tasks.reports.acknowledged(sequence)
                for number in [each for each in self._flying if each <= sequence]:
                    self._acknowledged(self, self._flying.pop(number))
            case _:
                pass
        self._pump()

    def hung_up(self, stream: Stream) -> None:
        """The manager's side is gone."""
        if stream is self._stream and self.is_up:
            self._break()
            self._pump()

    def _break(self) -> None:
        if self._stream is not None:
            self._stream.close(by="node")
            self._stream = None
            self._flying.clear()
            self.tasks.disconnected(now=self._engine.now)
        self.session.broken(self.session.attempt, now=self._engine.now)

    def _dial(self, effect: sessions.Dial) -> None:
        manager = self._managers[effect.address]
        life, attempt = self._life, effect.attempt

        def arrive() -> None:
            if life != self._life or self._network.is_cut(self.id, manager.id):
                return
            if not manager.is_serving:
                self._engine.after(self._engine.latency(), refused)
                return
            stream = Stream(self._network, self.id, manager.id, self, manager)
            self._engine.after(self._engine.latency(), lambda: stands(stream))

        def refused() -> None:
            if life == self._life and not self._network.is_cut(self.id, manager.id):
                self.session.broken(attempt, now=self._engine.now)
                self._pump()

        def stands(stream: Stream) -> None:
            if life != self._life or self._network.is_cut(self.id, manager.id):
                return
            if not self.session.connected(attempt, now=self._engine.now):
                return
            self._stream = stream
            self._streams = {attempt: stream}
            stream.to_manager(self.tasks.hello(self.description))
            self._pump()

        self._engine.after(self._engine.latency(), arrive)

    def _pump(self) -> None:
        """Do what is due, and set one timer for what will be."""
        now = self._engine.now
        for effect in self.session.due(now=now):
            match effect:
                case sessions.Dial():
                    self._dial(effect)
                case sessions.Beat():
                    if self._stream is not None:
                        self._stream.to_manager(Heartbeat())
                case sessions.HangUp(reason=reason):
                    self._tell(f"hangs up: {reason}")
                    if self._stream is not None:
                        self._stream.close(by="node")
                        self._stream = None
                        self._flying.clear()
                        self.tasks.disconnected(now=now)
        if self._stream is not None and (batch := self.tasks.reports.batch(now=now)):
            self._flying[batch.sequence] = batch
            self._stream.to_manager(batch)
            self.session.reported(now=now)
            if self._engine.fault("status comes twice"):
                self._stream.to_manager(batch)
        self.tasks.check()
        self._arm()

    def _arm(self) -> None:
        deadlines = (self.session.next_deadline(), self.tasks.reports.next_deadline())
        earliest = min(each for each in deadlines if each is not None)
        self._timer += 1
        timer, life = self._timer, self._life

        def ring() -> None:
            if timer == self._timer and life == self._life:
                self._pump()

        self._engine.after(max(0.0001, earliest - self._engine.now), ring)

    # -- effects -------------------------------------------------------------------------

    def _do(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        engine = self._engine
        match effect:
            case Route() | Connect():
                pass
            case Prepare(task_id=task_id):
                self._prepare(task_id)
            case Start(task_id=task_id):
                self._after(engine.between(0.003, 0.03, "starts"), lambda: self._run(task_id))
            case Abandon(task_id=task_id):
                if task_id in self._abandonable:
                    self._abandonable.discard(task_id)
                    self._answer(0.0, task_id, Abandoned())
            case Leave(task_id=task_id):
                self._answer(LEAVES_S, task_id, Left())
            case Signal(task_id=task_id):
                container = self.containers.get(task_id)
                if container is None or not container.ignores_signals:
                    delay = engine.between(0.001, 0.3, "stops")
                    engine.after(delay, lambda: self.fail(task_id, 143))
            case Kill(task_id=task_id):
                stuck = 4.0 if engine.fault("container hangs when killed") else 0.001
                engine.after(stuck, lambda: self.fail(task_id, 137))
            case Wait(task_id=task_id, delay_s=delay_s):
                self._answer(delay_s, task_id, GraceExpired())
            case Delete(task_id=task_id):
                left = self.containers.pop(task_id, None)
                assert left is None or left.exit is not None, f"{task_id} was deleted alive"
            case _:
                raise AssertionError(effect)

    def _prepare(self, task_id: TaskId) -> None:
        """Fetch the image: from a registry that may be away, to a disk that may be slow or full."""
        engine = self._engine
        if self.is_failing or engine.fault("preparing fails"):
            reason = "no space left on device" if self.is_failing else "image not found"
            self._answer(0.02, task_id, PrepareFailed(reason=reason))
            return
        is_slow = self.is_slow or engine.fault("preparing is slow")
        self._abandonable.add(task_id)
        delay = engine.between(0.0, 1.5 if is_slow else 0.01, "preparations")
        self._after(delay, lambda: self._prepared(task_id))

    def _prepared(self, task_id: TaskId) -> None:
        if task_id in self._abandonable:
            self._abandonable.discard(task_id)
            self._happened(task_id, Prepared())

    def _run(self, task_id: TaskId) -> None:
        if self._engine.fault("start fails"):
            self._happened(task_id, StartFailed(reason="mount refused"))
            return
        wanted = self.tasks.known(task_id)
        assert wanted is not None
        self._pid += 1
        container = Container(
            task=wanted.task, spec=wanted.spec, pid=self._pid, started_at=self._at()
        )
        self.containers[task_id] = container
        self._started(self, container)
        self._begin_checks(container)
        self._begin_fate(container)
        started = Started(
            pid=container.pid,
            started_at=container.started_at,
            is_checked=container.health is not None,
        )
        self._answer(0.002, task_id, started)

    def _begin_checks(self, container: Container) -> None:
        """Some containers never get healthy, some do not stay so."""
        if not container.spec.container.health.test:
            return
        engine, task_id = self._engine, container.task.id
        container.health = Examined(health=HealthState.STARTING)
        never = engine.fault("check never passes") or ILL in container.spec.container.image
        found = HealthState.UNHEALTHY if never else HealthState.HEALTHY
        engine.after(engine.between(0.0, 1.0, "checks"), lambda: self.examine(task_id, found))
        if engine.fault("check fails later"):
            later = engine.between(1.0, 8.0, "checks")
            engine.after(later, lambda: self.examine(task_id, HealthState.UNHEALTHY))

    def _begin_fate(self, container: Container) -> None:
        """What will become of it by itself."""
        engine, image = self._engine, container.spec.container.image
        container.ignores_signals = engine.fault("container ignores signals")
        if CRASHING in image or engine.fault("container crashes at once"):
            self._end(container, engine.between(0.0, 0.05, "lives"), 1)
        elif engine.fault("container crashes later"):
            self._end(container, engine.between(0.2, 8.0, "lives"), 1)
        elif FINITE in image:
            self._end(container, engine.between(0.05, 3.0, "lives"), 0)
        elif engine.fault("container is done"):
            self._end(container, engine.between(0.5, 8.0, "lives"), 0)

    def _end(self, container: Container, delay_s: float, exit_code: int) -> None:
        self._engine.after(delay_s, lambda: self.fail(container.task.id, exit_code))

    def _answer(self, delay_s: float, task_id: TaskId, event: Event) -> None:
        self._after(delay_s, lambda: self._happened(task_id, event))

    def _after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Later, provided that this agent still lives."""
        life = self._life
        self._engine.after(delay_s, lambda: action() if life == self._life else None)

    def _happened(self, task_id: TaskId, event: Event) -> None:
        if self.is_up:
            self._do(self.tasks.tell(task_id, event, at=self._at(), now=self._engine.now))
            self._pump()

    def _at(self) -> float:
        return self.clock.epoch

    def _tell(self, what: str) -> None:
        self._engine.tell(self.id, what)
