"""Lay out what clients send when they log in."""

from msgspec import Struct

from engine.wire.decoding import Int64

OFFICIAL = "docker.io"


class LoginJson(Struct, frozen=True, kw_only=True):
    """How a client wants to be known to a registry, which is named by a host or an URL."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    expires: Int64 = 0

    @property
    def registry(self) -> str:
        """The registry's host and port."""
        host = self.serveraddress.rpartition("://")[2].partition("/")[0]
        return OFFICIAL if host in ("", "index.docker.io") else host
