"""Stand between managers and the fake store: latency, lost answers, late writes, watches.

Every request takes time on its way there and back. It may not arrive, its answer may be
lost, or it may be done after it was given up: whoever asked must cope with all three. A slow
disk delays commits, a failing one refuses some. Each manager's watch delivers the commits in
order, some time after they happened.
"""

from collections.abc import Callable, Coroutine
from typing import Any

from manager.store import Batch, Commit, Compacted, Limits
from swarm.errors import Conflict, SwarmError, Unavailable
from tests.sim.engine import Engine
from tests.sim.fake_store import FakeStore
from tests.sim.network import ETCD, Network

Done = Callable[[Any], None]
Failed = Callable[[SwarmError], None]


class Etcd:
    """The store, and everyone who watches it."""

    def __init__(self, engine: Engine, network: Network, limits: Limits) -> None:
        self.engine = engine
        self.network = network
        self.store = FakeStore(clock=lambda: engine.now, limits=limits)
        self.committed: Callable[[Batch], None] = lambda batch: None
        self.before: Callable[[Commit, object], None] = lambda commit, witness: None
        self.is_down = False
        self.is_slow = False
        self.is_failing = False
        self._watches: list[Watch] = []
        self._told = self.store.revision
        self._tick()

    def request(self, asker: str, question: Callable[[], Any], done: Done, failed: Failed) -> None:
        """Ask the store something; exactly one of `done` and `failed` is called, later."""
        engine = self.engine
        if engine.fault("request is given up and done late"):
            given_up = Unavailable("given up")
            engine.after(engine.latency(), lambda: failed(given_up))
            late = engine.between(0.1, 2.0, "late requests")
            engine.after(late, lambda: self._late(asker, question))
            return
        lost = engine.fault("request is lost")
        delay = engine.latency()

        def arrive() -> None:
            if self.is_down or lost or self.network.between(asker, ETCD):
                self._give_up(failed, "etcd does not answer")
                return
            try:
                answer = question()
            except SwarmError as err:
                if self.network.between(ETCD, asker):
                    self._give_up(failed, "its answer did not get through")
                    return
                refusal = err
                engine.after(engine.latency(), lambda: failed(refusal))
                return
            finally:
                self.publish()
            if engine.fault("answer is lost") or self.network.between(ETCD, asker):
                self._give_up(failed, "its answer was lost")
            else:
                engine.after(engine.latency(), lambda: done(answer))

        engine.after(delay, arrive)

    def commit(
        self, asker: str, commit: Commit, done: Done, failed: Failed, *, witness: object = None
    ) -> None:
        """Commit; a leader's meets a conflict out of nowhere at times."""

        def question() -> int:
            if witness is not None and self.engine.fault("conflict"):
                raise Conflict("injected")
            if self.is_failing and self.engine.fault("disk error"):
                raise Unavailable("etcd's disk failed: injected")
            self.publish()
            self.before(commit, witness)
            try:
                return self.store.apply(commit)
            except SwarmError:
                self.before(commit, None)
                raise

        if self.is_slow:
            slow = self.engine.between(0.05, 1.2, "slow commits")
            self.engine.after(slow, lambda: self.request(asker, question, done, failed))
        else:
            self.request(asker, question, done, failed)

    def watch(
        self, asker: str, after: int, deliver: Callable[[list[Batch] | None], None]
    ) -> "Watch":
        """Deliver what happens after a revision; None when that was compacted away."""
        watch = Watch(self, asker, after, deliver)
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

    def _give_up(self, failed: Failed, why: str) -> None:
        failure = Unavailable(why)
        self.engine.after(self.engine.between(0.05, 0.5, "timeouts"), lambda: failed(failure))

    def _late(self, asker: str, question: Callable[[], Any]) -> None:
        if self.is_down:
            return
        try:
            question()
            self.engine.tell("etcd", f"did a request of {asker} that was given up")
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
        self, etcd: Etcd, asker: str, after: int, deliver: Callable[[list[Batch] | None], None]
    ) -> None:
        self.is_over = False
        self._etcd = etcd
        self._asker = asker
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
        if self._etcd.is_down or self._etcd.network.is_cut(self._asker, ETCD):
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
