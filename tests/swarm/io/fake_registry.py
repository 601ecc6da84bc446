"""A registry in this process that misbehaves on request.

It passes the contract that the real one passes (`test_registry_contract.py`); the faults are
fields of `Faults`, so that a test says in one line what goes wrong.
"""

import asyncio
import base64
import hashlib
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Faults:
    """What goes wrong. Counters run down: `cut={digest: (3, 1000)}` cuts three answers."""

    cut: dict[str, tuple[int, int]] = field(default_factory=dict)  # digest -> times, after bytes
    statuses: list[tuple[int, dict[str, str]]] = field(default_factory=list)  # answers come first
    corrupt: set[str] = field(default_factory=set)  # digests served with their first byte flipped
    no_ranges: bool = False
    no_head: bool = False
    no_digest_header: bool = False
    redirect: str = ""  # base URL that blobs are redirected to
    longer: bytes = b""  # appended to blobs
    hold: asyncio.Event | None = None  # blobs wait for it in mid-body ...
    held: set[str] = field(default_factory=set)  # ... all, or only these digests
    silent: bool = False  # accept, and never answer
    cut_uploads: list[int] = field(default_factory=list)  # each breaks one after so many bytes
    forget_uploads: bool = False  # a broken upload cannot be continued
    no_mounts: bool = False


@dataclass
class FakeRegistry:
    """What it holds and what it was asked; `address` is HOST:PORT."""

    address: str = ""
    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    basic: tuple[str, str] | None = None
    bearer: bool = False
    token_lifetime_s: int = 300
    token_user: tuple[str, str] | None = None
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    sent_bytes: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    forms: list[str] = field(default_factory=list)  # what token services were sent
    uploads: dict[str, bytes] = field(default_factory=dict)
    homes: dict[str, set[str]] = field(default_factory=dict)  # digest -> who has it, if not all
    mounts: list[tuple[str, str]] = field(default_factory=list)
    received_bytes: int = 0

    def add_blob(self, content: bytes) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self.blobs[digest] = content
        return {"digest": digest, "size": len(content)}

    def add_manifest(
        self, repository: str, tag: str, body: bytes, media_type: str = MANIFEST_TYPE
    ) -> str:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        for name in {tag, digest} - {""}:
            self.manifests[repository, name] = (media_type, body)
        return digest

    def add_image(self, repository: str, tag: str, layers: list[bytes], **config: object) -> str:
        """Put an image of uncompressed or gzip layers; diff ids are the caller's, or computed."""
        diff_ids = config.pop(
            "diff_ids", [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in layers]
        )
        described = {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self.add_blob(json.dumps(described).encode()),
            "layers": [self.add_blob(layer) for layer in layers],
        }
        return self.add_manifest(repository, tag, json.dumps(document).encode())

    def asked(self, method: str, part: str) -> int:
        """How many requests used `method` on a path that holds `part`."""
        return sum(1 for verb, path, _ in self.requests if verb == method and part in path)


@asynccontextmanager
async def serving(
    registry: FakeRegistry, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakeRegistry]:
    """Serve `registry` on a free port of 127.0.0.1 until the block ends."""
    connections: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connections.add(task)
        try:
            await _converse(registry, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            pass  # the block ended; asyncio's server logs a cancelled conversation as an error
        finally:
            connections.discard(task)
            writer.transport.abort()

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    host, port = server.sockets[0].getsockname()
    registry.address = f"{host}:{port}"
    try:
        yield registry
    finally:
        server.close()
        for task in list(connections):
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


async def _converse(
    registry: FakeRegistry, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while True:
        opening = await reader.readexactly(1)
        if opening == b"\x16":  # a TLS greeting, which a plain server answers in plain words
            writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\nthis is not TLS")
            await writer.drain()
            return
        head = (opening + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in lines)
        }
        registry.requests.append((method, path, headers))
        if registry.faults.silent:
            await asyncio.Event().wait()
        body = await _receive(registry, reader, method, path, int(headers.get("content-length", 0)))
        await _send(registry, writer, method, _answer(registry, method, path, headers, body))


async def _receive(
    registry: FakeRegistry, reader: asyncio.StreamReader, method: str, path: str, size: int
) -> bytes:
    """The body of a request; what was cut off has arrived up to there."""
    limit = (
        registry.faults.cut_uploads.pop(0)
        if method == "PATCH" and registry.faults.cut_uploads
        else size
    )
    body = await reader.readexactly(min(limit, size))
    registry.received_bytes += len(body) if method == "PATCH" else 0
    if limit < size:
        if not registry.faults.forget_uploads:
            registry.uploads[path] += body
        raise ConnectionError("cut on request")
    return body


@dataclass
class Answer:
    """What goes over the wire; a `limit` below the body's length cuts the connection there."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    limit: int | None = None
    digest: str = ""


def _answer(
    registry: FakeRegistry, method: str, path: str, headers: dict[str, str], sent: bytes
) -> Answer:
    if registry.faults.statuses:
        status, extra = registry.faults.statuses.pop(0)
        return Answer(status, _error("FAULT", "on request"), extra)
    if path.startswith("/token"):
        registry.forms.append(sent.decode() or path)
        return _grant(registry, headers)
    if not _is_welcome(registry, headers):
        challenge = f'Basic realm="{registry.address}"'
        if registry.bearer:
            realm = f"http://{registry.address}/token"
            challenge = f'Bearer realm="{realm}",service="fake",scope="repository:x:pull,push"'
        body = _error("UNAUTHORIZED", "authentication required")
        return Answer(401, body, {"WWW-Authenticate": challenge})
    if path == "/v2/":
        return Answer(200, b"{}")
    if "/blobs/uploads/" in path:
        return _upload(registry, method, path, sent)
    if "/tags/list" in path:
        return _tags(registry, path)
    repository, kind, name = path.removeprefix("/v2/").rsplit("/", 2)
    if kind == "manifests" and method == "PUT":
        registry.add_manifest(repository, name, sent, headers["content-type"])
        return Answer(201)
    if kind == "manifests":
        return _manifest(registry, method, repository, name)
    if repository not in registry.homes.get(name, {repository}):
        return Answer(404, _error("BLOB_UNKNOWN", "blob unknown"))
    return _blob(registry, path, name, headers)


def _tags(registry: FakeRegistry, path: str) -> Answer:
    """Two at a time, however many are asked for."""
    place, _, query = path.partition("?")
    last = dict(part.split("=", 1) for part in query.split("&") if part).get("last", "")
    repository = place.removeprefix("/v2/").removesuffix("/tags/list")
    names = sorted(n for r, n in registry.manifests if r == repository and ":" not in n)
    if not names:
        return Answer(404, _error("NAME_UNKNOWN", "repository name not known to registry"))
    page = [name for name in names if name > last][:2]
    more = {"Link": f'<{place}?last={page[-1]}>; rel="next"'} if page[-1:] != names[-1:] else {}
    return Answer(200, json.dumps({"name": repository, "tags": page}).encode(), more)


def _upload(registry: FakeRegistry, method: str, path: str, sent: bytes) -> Answer:
    """Uploads have no more than a number; their state is what has arrived."""
    place, _, query = path.partition("?")
    asked = dict(part.split("=", 1) for part in query.split("&") if part)
    repository = place.removeprefix("/v2/").partition("/blobs/")[0]
    if method == "POST":
        digest = asked.get("mount", "").replace("%3A", ":")
        origin = asked.get("from", "").replace("%2F", "/")
        if digest in registry.blobs and not registry.faults.no_mounts:
            registry.mounts.append((digest, origin))
            registry.homes.setdefault(digest, set()).add(repository)
            return Answer(201)
        location = f"{place}{len(registry.requests)}"
        registry.uploads[location] = b""
        return Answer(202, headers={"Location": location})
    if place not in registry.uploads:
        return Answer(404, _error("BLOB_UPLOAD_UNKNOWN", "no such upload"))
    if method == "DELETE":
        del registry.uploads[place]
        return Answer(204)
    if method == "GET" and registry.faults.forget_uploads:
        return Answer(404, _error("BLOB_UPLOAD_UNKNOWN", "forgotten"))
    if method == "GET":
        last = max(len(registry.uploads[place]) - 1, 0)
        return Answer(204, headers={"Location": place, "Range": f"0-{last}"})
    registry.uploads[place] += sent
    if method == "PATCH":
        return Answer(202, headers={"Location": place})
    body, digest = registry.uploads.pop(place), asked["digest"].replace("%3A", ":")
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
        return Answer(400, _error("DIGEST_INVALID", "provided digest did not match"))
    registry.blobs[digest] = body
    registry.homes.setdefault(digest, set()).add(repository)
    return Answer(201)


def _is_welcome(registry: FakeRegistry, headers: dict[str, str]) -> bool:
    given = headers.get("authorization", "")
    if registry.bearer:
        return given == f"Bearer token-{registry.tokens}"
    return registry.basic is None or given == _basic(registry.basic)


def _grant(registry: FakeRegistry, headers: dict[str, str]) -> Answer:
    if registry.token_user and headers.get("authorization") != _basic(registry.token_user):
        return Answer(401, _error("UNAUTHORIZED", "wrong password"))
    registry.tokens += 1
    answer = {"token": f"token-{registry.tokens}", "expires_in": registry.token_lifetime_s}
    return Answer(200, json.dumps(answer).encode())


def _manifest(registry: FakeRegistry, method: str, repository: str, name: str) -> Answer:
    if method == "HEAD" and registry.faults.no_head:
        return Answer(405)
    found = registry.manifests.get((repository, name))
    if found is None:
        return Answer(404, _error("MANIFEST_UNKNOWN", "manifest unknown"))
    media_type, body = found
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    headers = {"Content-Type": media_type}
    if not registry.faults.no_digest_header:
        headers["Docker-Content-Digest"] = digest
    if digest in registry.faults.corrupt:
        body = bytes([body[0] ^ 1]) + body[1:]
    return Answer(200, body, headers)


def _blob(registry: FakeRegistry, path: str, digest: str, headers: dict[str, str]) -> Answer:
    faults = registry.faults
    if faults.redirect:
        return Answer(307, headers={"Location": faults.redirect + path})
    body = registry.blobs.get(digest)
    if body is None:
        return Answer(404, _error("BLOB_UNKNOWN", "blob unknown"))
    body += faults.longer
    if digest in faults.corrupt:
        body = bytes([body[0] ^ 1]) + body[1:]
    answer = Answer(200, body, digest=digest)
    if "range" in headers and not faults.no_ranges:
        start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
        span = {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        answer = Answer(206, body[start:], span, digest=digest)
    times, after = faults.cut.get(digest, (0, 0))
    if times:
        faults.cut[digest] = (times - 1, after)
        answer.limit = after
    return answer


async def _send(
    registry: FakeRegistry, writer: asyncio.StreamWriter, method: str, answer: Answer
) -> None:
    lines = [f"HTTP/1.1 {answer.status} Fake"]
    lines += [f"Content-Length: {len(answer.body)}"] if answer.status != 204 else []
    lines += [f"{name}: {value}" for name, value in answer.headers.items()]
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    sent = b"" if method == "HEAD" else answer.body[: answer.limit]
    held = registry.faults.held or registry.blobs.keys()
    if registry.faults.hold is not None and answer.digest in held:
        half = len(sent) // 2
        writer.write(sent[:half])
        await writer.drain()
        await registry.faults.hold.wait()
        sent, registry.sent_bytes[answer.digest] = sent[half:], half
    writer.write(sent)
    await writer.drain()
    registry.sent_bytes[answer.digest] += len(sent)
    if answer.limit is not None and answer.limit < len(answer.body):
        writer.close()
        await writer.wait_closed()
        raise ConnectionError("cut on request")


def _error(code: str, message: str) -> bytes:
    return json.dumps({"errors": [{"code": code, "message": message}]}).encode()


def _basic(pair: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(pair).encode()).decode()
