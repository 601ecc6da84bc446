"""Say why a program did not come to run: in words for people, by an exit code for shells."""

import errno

from engine.refusals import words_of
from swarm.errors import KernelRefused, SwarmError

NOT_FOUND, NOT_EXECUTABLE = 127, 126

_FAILED = "OCI runtime exec failed: exec failed: unable to start container process: "
_ABSENT = ("executable file not found", "no such file or directory")
_EXEC = "exec"


def explain(error: SwarmError, program: str) -> str:
    """Why `program` does not run, as Docker's users know it."""
    if not (isinstance(error, KernelRefused) and error.step == _EXEC):
        return words_of(error)
    match error.errno:
        case errno.ENOENT if "/" in program:
            why = f'exec: "{program}": stat {program}: no such file or directory'
        case errno.ENOENT:
            why = f'exec: "{program}": executable file not found in $PATH'
        case errno.EACCES | errno.EISDIR:
            why = f'exec: "{program}": permission denied'
        case _:
            why = f'exec: "{program}": {error.message}'
    return f"{_FAILED}{why}"


def exit_code_of(error: SwarmError, program: str) -> int:
    """The code that stands for it."""
    reason = explain(error, program)
    return NOT_FOUND if any(each in reason for each in _ABSENT) else NOT_EXECUTABLE
