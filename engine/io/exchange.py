"""The handler interface: how an endpoint of the API is written.

A handler is a function of one `Exchange`, listed with its method and path in its module's
`ROUTES`, which `engine.io.routes` gathers:

    async def list_things(ask: Exchange) -> Reply:
        found = await ask.backends.control.ListThings(pb.ListThingsRequest())
        chosen = selected(found.things, ask.query.filters(), THING_TESTS)
        return replies.json([thing_json(each) for each in chosen])

    async def create_thing(ask: Exchange) -> Reply:
        wanted = await ask.decoded(wire.Thing)                  # a msgspec Struct; 400 by itself
        ...
        return replies.json({"Id": made.id}, status=201)        # or replies.nothing(204)

    ROUTES = (
        Route("GET", "/things", list_things),
        Route("POST", "/things/create", create_thing),
        Route("DELETE", "/things/{name}", remove_thing),        # ask.params["name"]
    )

* What is raised becomes the answer: our six errors by `engine.refusals`, `Denied(status, message)`
  where Docker has another status. Stubs in `ask.backends` raise them as the other side did. A bug
  is logged and answered with 500.
* Translation is pure and lies outside `io/`: requests are Structs decoded by `engine.wire`, answers
  are dictionaries made by functions of our messages. `ask.version` is what the client speaks.
* An answer that comes piece by piece: `await ask.begin(...)`, `await ask.write(...)`, and return
  None. From `begin` on the handler is cancelled when the client goes away; before, it is not, so
  that nothing is left half done. Streams of stubs are read with `async with ending(call)`.
* A body that is no document: `async for chunk in ask.body()`, also while the answer is written.
* A connection that becomes a raw stream: `pipe = await ask.take_over(...)`.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import TypeVar

import structlog
from msgspec import Struct

from engine import replies
from engine.config import Config
from engine.execs.instance import Execs
from engine.execs.io.programs import Programs
from engine.heads import Head
from engine.io.backends import Backends
from engine.io.connection import Connection, Headers, Pipe
from engine.queries import Query
from engine.replies import Reply
from engine.versions import Version
from engine.wire.decoding import decode
from swarm.errors import Invalid

S = TypeVar("S", bound=Struct)


class Exchange:
    """One request, and the way to answer it."""

    def __init__(
        self,
        connection: Connection,
        head: Head,
        *,
        version: Version,
        params: Mapping[str, str],
        config: Config,
        backends: Backends,
        execs: Execs,
        programs: Programs,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.head = head
        self.version = version
        self.params = params
        self.query = Query(head.query)
        self.config = config
        self.backends = backends
        self.execs = execs
        self.programs = programs
        self.log = log
        self._connection = connection

    async def decoded(self, kind: type[S]) -> S:
        """The request's JSON as a value of `kind`; `Invalid` for what is not one."""
        if self.head.has_body and self.head.media_type != "application/json":
            written = self.head.headers.get("content-type", "")
            raise Invalid(
                f"unsupported Content-Type header ({written}): must be 'application/json'"
            )
        return decode(kind, await self._connection.document())

    async def document(self) -> bytes:
        """The request's whole body, whatever it is."""
        return await self._connection.document()

    def body(self) -> AsyncIterator[bytes]:
        """The request's body as it comes."""
        return self._connection.body()

    async def begin(
        self, *, status: int = 200, content_type: str = replies.JSON, headers: Headers = ()
    ) -> None:
        """Send the head of an answer that `write` goes on with."""
        await self._connection.begin(status=status, content_type=content_type, headers=headers)

    async def write(self, data: bytes) -> None:
        """Send a piece of the answer; `begin` came first."""
        await self._connection.write(data)

    async def write_json(self, value: object) -> None:
        """Send a line of JSON."""
        await self._connection.write(replies.encode(value))

    @property
    def has_begun(self) -> bool:
        """Whether it is too late for a status."""
        return self._connection.has_begun

    async def take_over(self, *, content_type: str, headers: Headers = ()) -> Pipe:
        """Leave HTTP: the client gets 101 if it asked for another protocol, else 200."""
        return await self._connection.take_over(
            self.head, content_type=content_type, headers=headers
        )


Handler = Callable[[Exchange], Awaitable[Reply | None]]
