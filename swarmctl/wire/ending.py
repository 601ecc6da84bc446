"""Tell how a call ended: by gRPC's own status, or by what HTTP/2 says in its absence.

The mapping is the one of gRPC's protocol description ("HTTP2 Transport Mapping for Errors").
"""

from base64 import b64decode
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from msgspec import Struct, field

OK, CANCELLED, UNKNOWN, INTERNAL, UNAVAILABLE = 0, 1, 2, 13, 14
_STATUS_OF_RESET = {7: UNAVAILABLE, 8: CANCELLED, 11: 8, 12: 7}
_STATUS_OF_HTTP = {400: INTERNAL, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}


class Ended(Struct, frozen=True, kw_only=True):
    """The call is over, with a gRPC status; `details` is the trailing metadata."""

    status: int
    message: str = ""
    details: dict[str, bytes] = field(default_factory=dict[str, bytes])


def of_reset(code: int) -> Ended:
    """The end of a call whose stream was reset with HTTP/2's error `code`."""
    status = _STATUS_OF_RESET.get(code, INTERNAL)
    return Ended(status=status, message=f"the call was reset ({int(code)})")


def of_headers(headers: Mapping[str, bytes]) -> Ended:
    """The end that headers and trailers tell; `ValueError` when they are malformed."""
    code = headers.get("grpc-status", b"")
    if not code.isdigit():
        http = headers.get(":status", b"")
        status = _STATUS_OF_HTTP.get(int(http), UNKNOWN) if http.isdigit() else UNKNOWN
        return Ended(status=status, message="the daemon gave no gRPC status")
    details = {
        name: b64decode(value + b"=" * (-len(value) % 4)) if name.endswith("-bin") else value
        for name, value in headers.items()
        if not name.startswith((":", "grpc-"))
    }
    message = unquote_to_bytes(headers.get("grpc-message", b"")).decode("utf-8", "replace")
    return Ended(status=int(code), message=message, details=details)
