"""Say what happens, in the file that --log names and, if that is another, on standard error.

Callers such as conmon and containerd's shim read the file to learn why a command failed.
"""

import fcntl
import os
import time
from typing import Final

from runtime.command import loglines
from swarm.errors import Invalid

_HIGH: Final = 100
_STANDARD_ERROR: Final = ("", "/dev/stderr")


class Messages:
    """Where messages go; a file is opened at once, so that a bad one is noticed."""

    def __init__(self, path: str = "", *, as_json: bool = False, debug: bool = False) -> None:
        self._as_json = as_json
        self._debug = debug
        self._file = -1
        if path not in _STANDARD_ERROR:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOCTTY
            try:
                opened = os.open(path, flags, 0o644)
            except OSError as err:
                reason = (err.strerror or "").lower()
                raise Invalid(f"--log: cannot open {path}: {reason}") from err
            # Out of the way of those that --preserve-fds counts.
            self._file = fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, _HIGH)
            os.close(opened)

    def debug(self, message: str) -> None:
        """What is being done; only with --debug."""
        if self._debug:
            self._say("debug", message)

    def warning(self, message: str) -> None:
        """What went wrong without making the command fail."""
        self._say("warning", message)

    def error(self, message: str) -> None:
        """Why the command fails; plainly on standard error too, if the log is elsewhere."""
        self._say("error", message)
        if self._file >= 0:
            _write(2, f"{message}\n")

    def _say(self, level: str, message: str) -> None:
        line = loglines.line(level, message, when=now(), as_json=self._as_json)
        _write(2 if self._file < 0 else self._file, f"{line}\n")


def now() -> str:
    """The time as RFC 3339, in UTC, to the nanosecond."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09}Z"


def _write(descriptor: int, text: str) -> None:
    """Losing a message must not lose the command: nobody may be reading any more."""
    left = text.encode("utf-8", "replace")
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        return
