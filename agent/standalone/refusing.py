"""Say why a container did not start, as shells do by an exit code and Docker's users in words.

Programs that start containers read these words: whether there is no such program, or it may not
be run.
"""

import errno

from swarm.errors import Invalid, KernelRefused, SwarmError

NOT_FOUND, NOT_EXECUTABLE, UNKNOWN = 127, 126, 128
_FAILED = "failed to create task for container: unable to start container process"


def not_started(err: SwarmError, args: tuple[str, ...]) -> tuple[SwarmError, int]:
    """What whoever wanted it is told, and the exit code that stands for it."""
    if not isinstance(err, KernelRefused):
        return err, UNKNOWN
    program = args[0] if args else ""
    match err.step, err.errno:
        case "exec", errno.ENOENT if "/" in program:
            return _invalid(
                f'exec: "{program}": stat {program}: no such file or directory'
            ), NOT_FOUND
        case "exec", errno.ENOENT:
            return _invalid(f'exec: "{program}": executable file not found in $PATH'), NOT_FOUND
        case "exec", errno.EISDIR:
            return _invalid(f'exec: "{program}": is a directory: permission denied'), NOT_EXECUTABLE
        case "exec", errno.EACCES:
            return _invalid(f'exec: "{program}": permission denied'), NOT_EXECUTABLE
        case "exec", _:
            return _invalid(f'exec: "{program}": {err.message}'), NOT_EXECUTABLE
        case _:
            return err, UNKNOWN


def _invalid(text: str) -> Invalid:
    return Invalid(f"{_FAILED}: {text}")
