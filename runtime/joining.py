"""Describe a program that joins a running container.

It gets what process 1 has (environment, user, rights, limits, filters) but for what is said
here, and it is never process 1 itself: it ends with the container, and the container goes on
without it.
"""

import errno
from collections.abc import Iterator

from msgspec import Struct

from swarm.errors import Invalid, KernelRefused

NOT_EXECUTABLE, NOT_FOUND = 126, 127
_MOST_CHARACTERS = 0xFFFF  # what a terminal's size has room for


class ExecSpec(Struct, frozen=True, kw_only=True):
    """One program. Values that are empty mean the container's own.

    `env` (`NAME=VALUE`) is added to the container's; `user` has the forms of
    `ContainerSpec.user`. Without `stdin` there is nothing to read; with `tty` standard streams
    are one terminal of `columns` and `rows`. `privileged` gives all capabilities. With
    `detach` the program outlives whoever asked for it, and has no streams.
    """

    args: tuple[str, ...]
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    stdin: bool = False
    tty: bool = False
    rows: int = 24
    columns: int = 80
    privileged: bool = False
    detach: bool = False


def check(spec: ExecSpec) -> None:
    """Raise `Invalid` with all problems of `spec`, if it has any."""
    problems = tuple(_problems(spec))
    if problems:
        hint = "" if len(problems) == 1 else f"and {len(problems) - 1} more"
        raise Invalid(f"exec: {problems[0]}", hint=hint, problems=problems)


def refusal_code(refusal: KernelRefused) -> int:
    """The exit code by which shells, and Docker, say why a program did not start."""
    is_missing = refusal.step == "exec" and refusal.errno == errno.ENOENT
    return NOT_FOUND if is_missing else NOT_EXECUTABLE


def _problems(spec: ExecSpec) -> Iterator[str]:
    if not spec.args or not spec.args[0]:
        yield "args: must name a command"
    for number, text in enumerate(spec.args):
        if "\0" in text:
            yield f"args[{number}]: must not contain a NUL character"
    for number, text in enumerate(spec.env):
        if "\0" in text:
            yield f"env[{number}]: must not contain a NUL character"
        elif text.find("=") < 1:
            yield f"env[{number}]: must be NAME=VALUE, is {text!r}"
    if spec.workdir and (not spec.workdir.startswith("/") or "\0" in spec.workdir):
        yield f"workdir: must be an absolute path, is {spec.workdir!r}"
    if "\0" in spec.user:
        yield "user: must not contain a NUL character"
    for name, count in (("rows", spec.rows), ("columns", spec.columns)):
        if not 0 <= count <= _MOST_CHARACTERS:
            yield f"{name}: must be between 0 and {_MOST_CHARACTERS}, is {count}"
    if spec.detach and (spec.tty or spec.stdin):
        yield "detach: leaves no streams: must not be asked for together with tty or stdin"
