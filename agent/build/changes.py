"""Apply instructions to how an image runs, outside of any build: for imports and commits.

Only those that need no files, one at a time, as in a Dockerfile. Variables are those that the image
itself sets.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from agent.build.applying import apply, workdir
from agent.build.expansion import expand
from agent.build.image import RunConfig
from agent.build.instructions import Arg, Cmd, Copy, From, Instruction, Run, Workdir
from agent.build.parsing import parse_line
from agent.build.source import read
from swarm.errors import Invalid

KNOWN = (
    "CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD", "STOPSIGNAL", "USER",
    "VOLUME", "WORKDIR",
)  # fmt: skip


def changed(run: RunConfig, changes: Iterable[str]) -> RunConfig:
    """`run` after all `changes`; `Invalid` lists every change that cannot be made."""
    problems: list[tuple[int, str, str]] = []
    sets_cmd = False
    for number, change in enumerate(changes):
        try:
            step = _read(change)
            run = _applied(run, step, sets_cmd=sets_cmd)
            sets_cmd = sets_cmd or isinstance(step, Cmd)
        except Invalid as err:
            problems.append((number, change.strip(), err.message))
    if problems:
        told = tuple(f"change[{number}] {change!r}: {why}" for number, change, why in problems)
        hint = f"use one of {', '.join(KNOWN)} as in a Dockerfile"
        if len(problems) == 1:
            raise Invalid(problems[0][2], hint=hint)
        raise Invalid("; ".join(told), hint=hint, problems=told)
    return run


def _read(change: str) -> Instruction:
    source = read(change.strip(), name="change")
    if len(source.lines) != 1:
        raise Invalid("a change is one instruction")
    (line,) = source.lines
    if line.keyword not in KNOWN:
        raise Invalid(f"{line.keyword.lower()} is not a valid change command")
    try:
        step = parse_line(line, source.escape)
    except Invalid as err:
        prefix = f"dockerfile parse error line {line.number}: "
        raise Invalid(err.message.removeprefix(prefix)) from err
    assert not isinstance(step, From)
    return step


def _applied(run: RunConfig, step: Instruction, *, sets_cmd: bool) -> RunConfig:
    values = run.environment

    def fill(word: str) -> str:
        return expand(word, values)

    match step:
        case Workdir(path=path):
            return replace(run, working_dir=workdir(run, fill(path)))
        case Run() | Copy() | Arg():
            raise AssertionError("its keyword is none of those that are known here")
        case _:
            return apply(step, run, fill, values, cmd_is_ours=sets_cmd).run
