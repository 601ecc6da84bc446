"""Receive what a build is made from: a context that arrives or is fetched, and its Dockerfile."""

from collections.abc import AsyncIterator
from pathlib import Path

from agent.build import ignoring
from agent.build.io.fetching import fetched
from agent.build.io.workers import Worker
from agent.build.orders import CONTEXT, Prune, Read, Unpack
from agent.build.request import DOCKERFILE, Request
from agent.build.source import LARGEST
from swarm.errors import Invalid

IGNORE_FILE = ".dockerignore"
_GIT = ("git://", "git@", "github.com/", "gitlab.com/")


async def receive(request: Request, worker: Worker, own: Path, chunks: AsyncIterator[bytes]) -> str:
    """The Dockerfile's text; the context is in `own`, without what it wants ignored."""
    directory = str(own / CONTEXT)
    name = _name(request.dockerfile_name)
    order = Unpack(directory=directory, dockerfile=name)
    if request.remote:
        await _fetch(request.remote, worker, order)
    else:
        await worker.unpack(chunks, order)
    text = request.dockerfile_text or await _read_dockerfile(worker, directory, name)
    await _ignore(worker, directory, name)
    return text


def is_git(url: str) -> bool:
    """Whether a remote context is a repository."""
    path = url.partition("#")[0]
    return url.startswith(_GIT) or (
        url.startswith(("http://", "https://")) and path.endswith(".git")
    )


async def _fetch(url: str, worker: Worker, order: Unpack) -> None:
    if is_git(url):
        raise Invalid(
            f"{url}: a git repository cannot be a context here",
            hint="clone it, and send its directory",
        )
    if not url.startswith(("http://", "https://")):
        raise Invalid(f"remoteURL ({url}) could not be recognized as URL")
    async with fetched(url) as download:
        await worker.unpack(download.chunks, order)


def _name(path: str) -> str:
    """The Dockerfile's path in the context; links in it lead nowhere else."""
    name = path.removeprefix("./").lstrip("/")
    if not name or ".." in name.split("/"):
        raise Invalid(f"forbidden path outside the build context: {path}")
    return name


async def _read_dockerfile(worker: Worker, directory: str, name: str) -> str:
    for each in (name, name.lower()) if name == DOCKERFILE else (name,):
        answer = await worker.ask(Read(directory=directory, path=each, largest=LARGEST + 1))
        if answer.content is not None:
            return answer.content
    raise Invalid(
        f"Cannot locate specified Dockerfile: {name}",
        hint="name it relative to the context, and see that .dockerignore lets it in",
    )


async def _ignore(worker: Worker, directory: str, name: str) -> None:
    for each in (f"{name}{IGNORE_FILE}", IGNORE_FILE):
        answer = await worker.ask(Read(directory=directory, path=each, largest=LARGEST))
        if answer.content is not None:
            patterns = ignoring.patterns(answer.content)
            if patterns:
                await worker.ask(Prune(directory=directory, patterns=patterns))
            return
