"""Serve files of containers: archives both ways, exports, differences and commits."""

from collections.abc import AsyncIterator

from engine import replies
from engine.containers import archiving
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route
from engine.wire.containers import ConfigJson
from engine.wire.decoding import decode
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Invalid
from swarm.images.reference import parse_reference

TAR = "application/x-tar"


async def stat_path(ask: Exchange) -> Reply:
    """HEAD /containers/{name}/archive"""
    request = pb.StatPathRequest(container=ask.params["name"], path=_path(ask))
    found = await ask.backends.containers.StatPath(request)
    return Reply(200, headers=(archiving.stat_header(found.stat),))


async def read_archive(ask: Exchange) -> None:
    """GET /containers/{name}/archive"""
    request = pb.ReadArchiveRequest(container=ask.params["name"], path=_path(ask))
    async with ending(ask.backends.containers.ReadArchive(request)) as pieces:
        async for piece in pieces:
            if not ask.has_begun:
                stat = archiving.stat_header(piece.stat)
                await ask.begin(content_type=TAR, headers=(stat,))
            await ask.write(piece.chunk)


async def write_archive(ask: Exchange) -> Reply:
    """PUT /containers/{name}/archive"""
    first = pb.WriteArchiveRequest(
        container=ask.params["name"],
        path=_path(ask),
        no_overwrite_dir_non_dir=ask.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid=ask.query.flag("copyUIDGID"),
    )

    async def requests() -> AsyncIterator[pb.WriteArchiveRequest]:
        yield first
        async for chunk in ask.body():
            yield pb.WriteArchiveRequest(chunk=chunk)

    await ask.backends.containers.WriteArchive(requests())
    return replies.nothing(200)


async def export_container(ask: Exchange) -> None:
    """GET /containers/{name}/export"""
    request = pb.ExportContainerRequest(container=ask.params["name"])
    async with ending(ask.backends.containers.ExportContainer(request)) as pieces:
        async for piece in pieces:
            if not ask.has_begun:
                await ask.begin(content_type=TAR)
            await ask.write(piece.chunk)
    if not ask.has_begun:
        await ask.begin(content_type=TAR)


async def diff_container(ask: Exchange) -> Reply:
    """GET /containers/{name}/changes"""
    request = pb.DiffContainerRequest(container=ask.params["name"])
    found = await ask.backends.containers.DiffContainer(request)
    return replies.json(archiving.write_changes(list(found.changes)))


async def commit_container(ask: Exchange) -> Reply:
    """POST /commit"""
    query = ask.query
    container = query.text("container")
    if not container:
        raise Invalid("container: say which one is to become an image")
    config = await ask.document()
    if decode(ConfigJson, config) == ConfigJson():
        config = b""
    request = pb.CommitContainerRequest(
        container=container,
        reference=_reference(query.text("repo"), query.text("tag")),
        author=query.text("author"),
        message=query.text("comment"),
        changes=[line for text in query.texts("changes") for line in text.splitlines()],
        pause=query.flag("pause", default=True),
        config_json=config,
    )
    made = await ask.backends.containers.CommitContainer(request)
    return replies.json({"Id": made.id}, status=201)


def _path(ask: Exchange) -> str:
    path = ask.query.text("path")
    if not path:
        raise Invalid("bad parameter: path cannot be empty")
    return path


def _reference(repository: str, tag: str) -> str:
    if not repository:
        return ""
    text = f"{repository}:{tag}" if tag else repository
    return str(parse_reference(text).with_default_tag())


ROUTES: tuple[Route[Handler], ...] = (
    Route("HEAD", "/containers/{name}/archive", stat_path),
    Route("GET", "/containers/{name}/archive", read_archive),
    Route("PUT", "/containers/{name}/archive", write_archive),
    Route("GET", "/containers/{name}/export", export_container),
    Route("GET", "/containers/{name}/changes", diff_container),
    Route("POST", "/commit", commit_container),
)
