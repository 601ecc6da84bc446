"""Serve agents: one session each, over which they are told their tasks and report on them.

A session begins with one commit (`manager.dispatch.arrivals`) and is answered once the view
has come as far as that commit: whatever the agent may know, we know by then. Until it is
registered, and from its first snapshot on, nothing is awaited, so no change falls between
the snapshot and the diffs.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import grpc.aio
import structlog

from manager import layout
from manager.applied import Applied
from manager.control.contents import opened
from manager.dispatch.arrivals import arrive, describe
from manager.dispatch.networks import Audience, Networks
from manager.dispatch.pace import Pace
from manager.dispatch.sessions import LISTENED_S, Sessions, heartbeat_period
from manager.dispatch.topology import Surroundings
from manager.io.conversations import Conversations
from manager.io.guests import Guests
from manager.io.line import Line
from manager.io.logs import LogBroker
from manager.io.mirror import Mirror
from manager.io.preflights import Preflights
from manager.io.presence import Presence
from manager.io.reception import Reception
from manager.io.reporting import Reporting
from manager.io.turns import Turns
from manager.io.wire import kind_of, read_agent, write_agent
from manager.networks.keys import purpose_of
from manager.store import Commit, Delete, Unchanged
from manager.view import ClusterView
from swarm.api.v1 import dispatch_pb2
from swarm.dispatch import (
    Content,
    FromAgent,
    FromManager,
    Goodbye,
    Heartbeat,
    HeartbeatAck,
    Hello,
    PreflightResult,
    StatusBatch,
    Welcome,
)
from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError, Unavailable
from swarm.ids import NodeId
from swarm.objects import NodeDescription, Sealed, Session
from swarm.sealing import DataKey, unseal
from swarm.specs import ClusterSpec

HELLO_WITHIN_S = 5.0
ATTEMPTS = 5
RETRY_S = 0.2
AT_ONCE = 50
"""How many nodes a change may touch and be told of at once."""

Context = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[dispatch_pb2.AgentMessage]


class Dispatcher:
    """The sessions of this manager's agents."""

    def __init__(
        self,
        mirror: Mirror,
        presence: Presence,
        log: structlog.stdlib.BoundLogger,
        *,
        data_key: DataKey | None = None,
    ) -> None:
        self.sessions = Sessions()
        self.lines: dict[NodeId, Line] = {}
        self.preflights = Preflights(self.send)
        self.logs = LogBroker(mirror, self.send, self.connected)
        self.conversations = Conversations(self.send, self.connected)
        self.guests = Guests(mirror)
        self._mirror = mirror
        self._presence = presence
        self._data_key = data_key
        self._log = log
        self._reporting = Reporting(mirror, log)
        self._reception = Reception(mirror)
        self._arrivals: dict[NodeId, asyncio.Lock] = {}
        self._opened = asyncio.Event()
        self._turns = Turns()
        self._pace = Pace()
        self._networks = Networks.of(mirror.view, self._unsealed)
        self._is_closing = False
        mirror.listen(self._changed)

    # -- what the rest of the manager asks for -------------------------------------------

    def send(self, node_id: NodeId, message: FromManager) -> bool:
        """Send to a node's session; False when it has none here."""
        line = self.lines.get(node_id)
        if line is not None:
            line.send(message)
        return line is not None

    def connected(self) -> Mapping[NodeId, str]:
        """The session of each node that is connected here."""
        return {node_id: line.session_id for node_id, line in self.lines.items()}

    def inherit(self) -> None:
        """Wait for the agents that an earlier process of this manager served."""
        for session in self._presence.inherited():
            self.sessions.inherit(
                session.node_id,
                session.session_id,
                heartbeat_s=self._heartbeat_s(),
                now=time.monotonic(),
            )
        self._opened.set()

    def close(self) -> None:
        """End all sessions, so that agents look for a manager at once."""
        self._is_closing = True
        for line in self.lines.values():
            line.close(Unavailable("this manager is stopping", hint="reconnect"))

    async def run(self) -> None:
        """Commit what agents report, and end the sessions of those who fell silent."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._reporting.run())
            group.create_task(self._reception.run())
            group.create_task(self._expire())

    async def serve(self, node_id: NodeId, requests: Requests, context: Context) -> None:
        """Serve one agent until its stream ends, it falls silent, or it has another session."""
        line = await self._arrive(node_id, await _hello(requests))
        try:
            async with asyncio.TaskGroup() as group:
                reading = group.create_task(self._read(line, requests, group))
                await self._write(line, context)
                reading.cancel()
        finally:
            self._leave(line)
        if line.error is not None:
            raise line.error

    # -- the beginning and the end -------------------------------------------------------

    async def _arrive(self, node_id: NodeId, hello: Hello) -> Line:
        """Make a session of the stream; later ones of the same node wait for their turn."""
        async with self._arrivals.setdefault(node_id, asyncio.Lock()):
            session = Session(
                node_id=node_id,
                manager_id=self._presence.node_id,
                session_id=secrets.token_hex(8),
                since=self._mirror.clock(),
            )
            revision = await self._take_session(hello, session)
            await self._mirror.caught_up(revision)
            await self._turns.next()
            if self._is_closing:
                raise Unavailable("this manager is stopping", hint="reconnect")
            holder = self._mirror.view.sessions.get(node_id)
            if holder is None or holder.session_id != session.session_id:
                raise Unavailable("the session was over before it began", hint="reconnect")
            line = Line(
                node_id,
                session.session_id,
                revision=revision,
                opened=self._opened_content,
                surroundings=Surroundings(node_id, self._networks),
            )
            self._register(line)
        snapshot = line.assignments.open(self._mirror.view, hello.digest)
        line.send(
            Welcome(
                session_id=line.session_id,
                heartbeat_s=self.sessions.open[node_id].heartbeat_s,
                managers=tuple(sorted(self._mirror.view.managers.values())),
                in_sync=snapshot is None,
            )
        )
        if snapshot is not None:
            line.send(snapshot)
        line.renew(())
        self._log.info(
            "session.opened",
            node_id=node_id,
            session_id=line.session_id,
            in_sync=snapshot is None,
            tasks=len(self._mirror.view.tasks_on(node_id)),
        )
        return line

    async def _take_session(self, hello: Hello, session: Session) -> int:
        view = self._mirror.view
        for attempt in range(ATTEMPTS):
            lease = await self._presence.lease()
            if session.node_id not in view.nodes:
                raise Refused(f"node {session.node_id} was removed from the swarm")
            try:
                if attempt == 0:
                    return await self._reception.take(hello, session, lease)
                commit = arrive(view, hello, session, lease=lease, now=self._mirror.clock())
                return await self._mirror.commit(commit)
            except Conflict:
                await self._mirror.settle()
            except Missing:  # the lease ended; another one is on its way
                await asyncio.sleep(RETRY_S)
        raise Unavailable(f"node {session.node_id} keeps changing", hint="try again")

    def _register(self, line: Line) -> None:
        self.sessions.begin(
            line.node_id,
            line.session_id,
            heartbeat_s=self._heartbeat_s(),
            now=time.monotonic(),
        )
        older = self.lines.pop(line.node_id, None)
        if older is not None:
            self._end(older, Refused("a newer session of this node took over"))
        self.lines[line.node_id] = line
        self._opened.set()
        self._mirror.metrics.sessions.set(len(self.lines))
        self.logs.session_began()
        self.conversations.session_began()

    def _leave(self, line: Line) -> None:
        """The stream is over; the node may still come back in time."""
        self._reporting.forget(line)
        self.sessions.disconnected(line.node_id, line.session_id, now=time.monotonic())
        if self.lines.get(line.node_id) is line:
            del self.lines[line.node_id]
        self._mirror.metrics.sessions.set(len(self.lines))
        self.logs.session_ended(line.session_id)
        self.conversations.session_ended(line.session_id)
        reason = line.error.message if line.error else "the stream ended"
        self._log.info(
            "session.closed", node_id=line.node_id, session_id=line.session_id, reason=reason
        )

    def _end(self, line: Line, error: SwarmError) -> None:
        self.sessions.end(line.node_id, line.session_id)
        line.close(error)

    # -- in between ----------------------------------------------------------------------

    async def _write(self, line: Line, context: Context) -> None:
        counts = self._mirror.metrics.messages
        try:
            async for message in line.messages(self._mirror.view, self._turns):
                await context.write(write_agent(message))
                counts.labels("sent", kind_of(message)).inc()
        except grpc.aio.BaseError as err:
            line.close()
            self._log.debug("session.broken", node_id=line.node_id, reason=str(err))

    async def _read(self, line: Line, requests: Requests, group: asyncio.TaskGroup) -> None:
        counts = self._mirror.metrics.messages
        try:
            async for request in requests:
                if not self.sessions.heard(line.node_id, line.session_id, now=time.monotonic()):
                    line.close(Unavailable("this session is over", hint="reconnect"))
                    return
                kind = request.WhichOneof("message") or ""
                counts.labels("received", kind).inc()
                if kind == "statuses":
                    await self._turn_of(line)
                self._take(line, read_agent(request), group)
        except SwarmError as err:
            line.close(err)
        except grpc.aio.BaseError as err:
            self._log.debug("session.broken", node_id=line.node_id, reason=str(err))
        line.close()

    async def _turn_of(self, line: Line) -> None:
        """Wait for our turn; that the line is not read meanwhile is not its silence."""
        self.sessions.delayed(line.node_id, line.session_id)
        try:
            await self._turns.next()
        finally:
            self.sessions.heard(line.node_id, line.session_id, now=time.monotonic())

    def _take(self, line: Line, message: FromAgent, group: asyncio.TaskGroup) -> None:
        match message:
            case Heartbeat():
                line.send(HeartbeatAck())
            case StatusBatch():
                self._reporting.report(line, message)
            case NodeDescription():
                group.create_task(self._describe(line, message))
            case PreflightResult():
                self.preflights.answered(message.preflight_id, line.node_id, message.problems)
            case Goodbye():
                self._part(line)
            case Hello():
                raise Invalid("hello: this session has begun already", hint="open another one")

    def _part(self, line: Line) -> None:
        """The node leaves the swarm. Its key goes even if its stream breaks before the commit."""
        self._log.info("session.left", node_id=line.node_id, session_id=line.session_id)
        self.sessions.left(line.node_id, line.session_id, now=time.monotonic())
        self._opened.set()

    async def _describe(self, line: Line, description: NodeDescription) -> None:
        """Store what the agent says of its host; it will not say it again."""
        view, node_id = self._mirror.view, line.node_id
        while self.lines.get(node_id) is line and node_id in view.nodes:
            commit = describe(view, node_id, description, now=self._mirror.clock())
            try:
                if commit.operations:
                    await self._mirror.commit(commit)
                return
            except Conflict:
                await self._mirror.settle()
            except SwarmError:
                await asyncio.sleep(RETRY_S)

    def _opened_content(self, view: ClusterView, content_id: str) -> Content | None:
        """A secret or a config in clear; who waits for one that does not open waits on."""
        if self._data_key is None:
            return None
        try:
            return opened(view, self._data_key, content_id)
        except Refused as err:
            self._log.error("content.unreadable", content_id=content_id, reason=err.message)
            return None

    def _unsealed(self, number: int, sealed: Sealed) -> bytes | None:
        """One of the secrets of encrypted networks in clear."""
        if self._data_key is None:
            return None
        try:
            return unseal(self._data_key, sealed, purpose=purpose_of(number))
        except Refused as err:
            self._log.error("network_key.unreadable", number=number, reason=err.message)
            return None

    def _changed(self, applied: Applied) -> None:
        self._move(self._networks.take(self._mirror.view, applied))
        if applied.contents:
            for each in self.lines.values():
                each.renew(applied.contents)
        pace = self._pace if len(applied.assigned) > AT_ONCE else None
        for node_id, tasks in applied.assigned.items():
            if (line := self.lines.get(node_id)) is not None:
                line.touch(tasks, pace)
        for node_id in applied.nodes:
            if (line := self.lines.get(node_id)) is not None:
                self._reconsider(line)
            self._adopt(node_id)
            if node_id not in self._mirror.view.nodes:
                self._arrivals.pop(node_id, None)

    def _move(self, audience: Audience) -> None:
        """Have those told who follow what has changed of networks."""
        if not audience:
            return
        nodes = self.lines.keys() if audience.is_all else audience.nodes & self.lines.keys()
        pace = self._pace if len(nodes) > AT_ONCE else None
        for node_id in nodes:
            self.lines[node_id].move(pace)

    def _reconsider(self, line: Line) -> None:
        """The node, or who holds its session, changed: is this line still the one?"""
        if line.node_id not in self._mirror.view.nodes:
            self._end(line, Refused(f"node {line.node_id} was removed from the swarm"))
            return
        holder = self._mirror.view.sessions.get(line.node_id)
        if holder is not None and holder.manager_id != self._presence.node_id:
            self._end(line, Refused(f"manager {holder.manager_id} has a newer session"))

    def _adopt(self, node_id: NodeId) -> None:
        """Wait for the agent of a session of ours that nobody holds, or it would last for ever.

        The commit that opened it was given up, and done all the same.
        """
        holder = self._mirror.view.sessions.get(node_id)
        ours = holder is not None and holder.manager_id == self._presence.node_id
        if holder is None or not ours or node_id in self.sessions.open:
            return
        self.sessions.inherit(
            node_id, holder.session_id, heartbeat_s=self._heartbeat_s(), now=time.monotonic()
        )
        self._opened.set()

    # -- silence -------------------------------------------------------------------------

    async def _expire(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                await self._silence()
                departed = self.sessions.departed()
                expired = self.sessions.expired(now=time.monotonic())
                for node_id, session_id in expired:
                    self._log.warning("session.expired", node_id=node_id, session_id=session_id)
                    self._mirror.metrics.expired.inc()
                    if (line := self.lines.get(node_id)) is not None:
                        line.close(Unavailable("three heartbeats were missed", hint="reconnect"))
                if departed or expired:
                    group.create_task(self._bury(departed, (*departed, *expired)))

    async def _silence(self) -> None:
        """Wait until a deadline has passed while we listened.

        A turn of the loop that takes long leaves what arrives unread, and so many messages may
        wait that one turn does not read them all: each turn counts for little, however long.
        """
        deadline = self.sessions.next_deadline()
        while deadline is None or deadline > time.monotonic():
            began = time.monotonic()
            self._opened.clear()
            try:
                until = None if deadline is None else min(deadline, began + LISTENED_S)
                async with asyncio.timeout_at(until):
                    await self._opened.wait()
            except TimeoutError:
                pass
            now = time.monotonic()
            if deadline is not None and now - began > LISTENED_S:
                self.sessions.deaf(now - began - LISTENED_S, now=now)
            deadline = self.sessions.next_deadline()

    async def _bury(
        self, departed: tuple[tuple[NodeId, str], ...], over: tuple[tuple[NodeId, str], ...]
    ) -> None:
        """Have everyone know that these sessions are over."""
        await self._forget(over)
        for node_id, _ in over:
            self._adopt(node_id)
        for node_id, session_id in departed:
            line = self.lines.get(node_id)
            if line is not None and line.session_id == session_id:
                line.close()

    async def _forget(self, over: tuple[tuple[NodeId, str], ...]) -> None:
        """Delete the keys of sessions that ended here, unless their nodes are back."""
        while over:
            commit = self._forgetting(over)
            try:
                if commit.operations:
                    await self._mirror.commit(commit)
                return
            except Conflict:
                await self._mirror.settle()
            except SwarmError as err:
                self._log.warning("session.kept", nodes=len(over), reason=err.message)
                await asyncio.sleep(RETRY_S)

    def _forgetting(self, over: tuple[tuple[NodeId, str], ...]) -> Commit:
        """The deletion of these very sessions: a node's next one may be committed already and
        only wait to be registered."""
        view, keys = self._mirror.view, list[str]()
        for node_id, session_id in over:
            holder = view.sessions.get(node_id)
            ours = holder is not None and holder.manager_id == self._presence.node_id
            same = holder is not None and holder.session_id == session_id
            if ours and same and node_id not in self.sessions.open:
                keys.append(layout.session_key(node_id))
        return Commit(
            tuple(Unchanged(key, view.version(key)) for key in keys),
            tuple(Delete(key) for key in keys),
        )

    def _heartbeat_s(self) -> float:
        cluster = self._mirror.view.cluster
        spec = cluster.spec if cluster is not None else ClusterSpec()
        return heartbeat_period(spec.heartbeat_s, len(self._mirror.view.nodes))


async def _hello(requests: Requests) -> Hello:
    try:
        async with asyncio.timeout(HELLO_WITHIN_S):
            first = await anext(requests, None)
    except TimeoutError as err:
        raise Unavailable("no hello came", hint="reconnect") from err
    message = read_agent(first) if first is not None else None
    if not isinstance(message, Hello):
        raise Invalid("hello: must be the first message of a session")
    return message
