"""Give each request to its handler, and answer with what comes of it.

This is the one place where errors become statuses. What a client gets is never empty: a bug is
answered with the number under which the log has its traceback.
"""

import secrets
from collections.abc import Iterable

import structlog

from engine import heads, replies, versions
from engine.config import Config
from engine.execs.instance import Execs
from engine.execs.io.programs import Programs
from engine.heads import Head
from engine.io.backends import Backends
from engine.io.connection import Connection, Vanished
from engine.io.exchange import Exchange, Handler
from engine.refusals import FORBIDDEN, Denied
from engine.replies import Reply
from engine.routing import Match, Route, Router
from swarm.errors import SwarmError


class Dispatch:
    """All that is served."""

    def __init__(
        self,
        routes: Iterable[Route[Handler]],
        *,
        config: Config,
        backends: Backends,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._config = config
        self._router = Router(routes)
        self._backends = backends
        self._execs = Execs()
        self._programs = Programs(backends, self._execs, log)
        self._log = log

    async def answer(self, connection: Connection, head: Head) -> None:
        """Answer one request. Raises nothing but `OSError`, when the client is gone."""
        try:
            reply = await self._handle(connection, head)
        except SwarmError as err:
            reply = replies.refusal(err)
            self._log.debug("request.refused", method=head.method, path=head.path, reason=str(err))
        except (OSError, TimeoutError) as err:
            if isinstance(err, Vanished | ConnectionError):
                raise
            reply = self._bug(head)
        except Exception:
            reply = self._bug(head)
        if reply is None:
            await connection.finish()
        elif connection.has_begun:
            # Too late for a status: an answer that breaks off is not taken for a whole one.
            raise Vanished("the answer cannot be finished")
        else:
            await connection.reply(reply)

    async def _handle(self, connection: Connection, head: Head) -> Reply | None:
        written, path = versions.split(head.path)
        found: Match[Handler] | None = self._router.find(head.method, path)
        if found is None:
            return self._elsewhere(head)
        if connection.objection and (reason := await connection.objection(head.method, path)):
            raise Denied(FORBIDDEN, reason)
        exchange = Exchange(
            connection,
            head,
            version=versions.judge(written),
            params=found.params,
            config=self._config,
            backends=self._backends,
            execs=self._execs,
            programs=self._programs,
            log=self._log,
        )
        reply = await found.route.handler(exchange)
        assert reply is not None or connection.has_begun, "the handler has not answered"
        return reply

    def _elsewhere(self, head: Head) -> Reply:
        """Docker's names begin with a slash, so clients ask for `/containers//web/json`."""
        path = heads.clean(head.path)
        _, wanted = versions.split(path)
        if path == head.path or self._router.find(head.method, wanted) is None:
            return replies.json({"message": "page not found"}, status=404)
        return Reply(301, headers=(("Location", heads.write_target(path, head.query)),))

    async def close(self) -> None:
        """Leave what runs to itself."""
        await self._programs.close()

    def _bug(self, head: Head) -> Reply:
        error_id = secrets.token_hex(4)
        self._log.exception("request.failed", method=head.method, path=head.path, error_id=error_id)
        message = f"internal error {error_id}: look for this id in the log of the engine"
        return replies.json({"message": message}, status=500)
