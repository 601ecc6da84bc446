"""Send HTTP requests to registries, and say whose fault it is when that fails.

Redirects are followed here and not by the library, because an `Authorization` header must not
travel to another host: registries redirect to storage that reads it as its own. `httpx` is
imported by the first request; a node that never pulls never pays for it (60 ms, 8 MiB).
"""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Collection,
    Generator,
    Mapping,
)
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from swarm import __version__
from swarm.errors import Invalid, Refused, Unavailable
from swarm.images.endpoint import endpoint_of

if TYPE_CHECKING:
    import httpx

_REDIRECTS = (301, 302, 303, 307, 308)
_REDIRECT_LIMIT = 5

Content: TypeAlias = bytes | Callable[[], AsyncIterator[bytes]]


class Patience(Struct, frozen=True, kw_only=True):
    """How long to wait for a registry, and how often to ask again."""

    connect_s: float = 5.0
    read_s: float = 30.0
    attempts: int = 4
    backoff_s: float = 0.2
    backoff_limit_s: float = 5.0


class Busy(Unavailable):
    """It failed in a way that may pass within seconds; `after_s` is what the server asks for."""

    def __init__(self, message: str, *, hint: str = "", after_s: float = 0.0) -> None:
        super().__init__(message, hint=hint)
        self.after_s = after_s


class Unanswered(Unavailable):
    """Nothing answers the connection attempt: worth asking again only in mid-download."""


class Web:
    """One pool of connections per kind of wire. Close it, or use it as a context."""

    def __init__(
        self, *, insecure: Collection[str], ca_dir: Path | None, patience: Patience
    ) -> None:
        self._insecure = insecure
        self._ca_dir = ca_dir
        self._patience = patience
        self._clients: dict[tuple[bool, bool], httpx.AsyncClient] = {}

    async def __aenter__(self) -> Web:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    @asynccontextmanager
    async def open(
        self, method: str, url: str, headers: Mapping[str, str], content: Content = b""
    ) -> AsyncGenerator[httpx.Response]:
        """Send one request, follow its redirects, and give the response with its body unread.

        What is sent as a stream needs a `Content-Length` among the headers, and may have to be
        given again.
        """
        if "httpx" not in sys.modules:  # 60 ms of importing, which no loop should wait for
            await asyncio.to_thread(import_module, "httpx")
        response = await self._send(method, url, headers, content)
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], content: Content
    ) -> httpx.Response:
        sent = dict(headers)
        for _ in range(_REDIRECT_LIMIT + 1):
            client = self._client(url)
            with translated(url):
                body = content or None if isinstance(content, bytes) else content()
                request = client.build_request(method, url, headers=sent, content=body)
                response = await client.send(request, stream=True)
            target = response.headers.get("location", "")
            if response.status_code not in _REDIRECTS or not target:
                return response
            await response.aclose()
            url, origin = urljoin(url, target), url
            self._check_redirect(origin, url)
            if _origin(origin) != _origin(url):
                sent.pop("Authorization", None)
        raise Invalid(f"{_host(url)} redirects more than {_REDIRECT_LIMIT} times")

    def _check_redirect(self, origin: str, target: str) -> None:
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Invalid(f"{_host(origin)} redirects to {target[:80]!r}, which is not a URL")
        downgraded = urlsplit(origin).scheme == "https" and parts.scheme == "http"
        if downgraded and endpoint_of(parts.netloc, insecure=self._insecure).secure:
            raise Refused(
                f"{_host(origin)} redirects to {parts.netloc}, which does not use https",
                hint=f"list {parts.netloc} as an insecure registry if you trust the network to it",
            )

    def _client(self, url: str) -> httpx.AsyncClient:
        import httpx

        parts = urlsplit(url)
        secure = parts.scheme == "https"
        local = endpoint_of(parts.netloc).local
        client = self._clients.get((secure, local))
        if client is None:
            wait = self._patience
            client = self._clients[secure, local] = httpx.AsyncClient(
                # Plain connections check no certificate; making a context would cost 20 ms.
                verify=self._tls() if secure else False,
                trust_env=not local,  # no proxy stands between us and ourselves
                follow_redirects=False,
                timeout=httpx.Timeout(wait.read_s, connect=wait.connect_s),
                headers={"User-Agent": f"swarmd/{__version__}", "Accept-Encoding": "identity"},
            )
        return client

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._ca_dir is not None and self._ca_dir.is_dir():
            for path in sorted(self._ca_dir.iterdir()):
                if path.suffix in (".crt", ".pem"):
                    _trust(context, path)
        return context


def _trust(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(cafile=path)
    except (ssl.SSLError, OSError) as err:
        raise Invalid(
            f"{path}: not a PEM certificate: {err}", hint="replace or remove the file"
        ) from err


@contextmanager
def translated(url: str) -> Generator[None]:
    """Turn httpx's failures inside the block into ours, naming the host of `url`."""
    import httpx

    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as err:
        raise _failure(url, err) from err


def _failure(url: str, error: Exception) -> Exception:
    import httpx

    host = _host(url)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return Refused(
                f"registry {host}: its certificate is not trusted: {cause.verify_message}",
                hint="add its CA certificate to the registry CA directory",
            )
        if isinstance(cause, ssl.SSLError):
            return Unavailable(
                f"registry {host}: TLS failed: {cause.reason or cause}",
                hint=f"if it speaks plain HTTP, list {host} as an insecure registry",
            )
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.ConnectTimeout):
        return Unanswered(
            f"registry {host} cannot be reached: no answer to the connection attempt",
            hint="check the address, the network and the registry",
        )
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return Invalid(f"registry {host}: {error}")
    if isinstance(error, httpx.ConnectError):
        return Busy(
            f"registry {host} cannot be reached: {str(error) or 'connection failed'}",
            hint="check the address, the network and the registry",
        )
    said = str(error) or type(error).__name__
    return Busy(f"registry {host}: the connection broke: {said}", hint="try again")


def _host(url: str) -> str:
    return urlsplit(url).netloc


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
