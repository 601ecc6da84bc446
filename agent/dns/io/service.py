"""Answer all containers of a node.

Everything happens in one thread, one event after the other, and none of it blocks. What is known
came from the agent and stays when the agent goes: containers are answered by what was true then.
"""

import errno
import socket
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from random import Random, SystemRandom
from typing import Final

from agent.dns import wire
from agent.dns.answering import Answer, Answers, Forward
from agent.dns.asking import Asker
from agent.dns.cache import Cache
from agent.dns.counts import Tally
from agent.dns.forwarding import Caller as Waiting
from agent.dns.forwarding import Drop, Effect, Forwarding, Place, Send, Tell
from agent.dns.io.attempts import Attempts
from agent.dns.io.callers import IDLE_S
from agent.dns.io.container import Container
from agent.dns.io.polling import Events
from agent.dns.link import Counted
from agent.dns.names import Names
from agent.dns.upstreams import others, servers
from swarm.ids import NetworkId, TaskId
from swarm.topology import Topology

_CACHE_BYTES: Final = 4 << 20
_LOOK_S: Final = 1.0  # how often the node's own configuration may be looked at
_THE_NODES: Final = ""


class Service:
    """The containers, what they may be told, and the questions that others are asked."""

    def __init__(self, events: Events, resolv_conf: Path) -> None:
        self._events = events
        self._answers = Answers(Names(), Random())
        self._forwarding = Forwarding(Cache(most_bytes=_CACHE_BYTES), SystemRandom())
        self._attempts = Attempts(events, self, self._beside)
        self._containers: dict[TaskId, Container] = {}
        self._tally = Tally()
        self._servers = _Servers(resolv_conf)
        self._effects: deque[Effect] = deque()
        self._is_acting = False
        self._sweep_at = 0.0

    @property
    def containers(self) -> tuple[Container, ...]:
        """Whom it answers."""
        return tuple(self._containers.values())

    def take(self, topology: Topology, *, is_local: bool = False) -> None:
        """Follow the records."""
        self._answers.take(topology, is_local=is_local)

    def serve(self, asker: Asker, udp: socket.socket, tcp: socket.socket) -> None:
        """Answer a container, which asks through these sockets."""
        self.release(asker.task_id)
        self._containers[asker.task_id] = Container(
            asker, udp=udp, tcp=tcp, events=self._events, resolver=self
        )

    def release(self, task_id: TaskId) -> None:
        """Let go of a container; one that is not there is fine."""
        if (container := self._containers.pop(task_id, None)) is not None:
            self._act(self._forwarding.leave(task_id))
            container.close()

    def keep(self, task_ids: Iterable[TaskId]) -> None:
        """Let go of all others."""
        for task_id in self._containers.keys() - set(task_ids):
            self.release(task_id)

    def counted(self) -> Counted:
        """What was counted."""
        counts = self._tally.counts()
        names = {each: self._answers.names.name_of(each) for each in counts}
        return Counted(networks=counts, names=names, containers=len(self._containers))

    def asked(self, container: Container, packet: bytes, place: Place) -> None:
        """A container asks."""
        asker = container.asker
        home = asker.networks[0] if asker.networks else NetworkId("")
        is_tcp = isinstance(place, int)
        match self._answers.verdict(packet, asker, is_tcp=is_tcp):
            case Answer() as answer:
                network_id = answer.network_id or home
                self._tally.add(network_id, queries=1, failures=int(answer.is_failure))
                container.tell(place, answer.packet)
            case Forward(query=query):
                limit = wire.LARGEST_TCP if is_tcp else wire.room(query)
                waiting = Waiting(asker.task_id, place, query, limit, home)
                self._forward(waiting, asker)
            case None:
                pass

    def heard(self, attempt: int, packet: bytes) -> None:
        """Another server answers."""
        self._act(self._forwarding.heard(attempt, packet, time.monotonic()))

    def failed(self, attempt: int) -> None:
        """Another server cannot be asked."""
        self._act(self._forwarding.failed(attempt, time.monotonic()))

    def tick(self) -> None:
        """Time has passed."""
        now = time.monotonic()
        self._act(self._forwarding.tick(now))
        if now >= self._sweep_at:
            self._sweep_at = now + IDLE_S / 4
            for each in self._containers.values():
                if each.has_callers:
                    each.care(now)

    def timeout_s(self) -> float:
        """How long nothing has to happen."""
        due = self._forwarding.next_deadline()
        until = self._sweep_at if due is None else min(due, self._sweep_at)
        return max(0.0, until - time.monotonic())

    def _forward(self, waiting: Waiting, asker: Asker) -> None:
        now = time.monotonic()
        own = others(asker.servers)
        scope = asker.task_id if asker.servers else _THE_NODES
        known = own if asker.servers else self._servers.current(now)
        effects = self._forwarding.ask(waiting, scope, known, now)
        kept = sum(isinstance(each, Tell) and each.was_kept for each in effects)
        self._tally.add(waiting.network_id, queries=1, kept=kept, forwarded=1 - kept)
        self._act(effects)

    def _act(self, effects: Iterable[Effect]) -> None:
        """Carry effects out in their order, and what follows from one behind the others."""
        self._effects.extend(effects)
        if self._is_acting:
            return
        self._is_acting = True
        try:
            while self._effects:
                self._do(self._effects.popleft())
        finally:
            self._is_acting = False

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send(attempt=attempt):
                if not self._attempts.send(effect):
                    self.failed(attempt)
            case Drop(attempt=attempt):
                self._attempts.drop(attempt)
            case Tell(caller=caller, packet=packet):
                self._tally.add(caller.network_id, failures=int(effect.is_failure))
                container = self._containers.get(caller.task_id)
                if container is not None:
                    container.tell(caller.place, packet)

    def _beside(self, scope: str) -> socket.socket | None:
        """Never ours for somebody else's: their servers' addresses may be others' here."""
        if scope == _THE_NODES:
            return None
        container = self._containers.get(TaskId(scope))
        if container is None:
            raise OSError(errno.ENETDOWN, "the container is gone")
        return container.udp


class _Servers:
    """The node's own servers, read again when their file has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._looked_at = float("-inf")
        self._seen: tuple[int, int, int] | None = None
        self._servers: tuple[str, ...] = ()

    def current(self, now: float) -> tuple[str, ...]:
        if now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            self._look()
        return self._servers

    def _look(self) -> None:
        try:
            about = self._path.stat()
            seen = (about.st_mtime_ns, about.st_ino, about.st_size)
            if seen != self._seen:
                self._servers = servers(self._path.read_text(errors="replace"))
                self._seen = seen
        except OSError:
            self._servers, self._seen = (), None
