"""Send a build its context, and show what comes of it.

The context is packed as it is sent: nothing is held, and files that go away meanwhile are left
out. Whatever .dockerignore names stays here, but for itself and the Dockerfile, which the builder
needs.
"""

import io
import itertools
import os
import select
import stat
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError
from msgspec import Struct

from agent.build.ignoring import Ignored, ignored, patterns
from swarm.api.v1 import builds_pb2 as pb
from swarm.errors import Invalid, Unavailable
from swarmctl.hosts import socket_path
from swarmctl.io.duplex import Duplex
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session
from swarmctl.pulling import Layer, Pull
from swarmctl.wire.ending import OK, Ended
from swarmctl.wire.faults import failure

CHUNK_BYTES = 1 << 18
_WAITING_BYTES = 1 << 20
_URLS = ("http://", "https://", "git://", "git@", "github.com/")


class Context(Struct):
    """What the builder is sent: pieces of a tar, none where it fetches the context itself."""

    chunks: Iterable[bytes] = ()


def context_of(path: str, dockerfile: str, spec: pb.BuildSpec) -> Context:
    """The context that `path` names; `spec` is told where the Dockerfile is."""
    if path.startswith(_URLS):
        spec.remote, spec.dockerfile = path, dockerfile
        return Context()
    if path == "-":
        if dockerfile == "-":
            raise Invalid("standard input cannot be both", hint="name a directory")
        spec.dockerfile = dockerfile
        return _streamed(sys.stdin.buffer, spec)
    directory = Path(path)
    if not directory.is_dir():
        raise Invalid(f"{path} is not a directory", hint="give one that has a Dockerfile")
    kept = _dockerfile(directory, dockerfile, spec)
    rules = _rules(directory, kept)
    return Context(
        chunks=_packed(directory, rules, {".dockerignore", kept, f"{kept}.dockerignore"})
    )


def build_image(session: Session, spec: pb.BuildSpec, context: Context, *, quiet: bool) -> str:
    """Build, and print what the builder says; the image's id."""
    call = Duplex(socket_path(session.host), "Builds/BuildImage")
    try:
        call.send(pb.BuildImageRequest(spec=spec).SerializeToString())
        return _Conversation(call, iter(context.chunks), _Shown(session, quiet=quiet)).run()
    finally:
        call.close()


class _Shown:
    """What the builder says, on our output."""

    def __init__(self, session: Session, *, quiet: bool) -> None:
        self._session = session
        self._quiet = quiet
        self._pull, self._canvas = Pull(), Canvas(session)

    def take(self, answer: pb.BuildImageResponse) -> None:
        """Print one message."""
        if self._quiet:
            return
        if answer.layer:
            self._layer(answer)
        if answer.text:
            self._canvas.leave()
            if answer.is_error_output:
                sys.stderr.write(answer.text)
                sys.stderr.flush()
            else:
                self._session.write(answer.text, flush=True)

    def _layer(self, answer: pb.BuildImageResponse) -> None:
        line = self._pull.seen(
            Layer(
                digest=answer.layer,
                status=answer.status,
                current_bytes=answer.current_bytes,
                total_bytes=answer.total_bytes,
            )
        )
        if self._canvas.is_live:
            self._canvas.paint(self._pull.lines(columns=self._session.columns()))
        elif line:
            self._session.say(line)


class _Conversation:
    """Both directions at once: a builder may fail before it has read everything."""

    def __init__(self, call: Duplex, chunks: Iterator[bytes], shown: _Shown) -> None:
        self._call = call
        self._chunks = chunks
        self._shown = shown
        self._is_sending = True
        self._image = ""

    def run(self) -> str:
        """Until the builder is done; the image's id."""
        while True:
            self._feed()
            for payload in self._answers():
                if isinstance(payload, Ended):
                    return self._over(payload)
                self._take(payload)
            self._call.make_room()

    def _feed(self) -> None:
        while self._is_sending and self._call.waiting_bytes < _WAITING_BYTES:
            chunk = next(self._chunks, None)
            if chunk is None:
                self._is_sending = False
                self._call.close_sending()
            else:
                self._call.send(pb.BuildImageRequest(chunk=chunk).SerializeToString())

    def _answers(self) -> Iterator[bytes | Ended]:
        poll = select.poll()
        room = select.POLLOUT if self._call.wants_to_write else 0
        poll.register(self._call.fileno(), select.POLLIN | room)
        for _, ready in poll.poll():
            if ready & select.POLLOUT:
                self._call.write()
            if ready & ~select.POLLOUT:
                for event in self._call.read():
                    yield event if isinstance(event, Ended) else event.payload

    def _take(self, payload: bytes) -> None:
        try:
            answer = pb.BuildImageResponse.FromString(payload)
        except DecodeError as err:
            raise Unavailable(
                "swarmd sent what is no answer", hint="do the versions agree?"
            ) from err
        self._image = answer.image_id or self._image
        self._shown.take(answer)

    def _over(self, ended: Ended) -> str:
        if ended.status != OK:
            raise failure(ended)
        return self._image


def _streamed(source: BinaryIO, spec: pb.BuildSpec) -> Context:
    """A tar, or else the text of a Dockerfile with no files beside it."""
    head = source.read(tarfile.BLOCKSIZE)
    if _is_archive(head):
        return Context(chunks=itertools.chain([head], iter(lambda: source.read(CHUNK_BYTES), b"")))
    try:
        spec.dockerfile_text = (head + source.read()).decode()
    except UnicodeDecodeError as err:
        raise Invalid(
            "standard input is neither a tar nor a Dockerfile", hint="give one of both"
        ) from err
    return Context()


def _is_archive(head: bytes) -> bool:
    magics = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
    return head.startswith(magics) or head[257:262] == b"ustar"


def _dockerfile(directory: Path, name: str, spec: pb.BuildSpec) -> str:
    """Tell the builder of the Dockerfile; its path in the context, or nothing."""
    if name == "-":
        spec.dockerfile_text = sys.stdin.read()
        return ""
    path = Path(name) if name else directory / "Dockerfile"
    if not path.is_file():
        raise Invalid(f"{path}: there is no such Dockerfile", hint="name it: -f FILE")
    resolved, base = path.resolve(), directory.resolve()
    if not resolved.is_relative_to(base):
        spec.dockerfile_text = path.read_text()
        return ""
    spec.dockerfile = str(resolved.relative_to(base))
    return spec.dockerfile


def _rules(directory: Path, dockerfile: str) -> Ignored:
    for name in (f"{dockerfile}.dockerignore", ".dockerignore"):
        path = directory / name
        if path.is_file():
            return ignored(patterns(path.read_text()))
    return Ignored()


def _packed(directory: Path, rules: Ignored, kept: set[str]) -> Iterator[bytes]:
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as tar:
        for path, inside in _walk(directory, "", rules, kept):
            entry = tar.gettarinfo(path, inside)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            yield entry.tobuf(tarfile.PAX_FORMAT)
            if entry.isreg():
                yield from content(path, entry.size)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _walk(
    directory: Path, prefix: str, rules: Ignored, kept: set[str]
) -> Iterator[tuple[Path, str]]:
    for child in sorted(os.scandir(directory / prefix), key=lambda each: each.name):
        inside = f"{prefix}/{child.name}" if prefix else child.name
        is_out = inside not in kept and rules.covers(inside)
        is_directory = child.is_dir(follow_symlinks=False)
        if not is_out and not is_socket(Path(child.path)):
            yield Path(child.path), inside
        leads = any(each.startswith(f"{inside}/") for each in kept)
        if is_directory and (not is_out or rules.has_exceptions or leads):
            yield from _walk(directory, inside, rules, kept)


def is_socket(path: Path) -> bool:
    """Whether there is nothing that could be copied."""
    return stat.S_ISSOCK(path.lstat().st_mode)


def content(path: Path, size: int) -> Iterator[bytes]:
    """Just so many bytes of a file, whatever becomes of it meanwhile, up to a whole block."""
    left = size
    with path.open("rb") as file:
        while left and (chunk := file.read(min(left, CHUNK_BYTES))):
            yield chunk
            left -= len(chunk)
    yield bytes(left + -size % tarfile.BLOCKSIZE)
