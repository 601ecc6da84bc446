"""A manager: the real view, election, planners and dispatcher machines, without their shells.

What the shells in `manager/io` do with tasks and locks is done here with callbacks: follow
the watch, take part in the election, plan what is on the agenda one service at a time, serve
agents, commit their statuses. A manager that is killed forgets all and starts anew.
"""

from collections.abc import Callable
from enum import Enum, auto
from functools import partial
from typing import Any, Protocol

from msgspec import structs

from agent.topology import Table
from manager import layout, leadership
from manager.agenda import Agenda, Due, priorities
from manager.applied import Applied
from manager.decisions import (
    AssignTask,
    CreateTask,
    Evict,
    Plan,
    SetDesired,
    UpdateMessage,
    WriteLedger,
    changes_made,
    commit_for,
    commits_for,
)
from manager.dispatch.arrivals import arrive
from manager.dispatch.assignments import Assignments
from manager.dispatch.networks import Audience, Networks
from manager.dispatch.sessions import SILENT_PERIODS, Sessions
from manager.dispatch.statuses import Reported, expected, record
from manager.dispatch.topology import Surroundings
from manager.election import (
    Announce,
    Await,
    Claim,
    Claimed,
    Deposed,
    Effect,
    Elected,
    Event,
    Failed,
    Forestalled,
    Grant,
    Granted,
    Lapsed,
    Leading,
    Look,
    Release,
    Renew,
    RenewalFailed,
    Renewed,
    Revoke,
    Revoked,
    Seen,
    Ticked,
    Vacated,
    pack_holder,
    read_holder,
)
from manager.groups import check, split
from manager.liveness import Liveness
from manager.networks.addresses import Addresses
from manager.orchestrator.planning import plan_service
from manager.orchestrator.reaping import plan_node
from manager.scheduler.fleet import Fleet
from manager.store import (
    Absent,
    Batch,
    Commit,
    Delete,
    Fence,
    Item,
    LeaseId,
    Put,
    Unchanged,
    fenced,
    holds,
)
from manager.view import ClusterView
from swarm.codec import pack
from swarm.dispatch import (
    Diff,
    FromAgent,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    Snapshot,
    StatusAck,
    StatusBatch,
    Welcome,
)
from swarm.errors import Conflict, Missing, SwarmError
from swarm.ids import NodeId, TaskId
from swarm.objects import Ledger, Observation, Session
from swarm.states import NodeState
from tests.sim.engine import Clock, Engine
from tests.sim.etcd import Etcd, Watch, answered
from tests.sim.network import Stream

HEARTBEAT_S = 1.0
LEASE_TTL_S = 4
MOST_STARTS = 3
LONGEST_WAIT_S = 10.0


class Line:
    """One connected agent."""

    def __init__(self, stream: Stream, session_id: str, revision: int, networks: Networks) -> None:
        self.stream = stream
        self.session_id = session_id
        self.revision = revision
        self.surroundings = Surroundings(stream.node_id, networks)
        self.assignments = Assignments(stream.node_id, surroundings=self.surroundings)
        self.told = Table()
        self.is_moved = False
        self.touched: dict[TaskId, None] = {}
        self.sequence = 0
        self.statuses: list[Observation] = []


class Term:
    """What belongs to one term."""

    def __init__(self, fence: Fence, view: ClusterView, liveness: Liveness) -> None:
        self.fence = fence
        self.stretch: Unchanged | None = Unchanged(fence.key, fence.create_revision)
        self.fleet = Fleet.of(view)
        self.addresses = Addresses.of(view)
        self.liveness = liveness
        self.agenda = Agenda(priorities=partial(priorities, view))
        self.conflicts = 0
        self.nodes: dict[NodeId, None] = dict.fromkeys(sorted(view.nodes))
        self.is_busy = False


class Doom(Enum):
    """At which point of its next commit a manager dies."""

    ONCE_SENT = auto()
    BEFORE_ANSWER = auto()
    BETWEEN_PARTS = auto()


class Witness(Protocol):
    """Who looks at what leaders decide, as they see the cluster."""

    def took_office(self, manager: str, clock: Clock) -> None: ...
    def decided(self, manager: str, view: ClusterView, plan: Plan, *, now: float) -> None: ...


class Plea:
    """What a leader's commit rests on: who decides, and which tasks it believes lost."""

    def __init__(self, manager: str, fence: Fence, lost: frozenset[TaskId]) -> None:
        self.manager = manager
        self.fence = fence
        self.lost = lost


class Manager:
    """One manager process and its successors."""

    def __init__(
        self, engine: Engine, etcd: Etcd, judge: "Witness", name: str, *, most_starts: int
    ) -> None:
        self.id = NodeId(name)
        self.is_up = False
        self.is_serving = False
        self.term: Term | None = None
        self.view = ClusterView()
        self._engine = engine
        self._etcd = etcd
        self.clock = Clock(engine, engine.between(-0.3, 0.3, f"clock of {name}"))
        self.doom: Doom | None = None
        self._most_starts = most_starts
        self._judge = judge
        self._life = 0
        self._sessions_made = 0
        self._watch: Watch | None = None

    # -- birth and death -----------------------------------------------------------------

    def start(self) -> None:
        """Start a process; it serves once it has read everything."""
        self._life += 1
        self.is_up, self.is_serving, self.term = True, False, None
        self.doom = None
        self.view = ClusterView()
        self.networks = Networks.of(self.view)
        self.sessions = Sessions()
        self.lines: dict[NodeId, Line] = {}
        self._streams: set[Stream] = set()
        self._arriving: dict[NodeId, list[Callable[[], None]]] = {}
        self._waiting: list[tuple[int, Callable[[], None]]] = []
        self._lease: LeaseId | None = None
        self._fence: Fence | None = None
        self._is_reporting = False
        self._tell("starts")
        self._read_all()

    def kill(self) -> None:
        """The process dies; agents notice that their streams break."""
        if not self.is_up:
            return
        self._tell("is killed")
        self._life += 1
        self.is_up, self.is_serving, self.term = False, False, None
        if self._watch is not None:
            self._etcd.unwatch(self._watch)
            self._watch = None
        for stream in sorted(self._streams, key=lambda each: each.node_id):
            stream.close(by="manager")
        self._streams.clear()

    # -- the view ------------------------------------------------------------------------

    def _read_all(self) -> None:
        def done(snapshot: Any) -> None:
            self._tell_all(self.view.replace(snapshot.items, snapshot.revision, now=self._at()))
            self._watch = self._etcd.watch(self.id, snapshot.revision, self._alive(self._see))
            self._caught_up_to_waiting()
            if not self.is_serving:
                self._begin()

        self._ask(
            lambda: self._etcd.store.list_now(""),
            done,
            lambda err: self._later(0.1, self._read_all),
        )

    def _begin(self) -> None:
        self.is_serving = True
        for session in sorted(self.view.sessions.values(), key=lambda each: each.node_id):
            if session.manager_id == self.id:
                self.sessions.inherit(
                    session.node_id,
                    session.session_id,
                    heartbeat_s=HEARTBEAT_S,
                    now=self._engine.now,
                )
        self._watch_silence()
        self._be_present()
        self._election, effects = leadership.enter(
            node_id=self.id, address=self.id, ttl_s=LEASE_TTL_S
        )
        self._elect(effects)

    def _see(self, batches: list[Batch] | None) -> None:
        if batches is None:
            self._tell("was compacted away and lists again")
            assert self._watch is not None
            self._etcd.unwatch(self._watch)
            self._watch = None
            self._read_all()
            return
        for batch in batches:
            self._tell_all(self.view.apply(batch.changes, batch.revision, now=self._at()))
        self._caught_up_to_waiting()

    def _tell_all(self, applied: Applied) -> None:
        assert not applied.unreadable, applied.unreadable
        for node_id, tasks in applied.assigned.items():
            if (line := self.lines.get(node_id)) is not None:
                line.touched.update(dict.fromkeys(tasks))
                self._later(0.0, lambda line=line: self._write(line))
        self._move(self.networks.take(self.view, applied))
        for node_id in applied.nodes:
            self._reconsider(node_id)
        if (term := self.term) is not None:
            term.fleet.sync(self.view, applied)
            term.addresses.sync(self.view, applied)
            term.liveness.observe(self.view, applied, now=self._at())
            term.agenda.note(applied)
            term.nodes.update(dict.fromkeys(sorted(applied.nodes)))
            self._later(0.0, self._go_on)

    def _move(self, audience: Audience) -> None:
        for node_id in sorted(self.lines):
            if audience.is_all or node_id in audience.nodes:
                line = self.lines[node_id]
                line.is_moved = True
                self._later(0.0, lambda line=line: self._write(line))

    def _caught_up(self, revision: int, then: Callable[[], None]) -> None:
        self._waiting.append((revision, then))
        self._caught_up_to_waiting()

    def _caught_up_to_waiting(self) -> None:
        ready = [then for revision, then in self._waiting if revision <= self.view.revision]
        self._waiting = [each for each in self._waiting if each[0] > self.view.revision]
        for then in ready:
            then()

    def commit(
        self,
        commit: Commit,
        done: Callable[[int], None],
        failed: Callable[[SwarmError], None],
        *,
        plea: Plea | None = None,
    ) -> None:
        """Commit, and know of it at once."""

        def known(revision: int) -> None:
            changes = changes_made(commit, revision)
            self._tell_all(self.view.apply(changes, revision, now=self._at(), ahead=True))
            done(revision)

        doom, self.doom = self.doom, None if self.doom is not Doom.BETWEEN_PARTS else self.doom
        if doom is Doom.BEFORE_ANSWER:
            known = lambda revision: self.kill()  # noqa: E731
        self._etcd.commit(self.id, commit, self._alive(known), self._alive(failed), witness=plea)
        if doom is Doom.ONCE_SENT:
            self.kill()

    def _commit_parts(
        self,
        commit: Commit,
        done: Callable[[int], None],
        failed: Callable[[SwarmError], None],
        *,
        plea: Plea | None = None,
    ) -> None:
        """Commit what may be too much for one transaction, part by part."""
        parts = list(split(commit, self._etcd.store.limits))

        def go_on(revision: int = 0) -> None:
            if not parts:
                done(revision)
                return
            part = parts.pop(0)
            check(part, self._etcd.store.limits)
            self.commit(part, go_on, failed, plea=plea)
            if parts and self.doom is Doom.BETWEEN_PARTS:
                self.doom = Doom.BEFORE_ANSWER

        go_on()

    # -- the election --------------------------------------------------------------------

    def _elect(self, effects: tuple[Effect, ...]) -> None:
        for effect in effects:
            self._perform(effect)
        deadline = self._election.next_deadline
        if deadline is not None:
            self._later(deadline - self._engine.now + 1e-6, self._tick)

    def _tick(self) -> None:
        deadline = self._election.next_deadline
        if deadline is not None and deadline <= self._engine.now:
            self._happened(Ticked())

    def _happened(self, event: Event) -> None:
        self._election, effects = leadership.step(self._election, event, now=self._engine.now)
        self._election.check()
        self._elect(effects)

    def _perform(self, effect: Effect) -> None:
        store, sent_at = self._etcd.store, self._engine.now
        failed = lambda err: self._happened(Failed())  # noqa: E731
        match effect:
            case Announce(news=Elected(fence=fence)):
                self._tell(f"is elected, term {fence.create_revision}")
                self._fence = fence
                self._caught_up(fence.create_revision, lambda: self._take_office(fence))
            case Announce(news=Deposed(reason=reason)):
                self._tell(f"is deposed: {reason}")
                self._fence = self.term = None
            case Announce():
                pass
            case Look():
                self._ask(
                    lambda: store.list_now(layout.LEADER).find(layout.LEADER),
                    lambda item: self._happened(
                        Seen(read_holder(item.value), item.create_revision) if item else Seen(None)
                    ),
                    failed,
                )
            case Grant(ttl_s=ttl_s):
                self._ask(
                    lambda: answered(store.grant(ttl_s)),
                    lambda lease: self._happened(Granted(lease, sent_at)),
                    failed,
                )
            case Claim(holder=holder):
                put = Put(layout.LEADER, pack_holder(holder), holder.lease)
                self._etcd.commit(
                    self.id,
                    Commit((Absent(layout.LEADER),), (put,)),
                    self._alive(lambda revision: self._happened(Claimed(revision))),
                    self._alive(
                        lambda err: self._happened(
                            Forestalled() if isinstance(err, Conflict) else Failed()
                        )
                    ),
                )
            case Await(create_revision=revision):
                self._await_vacancy(revision)
            case Renew(lease=lease):
                self._ask(
                    lambda: answered(store.keep_alive(lease)),
                    lambda ttl_s: self._happened(Renewed(lease, ttl_s, sent_at)),
                    lambda err: self._happened(
                        Lapsed(lease) if isinstance(err, Missing) else RenewalFailed(lease)
                    ),
                )
            case Revoke(lease=lease):
                self._ask(
                    lambda: answered(store.revoke(lease)),
                    lambda _: self._happened(Revoked(lease)),
                    failed,
                )
            case Release(lease=lease):
                self._ask(lambda: answered(store.revoke(lease)), lambda _: None, lambda err: None)

    def _await_vacancy(self, revision: int) -> None:
        """Ask now and then; the real one watches the key."""

        def done(item: Any) -> None:
            if item is None or item.create_revision != revision:
                self._happened(Vacated(revision))
            else:
                again(None)

        def again(_: object) -> None:
            self._later(0.2, ask)

        def ask() -> None:
            self._ask(
                lambda: self._etcd.store.list_now(layout.LEADER).find(layout.LEADER), done, again
            )

        again(None)

    # -- leading -------------------------------------------------------------------------

    def _take_office(self, fence: Fence) -> None:
        if fence != self._fence:
            return
        liveness = Liveness(grace_s=SILENT_PERIODS * HEARTBEAT_S)
        doubted = liveness.elected(self.view, now=self._at())
        self._tell_all(self.view.doubt(doubted, now=self._at()))
        term = Term(fence, self.view, liveness)
        term.agenda.add(sorted(self.view.services))
        term.agenda.add(sorted(self.view.services_with_tasks()))
        term.agenda.add(sorted(self.view.endpoints))
        self.term = term
        self._judge.took_office(self.id, self.clock)
        self._tell(f"takes office; {len(doubted)} nodes are in doubt")
        self._later(0.0, self._go_on)

    def _go_on(self) -> None:
        term = self.term
        if term is None or term.is_busy:
            return
        if term.stretch is None:
            self._begin_stretch(term)
            return
        if over := term.liveness.expired(now=self._at()):
            self._tell(f"gives up {', '.join(over)}")
            self._tell_all(self.view.give_up(over, now=self._at()))
        term.liveness.check(self.view)
        due = term.agenda.next(now=self._at())
        if due is not None:
            self._plan(term, due)
        elif term.nodes:
            node_id = next(iter(term.nodes))
            del term.nodes[node_id]
            self._enact(
                term, plan_node(self.view, node_id), lambda: term.nodes.update({node_id: None})
            )
        else:
            deadlines = (term.agenda.next_deadline(), term.liveness.next_deadline())
            known = [each for each in deadlines if each is not None]
            patience = min((each - self._at() for each in known), default=LONGEST_WAIT_S)
            self._later(min(LONGEST_WAIT_S, max(0.001, patience)), self._go_on)

    def _begin_stretch(self, term: Term) -> None:
        store, key = self._etcd.store, term.fence.key
        term.is_busy = True

        def found(item: Item | None) -> None:
            if item is None or not holds(term.fence, item):
                again(None)
                return
            anew = Put(key, item.value, item.lease)
            commit = Commit((Unchanged(key, item.mod_revision),), (anew,))
            self._etcd.commit(self.id, commit, self._alive(written), self._alive(again))

        def written(revision: int) -> None:
            self._caught_up(revision, lambda: begun(revision))

        def begun(revision: int) -> None:
            self._tell("knows what became of its commits")
            term.stretch = Unchanged(key, revision)
            over()

        def over() -> None:
            term.is_busy = False
            self._go_on()

        def again(_: object) -> None:
            self._later(0.1, over)

        self._ask(lambda: store.list_now(key).find(key), found, again)

    def _plan(self, term: Term, due: Due) -> None:
        plan = plan_service(
            self.view,
            due.service_id,
            fleet=term.fleet,
            now=self._at(),
            slots=due.slots,
            most=self._most_starts,
            least_priority=due.priority,
            addresses=term.addresses,
        )
        term.agenda.follow(plan)
        self._enact(term, plan, lambda: term.agenda.add((due.service_id,)))

    def _enact(self, term: Term, plan: Plan, undone: Callable[[], None]) -> None:
        if not plan.decisions:
            self._later(0.0, self._go_on)
            return
        term.is_busy = True
        self._tell(f"decides {summary(self.view, plan)}")
        self._judge.decided(self.id, self.view, plan, now=self._at())
        commits = commits_for(self.view, plan, now=self._at())
        plea, stretch = self._plea(term), term.stretch
        assert stretch is not None

        def go_on(_: object = None) -> None:
            # Each is made when it is its turn: it rests on the one before.
            if (commit := next(commits, None)) is not None:
                self._commit_parts(fenced(commit, stretch), go_on, failed, plea=plea)
                return
            term.conflicts = 0
            over()

        def over() -> None:
            term.is_busy = False
            self._go_on()

        def failed(err: SwarmError) -> None:
            self._tell(f"fails to commit: {err.message}")
            if not isinstance(err, Conflict):
                term.stretch = None
            undone()
            term.conflicts += 1
            pause_s = 0.0
            if term.conflicts > 1:
                pause_s = min(0.01 * 2.0 ** (term.conflicts - 2), 1.0)
            self._settle(lambda: self._later(pause_s, over))

        go_on()

    def decree(self, plan: Plan) -> None:
        """Commit what is decided beside the planners, as rebalancing and autoscaling do."""
        if self.term is not None and plan.decisions:
            self._tell(f"decrees {summary(self.view, plan)}")
            commit = commit_for(self.view, plan, now=self._at())
            self._commit_parts(
                fenced(commit, self.term.fence),
                lambda _: None,
                lambda err: self._tell(f"fails to commit: {err.message}"),
                plea=self._plea(self.term),
            )

    def _plea(self, term: Term) -> Plea:
        lost = frozenset(
            task.id
            for task in self.view.tasks.values()
            if task.node_id and self.view.node_state(task.node_id) is NodeState.DOWN
        )
        return Plea(self.id, term.fence, lost)

    def _settle(self, then: Callable[[], None]) -> None:
        """Wait for the view to see what it had not seen, but not for ever."""
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                then()

        self._ask(
            lambda: self._etcd.store.revision,
            lambda revision: self._caught_up(revision, once),
            lambda err: None,
        )
        self._later(0.5, once)

    # -- serving agents ------------------------------------------------------------------

    def hear(self, stream: Stream, message: FromAgent) -> None:
        """A message of an agent arrives."""
        if not self.is_serving:
            return
        if isinstance(message, Hello):
            self._streams.add(stream)
            self._arrive(stream, message)
            return
        line = self.lines.get(stream.node_id)
        if line is None or line.stream is not stream:
            return
        if not self.sessions.heard(stream.node_id, line.session_id, now=self._engine.now):
            self._drop(line)
            return
        match message:
            case Heartbeat():
                stream.to_node(HeartbeatAck())
            case StatusBatch():
                line.sequence = max(line.sequence, message.sequence)
                line.statuses += message.statuses
                self._later(0.0, self._report)
            case Goodbye():
                self.sessions.left(stream.node_id, line.session_id, now=self._engine.now)
                self._later(0.0, self._expire)
            case _:
                pass

    def hung_up(self, stream: Stream) -> None:
        """The agent's side is gone; the node may come back in time."""
        if not self.is_up:
            return
        self._streams.discard(stream)
        line = self.lines.get(stream.node_id)
        if line is not None and line.stream is stream:
            del self.lines[stream.node_id]
            self.sessions.disconnected(stream.node_id, line.session_id, now=self._engine.now)

    def _arrive(self, stream: Stream, hello: Hello) -> None:
        """One arrival of a node at a time, as the lock of the real dispatcher has it."""
        queue = self._arriving.setdefault(stream.node_id, [])
        queue.append(lambda: self._take_session(stream, hello, 5))
        if len(queue) == 1:
            queue[0]()

    def _next_arrival(self, node_id: NodeId) -> None:
        queue = self._arriving[node_id]
        queue.pop(0)
        if queue:
            queue[0]()

    def _take_session(self, stream: Stream, hello: Hello, attempts: int) -> None:
        node_id = stream.node_id
        if attempts == 0 or node_id not in self.view.nodes:
            stream.close(by="manager")
            self._next_arrival(node_id)
            return
        if self._lease is None:
            self._later(0.2, lambda: self._take_session(stream, hello, attempts))
            return
        self._sessions_made += 1
        session = Session(
            node_id=node_id,
            manager_id=self.id,
            session_id=f"{self.id}-{self._life}-{self._sessions_made}",
            since=self._at(),
        )
        commit = arrive(self.view, hello, session, lease=self._lease, now=self._at())

        def done(revision: int) -> None:
            self._caught_up(revision, lambda: self._open(stream, hello, session, revision))

        def failed(err: SwarmError) -> None:
            if isinstance(err, Conflict | Missing):
                self._settle(lambda: self._take_session(stream, hello, attempts - 1))
            else:
                stream.close(by="manager")
                self._next_arrival(node_id)

        self.commit(commit, done, failed)

    def _open(self, stream: Stream, hello: Hello, session: Session, revision: int) -> None:
        node_id = stream.node_id
        line = Line(stream, session.session_id, revision, self.networks)
        self.sessions.begin(
            node_id, session.session_id, heartbeat_s=HEARTBEAT_S, now=self._engine.now
        )
        self._watch_silence()
        older = self.lines.pop(node_id, None)
        if older is not None:
            older.stream.close(by="manager")
        self.lines[node_id] = line
        snapshot = line.assignments.open(self.view, hello.digest)
        self._tell(f"welcomes {node_id}{' in sync' if snapshot is None else ''}")
        managers = tuple(sorted(self.view.managers.values()))
        stream.to_node(
            Welcome(
                session_id=session.session_id,
                heartbeat_s=HEARTBEAT_S,
                managers=managers,
                in_sync=snapshot is None,
            )
        )
        if snapshot is not None:
            self._send(line, snapshot)
        self._later(0.0, lambda: self._write(line))
        self._next_arrival(node_id)

    def _write(self, line: Line) -> None:
        touched, line.touched = line.touched, {}
        is_due = line.is_moved or line.assignments.is_due
        line.is_moved = False
        if self.lines.get(line.stream.node_id) is line and (touched or is_due):
            diff = line.assignments.diff(self.view, touched)
            if diff is not None:
                self._send(line, diff)

    def _send(self, line: Line, message: Snapshot | Diff) -> None:
        """Send, and see that the agent was told just what there is of its networks."""
        line.told.take(message.topology)
        line.surroundings.check(line.told.records.values())
        line.stream.to_node(message)

    def _drop(self, line: Line) -> None:
        line.stream.close(by="manager")
        self.hung_up(line.stream)

    def _reconsider(self, node_id: NodeId) -> None:
        line, holder = self.lines.get(node_id), self.view.sessions.get(node_id)
        self._adopt(node_id)
        if line is None:
            return
        if node_id not in self.view.nodes or (holder and holder.manager_id != self.id):
            self.sessions.end(node_id, line.session_id)
            self._drop(line)

    def _adopt(self, node_id: NodeId) -> None:
        """Wait for the agent of a session of ours that nobody holds."""
        holder = self.view.sessions.get(node_id)
        if holder is None or holder.manager_id != self.id or not self.is_serving:
            return
        if node_id not in self.sessions.open:
            self.sessions.inherit(
                node_id, holder.session_id, heartbeat_s=HEARTBEAT_S, now=self._engine.now
            )
            self._watch_silence()

    def _report(self) -> None:
        """Commit what agents report, one commit at a time."""
        lines = [line for line in self.lines.values() if line.statuses]
        if self._is_reporting or not lines:
            return
        self._is_reporting = True
        batches = [(line, line.sequence, tuple(line.statuses), line.revision) for line in lines]
        for line in lines:
            line.statuses = []
        self._record(batches)

    def _record(self, batches: list[tuple[Line, int, tuple[Observation, ...], int]]) -> None:
        commit = record(
            self.view,
            [
                Reported(node_id=line.stream.node_id, session_revision=revision, statuses=statuses)
                for line, _, statuses, revision in batches
            ],
        )

        def done(_: int) -> None:
            for line, sequence, _statuses, _revision in batches:
                line.stream.to_node(StatusAck(sequence=sequence))
            self._is_reporting = False
            self._report()

        def failed(err: SwarmError) -> None:
            for line, sequence, statuses, _revision in batches:
                line.sequence = max(line.sequence, sequence)
                line.statuses = [*statuses, *line.statuses]
            if not isinstance(err, Conflict):
                self._later(0.1, again)
            elif len(batches) > 1:
                self._record(_alone(batches))
            else:
                self._settle(judge)

        def judge() -> None:
            """Is the session still the node's? Otherwise the agent has to come again."""
            line = batches[0][0]
            if self.view.version(layout.session_key(line.stream.node_id)) != line.revision:
                self._drop(line)
            again()

        def again() -> None:
            self._is_reporting = False
            self._report()

        if commit.operations:
            self._commit_parts(commit, done, failed)
        else:
            done(0)

    # -- silence and presence ------------------------------------------------------------

    def _watch_silence(self) -> None:
        deadline = self.sessions.next_deadline()
        if deadline is not None:
            self._later(max(0.0, deadline - self._engine.now) + 1e-6, self._expire)

    def _expire(self) -> None:
        deadline = self.sessions.next_deadline()
        if deadline is None or deadline > self._engine.now:
            return
        departed = self.sessions.departed()
        expired = self.sessions.expired(now=self._engine.now)
        over = (*departed, *expired)
        for node_id, session_id in over:
            self._tell(f"hears {node_id} no more")
            line = self.lines.get(node_id)
            if line is not None and line.session_id == session_id:
                self._drop(line)
        self._forget(over)
        for node_id, _ in over:
            self._adopt(node_id)
        self._watch_silence()

    def _forget(self, over: tuple[tuple[NodeId, str], ...]) -> None:
        keys = [
            layout.session_key(node_id)
            for node_id, session_id in over
            if (holder := self.view.sessions.get(node_id)) is not None
            and holder.manager_id == self.id
            and holder.session_id == session_id
            and node_id not in self.sessions.open
        ]
        if not keys:
            return
        commit = Commit(
            tuple(Unchanged(key, self.view.version(key)) for key in keys),
            tuple(Delete(key) for key in keys),
        )
        self.commit(commit, lambda _: None, lambda err: self._settle(lambda: self._forget(over)))

    def _be_present(self) -> None:
        def granted(lease: Any) -> None:
            key = layout.manager_key(self.id)
            self.commit(
                Commit((expected(self.view, key),), (Put(key, self.id.encode(), lease.id),)),
                lambda revision: self._caught_up(revision, lambda: present(lease.id)),
                self._be_absent,
            )

        def present(lease: LeaseId) -> None:
            self._lease = lease
            for _, session in sorted(self.view.sessions.items()):
                if session.manager_id == self.id:
                    self._renew(session, lease)
            for node_id, line in sorted(self.lines.items()):
                if node_id not in self.view.sessions:
                    session = Session(
                        node_id=node_id, manager_id=self.id, session_id=line.session_id
                    )
                    self._renew(session, lease)
            self._later(LEASE_TTL_S / 3, lambda: keep(lease))

        def keep(lease: LeaseId) -> None:
            self._ask(
                lambda: answered(self._etcd.store.keep_alive(lease)),
                lambda _: self._later(LEASE_TTL_S / 3, lambda: keep(lease)),
                lambda err: (
                    self._be_absent(err)
                    if isinstance(err, Missing)
                    else self._later(LEASE_TTL_S / 3, lambda: keep(lease))
                ),
            )

        self._ask(lambda: answered(self._etcd.store.grant(LEASE_TTL_S)), granted, self._be_absent)

    def _be_absent(self, err: SwarmError) -> None:
        self._tell(f"has no lease: {err.message}")
        self._lease = None
        self._later(0.2, self._be_present)

    def _renew(self, session: Session, lease: LeaseId) -> None:
        key = layout.session_key(session.node_id)

        def done(revision: int) -> None:
            line = self.lines.get(session.node_id)
            if line is not None and line.session_id == session.session_id:
                line.revision = revision

        def failed(err: SwarmError) -> None:
            if not isinstance(err, Conflict) and self._lease == lease:
                self._be_absent(err)

        commit = Commit((expected(self.view, key),), (Put(key, pack(session), lease),))
        self.commit(commit, done, failed)

    # -- time ----------------------------------------------------------------------------

    @property
    def leads(self) -> bool:
        """Whether this manager believes to lead, and may."""
        standing = self._election.standing if self.is_serving else None
        return self.term is not None and isinstance(standing, Leading)

    def _ask(
        self,
        question: Callable[[], Any],
        done: Callable[[Any], None],
        failed: Callable[[Any], None],
    ) -> None:
        self._etcd.request(self.id, question, self._alive(done), self._alive(failed))

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        life = self._life
        self._engine.after(delay_s, lambda: action() if life == self._life else None)

    def _alive(self, action: Callable[..., None]) -> Callable[..., None]:
        """The same, but nothing once this process is dead."""
        life = self._life
        return lambda *given: action(*given) if life == self._life else None

    def _at(self) -> float:
        return self.clock.epoch

    def _tell(self, what: str) -> None:
        self._engine.tell(self.id, what)


def summary(view: ClusterView, plan: Plan) -> str:
    """A plan in one line."""
    words: list[str] = []
    for each in plan.decisions:
        match each:
            case SetDesired(task_id=task_id, desired=desired):
                words.append(f"{desired.word} {task_id[:6]}")
            case AssignTask(task_id=task_id, node_id=node_id):
                words.append(f"{task_id[:6]} on {node_id}")
            case CreateTask(task=task):
                where = task.node_id or "none"
                place = f"{task.run}/{task.slot}" if task.run else task.slot or "global"
                version = f"v{task.spec_version}, attempt {task.attempt}"
                words.append(f"{task.id[:6]} as {place} on {where} ({version})")
            case Evict(task_id=task_id, reason=reason):
                words.append(f"evicts {task_id[:6]} ({reason})")
            case UpdateMessage(task_id=task_id, message=message):
                words.append(f"{task_id[:6]} {message}")
            case WriteLedger(ledger=ledger):
                words.append(_told(ledger))
            case _:
                words.append(type(each).__name__)
    service = view.services.get(plan.service_id)
    name = service.spec.name if service is not None else plan.service_id[:6]
    return f"on {name}: {'; '.join(words)}"


def _told(ledger: Ledger) -> str:
    if ledger.replicas:
        return f"{ledger.replicas} replicas, {_told(structs.replace(ledger, replicas=0))}"
    runs = ", ".join(f"{run.number} {run.state.word} {run.completed}" for run in ledger.runs)
    if ledger.rollout is None:
        return f"runs {runs}"
    rollout = ledger.rollout
    failed = f", failed {', '.join(rollout.failed)}" if rollout.failed else ""
    return f"rollout of v{rollout.spec_version} {rollout.state.word}{failed}"


def _alone(
    batches: list[tuple[Line, int, tuple[Observation, ...], int]],
) -> list[tuple[Line, int, tuple[Observation, ...], int]]:
    """The first batch by itself; the others were put back and follow."""
    line, sequence, statuses, revision = batches[0]
    line.statuses = line.statuses[len(statuses) :]
    return [(line, sequence, statuses, revision)]
