"""Say no over HTTP: which status an error has, and the words in `{"message": ...}`.

Every error of ours has a status by whose move it is. `Denied` is for the places where Docker's
clients go by another one, as they do for `404` of an image that `docker run` then pulls.
"""

from swarm.errors import (
    Broken,
    Conflict,
    Invalid,
    KernelRefused,
    Missing,
    Refused,
    SwarmError,
    Unavailable,
)

BAD_REQUEST = 400
UNAUTHORIZED = 401
FORBIDDEN = 403
NOT_FOUND = 404
CONFLICT = 409
TOO_LARGE = 413
INTERNAL = 500
NOT_IMPLEMENTED = 501
UNAVAILABLE = 503

_STATUSES: tuple[tuple[type[SwarmError], int], ...] = (
    (Invalid, BAD_REQUEST),
    (Missing, NOT_FOUND),
    (Broken, INTERNAL),
    (Refused, CONFLICT),
    (Conflict, CONFLICT),
    (KernelRefused, INTERNAL),
    (Unavailable, UNAVAILABLE),
)


class Denied(SwarmError):
    """A refusal with a status of its own."""

    def __init__(self, status: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status


def status_of(error: SwarmError) -> int:
    """The status that tells clients whose move it is."""
    if isinstance(error, Denied):
        return error.status
    return next((code for kind, code in _STATUSES if isinstance(error, kind)), INTERNAL)


def words_of(error: SwarmError) -> str:
    """All that the error says in one line, never empty: every problem, then what to do."""
    text = error.message
    if isinstance(error, Invalid) and error.problems != (error.message,):
        text = "; ".join(error.problems)
        if error.message and not error.problems[0].startswith(error.message):
            text = f"{error.message}: {text}"
    if isinstance(error, KernelRefused) and error.step:
        text = f"{error.step}: {text}"
    text = text or f"the request failed: {type(error).__name__.lower()}"
    return f"{text} ({error.hint})" if error.hint else text
