"""Join the machines to the world: messages and exits in, effects and reports out.

Everything happens on one event loop, and every event is handled to its end before the next
one. After the events of a tick, one `_turn` sends what is due and sets one timer for what
will be.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import assert_never

import structlog

from agent import session as sessions
from agent.assignments import Gap
from agent.effects import Effect
from agent.events import Event, Exited
from agent.io.link import Link
from agent.metrics import Metrics
from agent.session import Session
from agent.tasks import Tasks
from swarm.api.v1 import dispatch_pb2_grpc
from swarm.certificates import Identity
from swarm.dispatch import (
    CallBack,
    CallOff,
    Diff,
    FromAgent,
    FromManager,
    Goodbye,
    HeartbeatAck,
    Hello,
    LogSubscription,
    LogUnsubscription,
    Preflight,
    Snapshot,
    StatusAck,
    Welcome,
)
from swarm.dispatch import Heartbeat as Beating
from swarm.errors import SwarmError
from swarm.ids import TaskId
from swarm.objects import NodeDescription

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]
Asked = LogSubscription | LogUnsubscription | Preflight | CallBack | CallOff
Answer = Callable[[Link, Asked], None]


class Agent:
    """The tasks of this node and the line to a manager, kept going.

    Where the session has no managers, all that will ever be known is known at the start.

    `perform` does an effect; `answer` serves a manager's questions and `left` stops serving
    them; `learned` is told new managers, `changed` the task of each event, `settled` when a
    manager has said all that this node should hold, `supplied` when secrets or configs came.
    What `spawn` runs may fail only by a bug, which ends the process.
    """

    def __init__(
        self,
        *,
        tasks: Tasks,
        session: Session,
        identity: Callable[[], Identity],
        describe: Callable[[], NodeDescription],
        perform: Callable[[Effect], None],
        answer: Answer,
        left: Callable[[Link], None],
        learned: Callable[[tuple[str, ...]], None],
        changed: Callable[[TaskId], None],
        settled: Callable[[], None],
        supplied: Callable[[], None],
        spawn: Spawn,
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.tasks = tasks
        self._session = session
        self._identity = identity
        self._describe = describe
        self._perform = perform
        self._answer = answer
        self._left = left
        self._learned = learned
        self._changed = changed
        self._settled = settled
        self._supplied = supplied
        self._spawn = spawn
        self._metrics = metrics
        self._log = log
        self._link: Link | None = None
        self._dialing: set[asyncio.Task[None]] = set()
        self._current: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_due = False
        self._is_closed = False
        self._is_retired = False
        self._last_words = ""
        self._told: NodeDescription | None = None

    def start(self) -> None:
        """Dial the first manager as soon as the loop turns."""
        if self._session.is_idle:
            self._do(self.tasks.alone(at=time.time(), now=_now()))
            self._settled()
        self._wake()

    def retire(self) -> None:
        """Take no more orders and report nothing more; only the heart goes on beating.

        What ends from now on ends because the node leaves: told one by one, the manager would
        restart it here.
        """
        self._is_retired = True

    async def say_goodbye(self, *, within_s: float) -> None:
        """Have the manager know at once that the node is gone, if there is a session to say so."""
        if self._link is None or self._current is None or not self._session.is_live:
            return
        self._link.say(Goodbye())
        await asyncio.wait((self._current,), timeout=within_s)

    async def close(self) -> None:
        """Leave the session. No goodbye: the containers go on, and so will the next agent."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for each in self._dialing:
            each.cancel()
        await asyncio.gather(*self._dialing, return_exceptions=True)

    def tell(self, task_id: TaskId, event: Event) -> None:
        """Something happened to a task."""
        if self._is_closed or self._is_retired:
            return
        if isinstance(event, Exited):
            self._metrics.exits.inc()
            self._metrics.oom_kills.inc(int(event.oom_killed))
            self._log.info(
                "container.exited",
                task_id=task_id,
                exit_code=event.exit_code,
                oom_killed=event.oom_killed,
            )
        self._do(self.tasks.tell(task_id, event, at=time.time(), now=_now()))
        self._changed(task_id)
        self._wake()

    def describe_again(self) -> None:
        """The node may have changed: tell the manager if it did."""
        if not self._is_speaking or not self._session.is_live:
            return
        described = self._describe()
        if described != self._told:
            self._told = described
            self._say(described)

    @property
    def dispatcher(self) -> "dispatch_pb2_grpc.DispatcherAsyncStub | None":
        """How the manager of the present session is asked something; None without one."""
        if self._link is None or not self._link.is_welcome or not self._session.is_live:
            return None
        return self._link.dispatcher

    @property
    def _is_speaking(self) -> bool:
        return self._link is not None and not self._is_retired

    def _do(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._log.debug("task.effect", effect=type(effect).__name__)
            self._perform(effect)

    def _wake(self) -> None:
        if not self._is_due and not self._is_closed:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._is_due = False
        if self._is_closed:
            return
        now = _now()
        for effect in self._session.due(now=now):
            self._connect(effect)
        if self._is_speaking and (batch := self.tasks.reports.batch(now=now)) is not None:
            self._metrics.batches.inc()
            self._metrics.reports.inc(len(batch.statuses))
            self._say(batch)
            self._session.reported(now=now)
        self._arm(now)

    def _arm(self, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadlines = (self._session.next_deadline(), self.tasks.reports.next_deadline())
        earliest = min((each for each in deadlines if each is not None), default=None)
        if earliest is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, earliest - now), self._wake)

    def _connect(self, effect: sessions.Effect) -> None:
        match effect:
            case sessions.Dial(address, attempt):
                self._current = self._spawn(self._dial(address, attempt))
                self._dialing.add(self._current)
                self._current.add_done_callback(self._dialing.discard)
            case sessions.Beat():
                self._metrics.heartbeats.inc()
                self._say(Beating())
            case sessions.HangUp(reason):
                self._note(reason)
                self._lost()
                if self._current is not None:
                    self._current.cancel()
            case _:
                assert_never(effect)

    async def _dial(self, address: str, attempt: int) -> None:
        link = Link(address, attempt)
        try:
            await link.run(
                self._identity(),
                lambda: self._hello(link),
                lambda message: self._hear(link, message),
            )
        except SwarmError as err:
            if attempt == self._session.attempt:
                said = err.message
                self._note(said if address in said else f"{address}: {said}")
        finally:
            self._session.broken(attempt, now=_now())
            if link is self._link:
                self._lost()
            self._wake()

    def _hello(self, link: Link) -> Hello | None:
        if self._is_retired or not self._session.connected(link.attempt, now=_now()):
            return None
        self._link = link
        self._told = self._describe()
        return self.tasks.hello(self._told)

    def _lost(self) -> None:
        if self._link is None:
            return
        self._left(self._link)
        self._metrics.reconnects.inc(int(self._link.is_welcome))
        self._link = None
        self._metrics.connected.set(0)
        self.tasks.disconnected(now=_now())

    def _note(self, words: str) -> None:
        """Log why there is no session, once per reason: a dead manager is dialled for hours."""
        if words != self._last_words and not self._is_retired:
            self._log.warning("session.broken", reason=words)
        self._last_words = words

    def _say(self, value: FromAgent) -> None:
        if self._link is not None:
            self._link.say(value)

    def _hear(self, link: Link, message: FromManager) -> None:
        if link is not self._link:
            return
        now = _now()
        self._session.heard(now=now)
        if self._is_retired:
            return
        match message:
            case Welcome():
                self._welcomed(link, message, now)
            case Snapshot() | Diff():
                self._take(link, message, now)
            case StatusAck(sequence=sequence):
                self.tasks.reports.acknowledged(sequence)
            case HeartbeatAck():
                pass
            case LogSubscription() | LogUnsubscription() | Preflight() | CallBack() | CallOff():
                self._answer(link, message)
            case _:
                assert_never(message)
        self._wake()

    def _welcomed(self, link: Link, message: Welcome, now: float) -> None:
        link.is_welcome, known = True, self._session.managers
        self._session.welcomed(message.managers, message.heartbeat_s, now=now)
        self._metrics.connected.set(1)
        self._last_words = ""
        self._log.info(
            "session.opened",
            manager=self._session.address,
            session_id=message.session_id,
            in_sync=message.in_sync,
        )
        if self._session.managers != known:
            self._learned(self._session.managers)
        self._do(self.tasks.welcomed(message, at=time.time(), now=now))
        if message.in_sync:
            self._settled()

    def _take(self, link: Link, message: Snapshot | Diff, now: float) -> None:
        effects = self.tasks.take(message, at=time.time(), now=now)
        if isinstance(effects, Gap):
            self._note(f"{link.address}: {effects.reason}")
            self._session.broken(link.attempt, now=now)
            self._lost()
            if self._current is not None:
                self._current.cancel()
            return
        self._do(effects)
        if message.contents:
            self._supplied()
        if isinstance(message, Snapshot):
            self._settled()


def _now() -> float:
    return time.monotonic()
