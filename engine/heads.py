"""Know a request before its body."""

import posixpath
from collections.abc import Mapping
from urllib.parse import quote, unquote

from msgspec import Struct


class Head(Struct, frozen=True, kw_only=True):
    """What a request begins with. `path` is decoded; names of `headers` are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str]

    @property
    def wants_upgrade(self) -> bool:
        """Whether the client wants to go on without HTTP, as Docker's own does (`tcp`)."""
        words = self.headers.get("connection", "").lower().replace(" ", "").split(",")
        return "upgrade" in words and bool(self.headers.get("upgrade"))

    @property
    def media_type(self) -> str:
        """What the body is said to be."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def has_body(self) -> bool:
        """Whether anything was announced after the head."""
        return (
            "transfer-encoding" in self.headers
            or self.headers.get("content-length", "0").strip() != "0"
        )


def parse_target(target: str) -> tuple[str, str]:
    """Path and query of a request's first line, whose target may be a whole URL."""
    if not target.startswith("/"):
        target = "/" + target.partition("://")[2].partition("/")[2]
    path, _, query = target.partition("?")
    return unquote(path), query.partition("#")[0]


def clean(path: str) -> str:
    """`path` without empty pieces and dots; whether it ends with a slash is kept."""
    found = "/" + posixpath.normpath(f"/{path}").lstrip("/")
    return f"{found}/" if path.endswith("/") and found != "/" else found


def write_target(path: str, query: str) -> str:
    """What `parse_target` reads as `path` and `query`."""
    return quote(path) + (f"?{query}" if query else "")
