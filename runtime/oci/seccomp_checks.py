"""Check the filter for system calls of a config.json.

Names of system calls are not checked: which ones there are depends on the kernel, and profiles
name calls that are newer or older than it. An unknown one can not be called either.
"""

from collections.abc import Iterator
from typing import Final

from runtime.oci import names
from runtime.oci.config import Seccomp, Syscall
from runtime.oci.problem import Problem, one_of

_WITH_ERRNO: Final = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_NOTIFY: Final = "SCMP_ACT_NOTIFY"
# How the listener itself is handed on, under the filter.
_OURS: Final = ("sendmsg", "write")


def of_seccomp(path: str, seccomp: Seccomp) -> Iterator[Problem]:
    """Its problems; `path` is empty for a filter in a file of its own."""
    prefix = f"{path}." if path else ""
    because = f"{prefix}defaultAction"
    yield from one_of(because, seccomp.default_action, names.SECCOMP_ACTIONS)
    if seccomp.default_action == _NOTIFY:
        text = "must not be SCMP_ACT_NOTIFY: the container's start itself would wait for an answer"
        yield Problem(because, text)
    if seccomp.default_errno_ret is not None and seccomp.default_action not in _WITH_ERRNO:
        text = f"must be absent: {seccomp.default_action} has no error number"
        yield Problem(f"{prefix}defaultErrnoRet", text, because)
    for number, architecture in enumerate(seccomp.architectures):
        where = f"{prefix}architectures[{number}]"
        yield from one_of(where, architecture, names.SECCOMP_ARCHITECTURES)
    for number, flag in enumerate(seccomp.flags):
        yield from one_of(f"{prefix}flags[{number}]", flag, names.SECCOMP_FLAGS)
    if seccomp.listener_metadata and not seccomp.listener_path:
        yield Problem(f"{prefix}listenerMetadata", "needs listenerPath", f"{prefix}listenerPath")
    for number, rule in enumerate(seccomp.syscalls):
        yield from _rule(f"{prefix}syscalls[{number}]", rule)
    if not seccomp.listener_path and any(rule.action == _NOTIFY for rule in seccomp.syscalls):
        yield Problem(f"{prefix}listenerPath", "must say who answers SCMP_ACT_NOTIFY")


def _rule(path: str, rule: Syscall) -> Iterator[Problem]:
    because = f"{path}.action"
    if not rule.names:
        yield Problem(f"{path}.names", "must not be empty")
    yield from one_of(because, rule.action, names.SECCOMP_ACTIONS)
    for name in _OURS if rule.action == _NOTIFY else ():
        if name in rule.names:
            text = f"must not have `{name}`: the runtime itself calls it before anybody listens"
            yield Problem(f"{path}.names", text, because)
    if rule.errno_ret is not None and rule.action not in _WITH_ERRNO:
        text = f"must be absent: {rule.action} has no error number"
        yield Problem(f"{path}.errnoRet", text, because)
    for number, argument in enumerate(rule.args):
        where = f"{path}.args[{number}]"
        yield from one_of(f"{where}.op", argument.op, names.SECCOMP_OPERATORS)
