"""Carry an error over the wire whole: class, message, hint and every problem.

The detail travels in trailing metadata, and gRPC drops a call whose metadata passes 8 KiB. So
it is cut to fit, longest first to go, rather than lost: half a list of problems is worth
more than `UNAVAILABLE`.
"""

import msgspec
from msgspec import Struct

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

KEY = "swarm-error-bin"
LIMIT_BYTES = 4096

_MESSAGE_BYTES = 1500
_HINT_BYTES = 600
_STEP_BYTES = 200
_KINDS = {kind.__name__: kind for kind in (Missing, Broken, Refused, Conflict, Unavailable)}


class Fault(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the metadata holds, as JSON. `kind` is the name of its class."""

    kind: str
    message: str
    hint: str = ""
    problems: tuple[str, ...] = ()
    step: str = ""
    errno: int = 0


def encode(error: SwarmError) -> bytes:
    """Write `error` in at most `LIMIT_BYTES`."""
    message = _cut(error.message, _MESSAGE_BYTES)
    fault = Fault(kind=_kind(error), message=message, hint=_cut(error.hint, _HINT_BYTES))
    if isinstance(error, KernelRefused):
        step = _cut(error.step, _STEP_BYTES)
        fault = msgspec.structs.replace(fault, step=step, errno=error.errno)
    if isinstance(error, Invalid):
        fault = msgspec.structs.replace(fault, problems=_fit(fault, error.problems))
    return msgspec.json.encode(fault)


def restore(detail: bytes) -> SwarmError | None:
    """Read what `encode` wrote; None when it is something else."""
    try:
        fault = msgspec.json.decode(detail, type=Fault)
    except msgspec.DecodeError:
        return None
    if fault.kind == Invalid.__name__:
        return Invalid(fault.message, hint=fault.hint, problems=fault.problems)
    if fault.kind == KernelRefused.__name__:
        return KernelRefused(fault.step, fault.errno, fault.message, hint=fault.hint)
    kind = _KINDS.get(fault.kind)
    return kind(fault.message, hint=fault.hint) if kind else None


def brief(error: SwarmError) -> str:
    """The message for gRPC's own status line, for clients that do not know our detail."""
    return _cut(error.message, 300)


def _kind(error: SwarmError) -> str:
    for kind in type(error).__mro__:
        if kind.__name__ in {*_KINDS, Invalid.__name__, KernelRefused.__name__}:
            return kind.__name__
    return Refused.__name__


def _fit(fault: Fault, problems: tuple[str, ...]) -> tuple[str, ...]:
    kept: list[str] = []
    # Room for the sentence that says how many were left out.
    room = LIMIT_BYTES - len(msgspec.json.encode(fault)) - 80
    for number, problem in enumerate(problems):
        text = _cut(problem, 500)
        room -= len(msgspec.json.encode(text)) + 1
        if room < 0:
            return (*kept, f"and {len(problems) - number} more")
        kept.append(text)
    return tuple(kept)


def _cut(text: str, limit: int) -> str:
    # Paths of the file system may hold lone surrogates, which no wire accepts.
    text = text.encode("utf-8", "backslashreplace").decode()
    size = len(msgspec.json.encode(text)) - 2
    if size <= limit:
        return text
    while size > limit - 3:
        text = text[: max(0, min(len(text) - 1, len(text) * (limit - 3) // size))]
        size = len(msgspec.json.encode(text)) - 2
    return f"{text}…"
