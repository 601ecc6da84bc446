"""Stand between managers and the fake store: latency, lost answers, late writes, watches.

Every request takes time on its way there and back. It may not arrive, its answer may be
lost, or it may be done after it was given up: whoever asked must cope with all three. Each
manager's watch delivers the commits in order, some time after they happened.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from manager.store import Batch, Commit, Compacted
from swarm.errors import Conflict, SwarmError, Unavailable
from tests.sim.engine import Engine
from tests.sim.fake_store import FakeStore

Done = Callable[[Any], None]
Failed = Callable[[SwarmError], None]


class Etcd:
    """The store, and everyone who watches it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.store = FakeStore(clock=lambda: engine.now)
        self.committed: Callable[[Batch], None] = lambda batch: None
        self.before: Callable[[Commit, object], None] = lambda commit, witness: None
        self.is_down = False
        self._watches: list[Watch] = []
        self._told = self.store.revision
        self._tick()

    def request(
        self, question: Callable[[], Any], done: Done, failed: Failed, *, fault: float = 0.01
    ) -> None:
        """Ask the store something; exactly one of `done` and `failed` is called, later."""
        engine = self.engine
        lost, unanswered = engine.fault(fault), engine.fault(fault)
        late = unanswered and engine.random.random() < 0.3
        delay = engine.latency()

        def arrive() -> None:
            if self.is_down or (lost and not late):
                failure = Unavailable("etcd does not answer")
                engine.after(engine.between(0.05, 0.5), lambda: failed(failure))
                return
            try:
                answer = question()
            except SwarmError as err:
                refusal = err
                engine.after(engine.latency(), lambda: failed(refusal))
                return
            finally:
                self.publish()
            if unanswered:
                failure = Unavailable("its answer was lost")
                engine.after(engine.between(0.05, 0.5), lambda: failed(failure))
            else:
                engine.after(engine.latency(), lambda: done(answer))

        if late:
            failure = Unavailable("given up")
            engine.after(delay, lambda: failed(failure))
            engine.after(delay + engine.between(0.1, 2.0), lambda: self._late(question))
        else:
            engine.after(delay, arrive)

    def commit(self, commit: Commit, done: Done, failed: Failed, *, witness: object = None) -> None:
        """Commit; a leader's meets a conflict out of nowhere at times."""

        def question() -> int:
            if witness is not None and self.engine.fault(0.02):
                raise Conflict("injected")
            self.before(commit, witness)
            return self.store.apply(commit)

        self.request(question, done, failed)

    def watch(self, after: int, deliver: Callable[[list[Batch] | None], None]) -> "Watch":
        """Deliver what happens after a revision; None when that was compacted away."""
        watch = Watch(self, after, deliver)
        self._watches.append(watch)
        watch.nudge()
        return watch

    def unwatch(self, watch: "Watch") -> None:
        """Nobody listens any more."""
        watch.is_over = True
        self._watches.remove(watch)

    def publish(self) -> None:
        """Tell what happened since the last time."""
        if self.store.revision == self._told:
            return
        for batch in self.store.since("", self._told):
            self.committed(batch)
        self._told = self.store.revision
        for watch in self._watches:
            watch.nudge()

    def _late(self, question: Callable[[], Any]) -> None:
        if self.is_down:
            return
        try:
            question()
            self.engine.tell("etcd", "did a request that was given up")
        except SwarmError:
            pass
        self.publish()

    def _tick(self) -> None:
        if not self.is_down:
            self.store.expire()
            self.publish()
        self.engine.after(0.25, self._tick)


class Watch:
    """One manager's watch: in order, and late."""

    def __init__(
        self, etcd: Etcd, after: int, deliver: Callable[[list[Batch] | None], None]
    ) -> None:
        self.is_over = False
        self._etcd = etcd
        self._after = after
        self._deliver = deliver
        self._is_due = False

    def nudge(self) -> None:
        """Something happened: have it delivered soon."""
        if self._is_due or self.is_over:
            return
        self._is_due = True
        self._etcd.engine.after(self._etcd.engine.latency(), self._go)

    def _go(self) -> None:
        self._is_due = False
        if self.is_over:
            return
        if self._etcd.is_down:
            self._is_due = True
            self._etcd.engine.after(0.1, self._go)
            return
        try:
            batches = self._etcd.store.since("", self._after)
        except Compacted:
            self._deliver(None)
            return
        if batches:
            self._after = batches[-1].revision
            self._deliver(batches)


def answered(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine of the fake store, which never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("the fake store waited")
