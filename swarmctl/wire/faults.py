"""Restore the failure that a daemon or manager reported.

They attach the error as we raised it (class, message, hint, problems) to the trailing
metadata. A status without it comes from gRPC itself, and then the status alone has to say
whose move it is.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from swarm.errors import Conflict, Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable
from swarmctl.wire.http2 import Ended

DETAIL = "swarm-error-bin"

_BY_NAME: Mapping[str, type[SwarmError]] = {
    each.__name__: each for each in (Missing, Refused, Conflict, Unavailable)
}
_BY_STATUS: Mapping[int, type[SwarmError]] = {
    3: Invalid,
    4: Unavailable,
    5: Missing,
    6: Refused,
    7: Refused,
    8: Refused,
    9: Refused,
    10: Conflict,
    12: Refused,
    14: Unavailable,
    16: Refused,
}


class _Detail(Struct, frozen=True, kw_only=True):
    kind: str
    message: str
    hint: str = ""
    problems: tuple[str, ...] = ()
    step: str = ""
    errno: int = 0


def failure(ended: Ended) -> SwarmError:
    """The error behind a call that ended with a status other than OK."""
    try:
        return _restored(msgspec.json.decode(ended.details[DETAIL], type=_Detail))
    except (KeyError, msgspec.DecodeError):
        pass
    if ended.status == 4:
        return Unavailable("nobody answered in time", hint="is a manager reachable?")
    if ended.status == 12:
        return Refused(
            f"the daemon does not know this command: {ended.message}",
            hint="swarmctl and swarmd should be of one version",
        )
    message = ended.message or f"the call failed with gRPC status {ended.status}"
    return _BY_STATUS.get(ended.status, SwarmError)(message)


def _restored(detail: _Detail) -> SwarmError:
    if detail.kind == "Invalid":
        return Invalid(detail.message, hint=detail.hint, problems=detail.problems)
    if detail.kind == "KernelRefused":
        return KernelRefused(detail.step, detail.errno, detail.message, hint=detail.hint)
    return _BY_NAME[detail.kind](detail.message, hint=detail.hint)
