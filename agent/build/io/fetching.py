"""Download what ADD and remote contexts name, over HTTP and HTTPS.

Redirects are followed to the same two. What a server calls a file is only ever the last component
of a path. `httpx` is imported by the first download.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime
from importlib import import_module
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from swarm import __version__
from swarm.errors import Invalid, Unavailable

if TYPE_CHECKING:
    import httpx

_CONNECT_S = 10.0
_READ_S = 60.0
_REDIRECTS = 10
_FILENAME = re.compile(r'filename="?([^";]+)"?')


class Download(Struct, frozen=True, kw_only=True):
    """What is being downloaded: `name` may be empty, `modified_at` 0, `size_bytes` unknown (0)."""

    name: str
    modified_at: float
    size_bytes: int
    is_text: bool
    chunks: AsyncIterator[bytes]


@asynccontextmanager
async def fetched(url: str) -> AsyncGenerator[Download]:
    """Begin to download `url`. Raises `Invalid` for what the server refuses, `Unavailable`."""
    httpx_module = import_module("httpx")
    if urlsplit(url).scheme not in ("http", "https"):
        raise Invalid(f"{url}: only http and https can be downloaded")
    timeout = httpx_module.Timeout(_READ_S, connect=_CONNECT_S)
    try:
        async with (
            httpx_module.AsyncClient(
                follow_redirects=True,
                max_redirects=_REDIRECTS,
                timeout=timeout,
                headers={"User-Agent": f"swarmd/{__version__}", "Accept-Encoding": "identity"},
            ) as client,
            client.stream("GET", url) as answer,
        ):
            if answer.status_code >= 400:
                raise Invalid(
                    f"failed to GET {url} with status {answer.status_code} {answer.reason_phrase}"
                )
            yield _described(url, answer)
    except httpx_module.HTTPError as err:
        raise Unavailable(f"failed to GET {url}: {err or type(err).__name__}") from err
    except (httpx_module.InvalidURL, UnicodeError) as err:
        raise Invalid(f"{url}: {err}") from err


def _described(url: str, answer: httpx.Response) -> Download:
    headers = answer.headers
    kind = headers.get("content-type", "").partition(";")[0].strip()
    return Download(
        name=_name(url, headers.get("content-disposition", "")),
        modified_at=_time(headers.get("last-modified", "")),
        size_bytes=int(headers.get("content-length", "0") or 0),
        is_text=kind == "text/plain",
        chunks=answer.aiter_bytes(1 << 18),
    )


def _name(url: str, disposition: str) -> str:
    """What the file is called: by the path, else by the server; nothing that leads elsewhere."""
    path = unquote(urlsplit(url).path)
    name = "" if path.endswith("/") else path.rpartition("/")[2]
    if not name and (match := _FILENAME.search(disposition)):
        name = match[1].rpartition("/")[2]
    return "" if name in (".", "..") or "\0" in name else name


def _time(text: str) -> float:
    try:
        return parsedate_to_datetime(text).timestamp() if text else 0.0
    except (ValueError, OverflowError):
        return 0.0
