"""Work out the flags that seccomp(2) loads a filter with."""

from typing import Final

from runtime.oci.config import Seccomp
from runtime.oci.names import SECCOMP_FLAGS

NEW_LISTENER: Final = 0x08
_TSYNC: Final = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_TSYNC"]
_TSYNC_ESRCH: Final = 0x10
_WAIT_KILLABLE: Final = SECCOMP_FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]


def notifies(seccomp: Seccomp) -> bool:
    """Whether somebody else is asked about some calls, through a listener."""
    return any(rule.action == "SCMP_ACT_NOTIFY" for rule in seccomp.syscalls)


def filter_flags(seccomp: Seccomp) -> int:
    """Those of the config that make sense together, and a listener if it is needed.

    The kernel refuses to wait for a listener that is not there, and with a listener has no
    room in its answer for the thread that could not be synchronised.
    """
    flags = 0
    for name in seccomp.flags:
        flags |= SECCOMP_FLAGS[name]
    if not notifies(seccomp):
        return flags & ~_WAIT_KILLABLE
    return flags | NEW_LISTENER | (_TSYNC_ESRCH if flags & _TSYNC else 0)
