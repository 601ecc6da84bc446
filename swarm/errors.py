"""Say no in one of six ways, each naming whose move it is next.

A decision ("no node fits") is a value, not an exception; a bug is an `assert`. What is left
are expected failures, and their class answers who can do something about it. Adapters
translate foreign errors into these once, and the gRPC boundary (`swarm.io.rpc`) translates
these into status codes once.
"""


class SwarmError(Exception):
    """An expected failure.

    `message` is lower case, without a full stop, and carries the values; `hint` says what to
    do about it and may be empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Invalid(SwarmError):
    """The caller must rewrite the request. `problems` lists every fault, each with its path."""

    def __init__(self, message: str, *, hint: str = "", problems: tuple[str, ...] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems or (message,)


class Missing(SwarmError):
    """What was asked for does not exist; the caller looks elsewhere."""


class Refused(SwarmError):
    """Permission or state forbids it; an operator has to change one of them."""


class Broken(Refused):
    """A bug in who was asked: that one's log says more, and its operator has to look."""


class Conflict(SwarmError):
    """Someone changed it first: read again and decide again."""


class Unavailable(SwarmError):
    """Nobody can answer now: wait and retry with backoff."""


class KernelRefused(SwarmError):
    """The kernel said no to one step; the node's operator has to look.

    `errno` is the kernel's error number.
    """

    def __init__(self, step: str, errno: int, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.step = step
        self.errno = errno
