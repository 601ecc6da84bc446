"""Read and write the files of containers, and make images of them.

Whatever touches a path of a container is done by a process in that container (`errand.py`). What a
container changed is in a directory of ours, that nobody has to enter to read it: that is how a
difference is found, and how an image is made. Both go for containers that run and for others, and
reading for those of tasks, too.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing
from pathlib import Path

from agent.images.io.locks import Locks
from agent.standalone.errands import Export, Outcome, PathStat, Read, Stat, Write
from agent.standalone.found import Found
from agent.standalone.io.commits import Commits
from agent.standalone.io.forking import Forking
from agent.standalone.io.layering import Layering
from agent.standalone.io.reaching import Lives, Reaching
from agent.standalone.io.sending import done, sent
from agent.standalone.record import Record
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Invalid, Missing


class Archives:
    """Archives of containers, in messages. Whoever writes to one's layer, or starts it, holds
    `writing` for that: there is nobody else at work on it then.
    """

    def __init__(
        self,
        lives: Lives,
        reaching: Reaching,
        forking: Forking,
        commits: Commits,
        *,
        writing: Locks[str],
    ) -> None:
        self._lives = lives
        self._reaching = reaching
        self._forking = forking
        self._layering = Layering(forking)
        self._commits = commits
        self._writing = writing

    async def stat(self, request: pb.StatPathRequest) -> pb.StatPathResponse:
        """Say what a path is."""
        _check_path(request.path)
        async with (
            self._reaching.found(request.container) as found,
            self._reaching.place(found) as place,
            sent(self._forking, place, Stat(request.path)) as errand,
        ):
            outcome = done(await errand.outcome(), _missing(request.path, request.container))
            return pb.StatPathResponse(stat=_shown(outcome.stat))

    async def read(self, request: pb.ReadArchiveRequest) -> AsyncGenerator[pb.ReadArchiveResponse]:
        """Give what is at a path, after what it is."""
        _check_path(request.path)
        async with (
            self._reaching.found(request.container) as found,
            self._reaching.place(found) as place,
            sent(self._forking, place, Read(request.path)) as errand,
        ):
            outcome = done(await errand.outcome(), _missing(request.path, request.container))
            yield pb.ReadArchiveResponse(stat=_shown(outcome.stat))
            async with aclosing(errand.pieces()) as pieces:
                async for piece in pieces:
                    yield pb.ReadArchiveResponse(chunk=piece)
            self._tell(found, "archive-path", {"path": request.path})

    async def write(self, requests: AsyncIterator[pb.WriteArchiveRequest]) -> None:
        """Put files below a path; whoever gives up in the middle leaves what came until then."""
        first = await anext(aiter(requests), None)
        if first is None:
            raise Invalid("nothing to write", hint="send the archive of some files")
        _check_path(first.path)
        container_id = self._lives.own(first.container, to="write to").id
        async with (
            self._writing.holding(container_id),
            self._reaching.found(container_id) as found,
            self._reaching.place(found, writes=True) as place,
        ):
            assert found.record is not None
            wanted = Write(
                first.path,
                keeps_kinds=first.no_overwrite_dir_non_dir,
                user=_user(found.record) if first.copy_uid_gid else "",
            )
            async with sent(self._forking, place, wanted) as errand:
                giving = asyncio.ensure_future(errand.give(_chunks(first, requests)))
                try:
                    outcome = await _either(errand.outcome(), giving)
                finally:
                    giving.cancel()
                    await asyncio.gather(giving, return_exceptions=True)
                done(outcome, _missing(first.path, first.container))
            self._tell(found, "extract-to-dir", {"path": first.path})

    async def export(
        self, request: pb.ExportContainerRequest
    ) -> AsyncGenerator[pb.ExportContainerResponse]:
        """Give all files of its own file system."""
        async with (
            self._reaching.found(request.container) as found,
            self._reaching.place(found) as place,
            sent(self._forking, place, Export()) as errand,
        ):
            done(await errand.outcome(), _missing("/", request.container))
            async with aclosing(errand.pieces()) as pieces:
                async for piece in pieces:
                    yield pb.ExportContainerResponse(chunk=piece)
            self._tell(found, "export", {})

    async def diff(self, request: pb.DiffContainerRequest) -> pb.DiffContainerResponse:
        """Say what is not as in its image."""
        async with self._reaching.found(request.container) as found:
            if not Path(found.upper).is_dir():
                return pb.DiffContainerResponse()
            asked = await self._reaching.collecting(found)
            changes = await self._layering.compare(asked)
            return pb.DiffContainerResponse(
                changes=[
                    pb.PathChange(
                        path=_text(os.fsdecode(each.path)), kind=pb.ChangeKind.ValueType(each.kind)
                    )
                    for each in sorted(changes, key=lambda change: change.path)
                ]
            )

    async def commit(self, request: pb.CommitContainerRequest) -> pb.CommitContainerResponse:
        """Make an image of it; gives its id."""
        return pb.CommitContainerResponse(id=await self._commits.commit(request))

    def _tell(self, found: Found, action: str, attributes: dict[str, str]) -> None:
        self._lives.announce(found.id, action, attributes)


async def _chunks(
    first: pb.WriteArchiveRequest, requests: AsyncIterator[pb.WriteArchiveRequest]
) -> AsyncGenerator[bytes]:
    if first.chunk:
        yield first.chunk
    async for request in requests:
        if request.chunk:
            yield request.chunk


async def _either(asking: Awaitable[Outcome], giving: asyncio.Future[None]) -> Outcome:
    """What came of it; one that gives up early is not waited for by whoever still writes."""
    outcome = asyncio.ensure_future(asking)
    try:
        await asyncio.wait((outcome, giving), return_when=asyncio.FIRST_COMPLETED)
        if not outcome.done():
            giving.result()
        return await outcome
    finally:
        outcome.cancel()


def _user(record: Record) -> str:
    return record.spec.container.user or record.image.user


def _check_path(path: str) -> None:
    if not path:
        raise Invalid("path: cannot be empty")


def _missing(path: str, container: str) -> Missing:
    return Missing(f"Could not find the file {path} in container {container}")


def _text(path: str) -> str:
    """A path as a message can carry it: what is no UTF-8 is replaced."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _shown(stat: PathStat | None) -> pb.PathStat:
    assert stat is not None
    return pb.PathStat(
        name=_text(stat.name),
        size_bytes=stat.size_bytes,
        mode=stat.mode,
        modified_at=stat.modified_at,
        link_target=_text(stat.link_target),
    )
