"""Restore the failure that a daemon or manager reported.

The error travels whole in the trailing metadata (`swarm.faults`). A status without it comes
from gRPC itself, and then the status alone has to say whose move it is.
"""

from collections.abc import Mapping

from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError, Unavailable
from swarm.faults import KEY, restore
from swarmctl.wire.ending import Ended

_CANCELLED, _INVALID_ARGUMENT, _DEADLINE_EXCEEDED, _NOT_FOUND = 1, 3, 4, 5
_ABORTED, _OUT_OF_RANGE, _UNIMPLEMENTED, _UNAVAILABLE = 10, 11, 12, 14

# What is missing here is a bug or a permission: an operator has to look.
_KINDS: Mapping[int, type[SwarmError]] = {
    _CANCELLED: Unavailable,
    _INVALID_ARGUMENT: Invalid,
    _NOT_FOUND: Missing,
    _ABORTED: Conflict,
    _OUT_OF_RANGE: Invalid,
    _UNAVAILABLE: Unavailable,
}


def failure(ended: Ended) -> SwarmError:
    """The error behind a call that ended with a status other than OK."""
    restored = restore(ended.details[KEY]) if KEY in ended.details else None
    if restored is not None:
        return restored
    if ended.status == _DEADLINE_EXCEEDED:
        return Unavailable("nobody answered in time", hint="is a manager reachable?")
    if ended.status == _UNIMPLEMENTED:
        return Refused(
            f"the daemon does not know this command: {ended.message}",
            hint="swarmctl and swarmd should be of one version",
        )
    message = ended.message or f"the call failed with gRPC status {ended.status}"
    return _KINDS.get(ended.status, Refused)(message)
