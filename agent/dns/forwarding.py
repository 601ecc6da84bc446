"""Ask other servers what the swarm's networks do not know.

A question that several callers have is asked once, in its own packet with an id that nobody
can guess; whatever else arrives is ignored, and the wait goes on. A server that is silent for
`TRY_S` is not given up but joined by the next, and whoever answers first is believed; for
`SLOW_S` it is then asked last. One that says no, or does not exist, is passed over at once. All
of it takes `TOTAL_S` at most, less than what callers wait before they ask again. A container
that asks too much is told so quickly, and takes nothing away from others.
"""

import heapq
from collections.abc import Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from agent.dns import wire
from agent.dns.cache import Cache
from swarm.ids import NetworkId, TaskId

TRY_S: Final = 1.0
TOTAL_S: Final = 4.5
SLOW_S: Final = 10.0
MOST_TRIES: Final = 4
MOST_QUESTIONS: Final = 1024
MOST_WAITING: Final = 256  # of one container
_MOST_SLOW: Final = 1024
_NO: Final = (wire.FORMERR, wire.SERVFAIL, wire.NOTIMP, wire.REFUSED)


Place = tuple[str, int] | int
"""Where an answer goes within a container: to an address by UDP, or to a connection."""


class Caller(NamedTuple):
    """Who waits, for `limit` bytes at most."""

    task_id: TaskId
    place: Place
    query: wire.Query
    limit: int
    network_id: NetworkId = NetworkId("")


class Send(NamedTuple):
    """Open a socket for `attempt`, within the namespace of `scope`, and send a packet."""

    attempt: int
    scope: str
    server: str
    packet: bytes
    by_tcp: bool = False


class Drop(NamedTuple):
    """Close the socket of an attempt, if it is open."""

    attempt: int


class Tell(NamedTuple):
    """Answer a caller. `was_kept` says that nobody had to be asked."""

    caller: Caller
    packet: bytes
    is_failure: bool = False
    was_kept: bool = False


Effect = Send | Drop | Tell


class _Attempt(NamedTuple):
    question: "_Question"
    server: str
    ident: int
    by_tcp: bool


class _Question:
    """One question to one set of servers, and all who wait for its answer."""

    def __init__(self, caller: Caller, scope: str, servers: Sequence[str], until: float) -> None:
        self.scope = scope
        self.query = caller.query
        self.servers = list(servers)
        self.until = until
        self.due = until
        self.turn = 0
        self.callers = [caller]
        self.attempts: dict[int, str] = {}
        self.no: wire.Reply | None = None

    @property
    def place(self) -> tuple[str, bytes]:
        return self.scope, self.query.key


class Forwarding:
    """All questions that are out. Effects are to be carried out in their order."""

    def __init__(self, cache: Cache, random: Random) -> None:
        self._cache = cache
        self._random = random
        self._serial = 0
        self._questions: dict[tuple[str, bytes], _Question] = {}
        self._attempts: dict[int, _Attempt] = {}
        self._waiting: dict[TaskId, int] = {}
        self._slow: dict[tuple[str, str], float] = {}
        self._due: list[tuple[float, int, _Question]] = []

    def ask(self, caller: Caller, scope: str, servers: Sequence[str], now: float) -> list[Effect]:
        """Find an answer for a caller; `scope` is whose servers these are."""
        key = caller.query.key
        if (kept := self._cache.get(scope, key, now)) is not None:
            return [Tell(caller, wire.pass_on(caller.query, kept, caller.limit), was_kept=True)]
        question = self._questions.get((scope, key))
        if question is not None and any(_is_same(each, caller) for each in question.callers):
            return []
        is_full = question is None and len(self._questions) >= MOST_QUESTIONS
        waiting = self._waiting.get(caller.task_id, 0)
        if not servers or is_full or waiting >= MOST_WAITING:
            return [_refuse(caller)]
        self._waiting[caller.task_id] = waiting + 1
        if question is not None:
            question.callers.append(caller)
            return []
        question = _Question(caller, scope, self._in_order(scope, servers, now), now + TOTAL_S)
        self._questions[question.place] = question
        return list(self._try_next(question, now))

    def heard(self, attempt: int, packet: bytes, now: float) -> list[Effect]:
        """A packet came for an attempt, from the server that it asked."""
        asked = self._attempts.get(attempt)
        if asked is None:
            return []
        question = asked.question
        reply = wire.read_reply(packet, asked.ident, question.query)
        if reply is None:
            return self.failed(attempt, now) if asked.by_tcp else []
        if reply.is_truncated:
            if asked.by_tcp:
                return self.failed(attempt, now)
            return [self._close(attempt), self._send(question, asked.server, now, by_tcp=True)]
        self._slow.pop((question.scope, asked.server), None)
        if reply.rcode in _NO:
            question.no = reply
            return self.failed(attempt, now)
        self._cache.put(question.scope, question.query.key, reply, now)
        return list(self._conclude(question, reply))

    def failed(self, attempt: int, now: float) -> list[Effect]:
        """An attempt came to nothing, as when nobody listens there."""
        asked = self._attempts.get(attempt)
        if asked is None:
            return []
        question = asked.question
        effects: list[Effect] = [self._close(attempt)]
        if asked.server in question.servers:
            index = question.servers.index(asked.server)
            del question.servers[index]
            if index < question.turn:
                question.turn -= 1
        if not question.servers and not question.attempts:
            effects += self._conclude(question, question.no)
        elif not question.attempts or question.turn < len(question.servers):
            effects += self._try_next(question, now)
        return effects

    def tick(self, now: float) -> list[Effect]:
        """Time has passed."""
        effects: list[Effect] = []
        while self._due and self._due[0][0] <= now:
            due, _, question = heapq.heappop(self._due)
            if self._questions.get(question.place) is not question or due != question.due:
                continue
            for server in question.attempts.values():
                self._note_slow(question.scope, server, now)
            if now >= question.until:
                effects += self._conclude(question, question.no)
            else:
                effects += self._try_next(question, now)
        return effects

    def leave(self, task_id: TaskId) -> list[Effect]:
        """A container is gone: nobody asks for it any more, and what its servers said is void."""
        effects: list[Effect] = []
        if self._waiting.pop(task_id, 0):
            for question in list(self._questions.values()):
                question.callers = [each for each in question.callers if each.task_id != task_id]
                if not question.callers:
                    effects += self._conclude(question, None)
        self._cache.forget(task_id)
        return effects

    def next_deadline(self) -> float | None:
        """When `tick` has something to do, or earlier."""
        return self._due[0][0] if self._due else None

    def check(self) -> None:
        """Assert that no question, attempt or caller is forgotten or counted twice."""
        waiting: dict[TaskId, int] = {}
        attempts: set[int] = set()
        for place, question in self._questions.items():
            assert question.place == place
            assert question.callers
            assert any(due == question.due and each is question for due, _, each in self._due)
            attempts |= question.attempts.keys()
            for each in question.callers:
                waiting[each.task_id] = waiting.get(each.task_id, 0) + 1
        assert attempts == self._attempts.keys()
        assert waiting == self._waiting
        assert all(count <= MOST_WAITING for count in waiting.values())

    def _in_order(self, scope: str, servers: Sequence[str], now: float) -> list[str]:
        """Those first that were not silent lately."""
        return sorted(
            dict.fromkeys(servers), key=lambda each: self._slow.get((scope, each), 0.0) > now
        )

    def _try_next(self, question: _Question, now: float) -> Iterator[Effect]:
        if question.servers and question.turn < MOST_TRIES:
            server = question.servers[question.turn % len(question.servers)]
            question.turn += 1
            yield self._send(question, server, now)
        else:
            self._schedule(question, question.until)

    def _send(
        self, question: _Question, server: str, now: float, *, by_tcp: bool = False
    ) -> Effect:
        attempt = self._next()
        ident = self._random.getrandbits(16)
        self._attempts[attempt] = _Attempt(question, server, ident, by_tcp)
        question.attempts[attempt] = server
        self._schedule(question, min(now + TRY_S, question.until))
        return Send(attempt, question.scope, server, wire.ask(question.query, ident), by_tcp)

    def _schedule(self, question: _Question, due: float) -> None:
        question.due = due
        heapq.heappush(self._due, (due, self._next(), question))

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def _close(self, attempt: int) -> Effect:
        del self._attempts.pop(attempt).question.attempts[attempt]
        return Drop(attempt)

    def _conclude(self, question: _Question, reply: wire.Reply | None) -> Iterator[Effect]:
        del self._questions[question.place]
        for attempt in list(question.attempts):
            yield self._close(attempt)
        for caller in question.callers:
            self._waiting[caller.task_id] -= 1
            if not self._waiting[caller.task_id]:
                del self._waiting[caller.task_id]
            if reply is None:
                yield _refuse(caller)
            else:
                packet = wire.pass_on(caller.query, reply.packet, caller.limit)
                yield Tell(caller, packet, is_failure=reply.rcode in _NO)

    def _note_slow(self, scope: str, server: str, now: float) -> None:
        if len(self._slow) >= _MOST_SLOW:
            self._slow = {each: until for each, until in self._slow.items() if until > now}
        if len(self._slow) < _MOST_SLOW:
            self._slow[scope, server] = now + SLOW_S


def _is_same(one: Caller, other: Caller) -> bool:
    """Whether a caller repeats itself, because it is tired of waiting."""
    return (one.task_id, one.place, one.query.id) == (other.task_id, other.place, other.query.id)


def _refuse(caller: Caller) -> Tell:
    return Tell(caller, wire.fail(caller.query, wire.SERVFAIL), is_failure=True)
