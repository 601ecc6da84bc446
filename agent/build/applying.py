"""Say what an instruction without files makes of an image's configuration.

Each gives the configuration after it and the words that the history keeps. Those words are
Docker's, so that histories can be compared.
"""

import posixpath
from collections.abc import Callable
from typing import assert_never

from msgspec import Struct
from msgspec.structs import replace

from agent.build import durations
from agent.build.expansion import expand_words
from agent.build.image import DEFAULT_SHELL, HealthConfig, RunConfig, nanoseconds
from agent.build.instructions import (
    Check,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
)
from agent.build.ports import exposed
from swarm.checks import signal_number
from swarm.errors import Invalid
from swarm.specs import Healthcheck

Description = (
    Env | Label | Maintainer | User | Expose | Volume | Entrypoint | Cmd | Shell | Check
    | StopSignal | OnBuild
)  # fmt: skip
Fill = Callable[[str], str]


class Applied(Struct, frozen=True, kw_only=True):
    """What came of it. `note` is for whoever watches."""

    run: RunConfig
    comment: str
    author: str | None = None
    sets_cmd: bool = False
    note: str = ""


def apply(
    step: Description, run: RunConfig, fill: Fill, values: dict[str, str], *, cmd_is_ours: bool
) -> Applied:
    """`run` after `step`, whose words are filled in by `fill`, or from `values` word by word.

    An ENTRYPOINT takes the base's command away, but not one that was set here.
    """
    match step:
        case Env(pairs=pairs):
            return _env(run, tuple((fill(name), fill(value)) for name, value in pairs))
        case Label():
            return _label(run, step, fill)
        case Maintainer(name=name):
            return Applied(run=run, comment=f"MAINTAINER {name}", author=name)
        case User(user=user):
            return Applied(run=replace(run, user=fill(user)), comment=f"USER {fill(user)}")
        case Expose(ports=ports):
            return _expose(run, ports, values)
        case Volume(paths=paths):
            return _volume(run, tuple(fill(path) for path in paths))
        case Cmd(command=command):
            words = words_of(command, run)
            return Applied(
                run=replace(run, cmd=words),
                comment=f"CMD {_quoted(words)}",
                sets_cmd=bool(command.words),
            )
        case Entrypoint(command=command):
            return _entrypoint(run, command, cmd_is_ours=cmd_is_ours)
        case Shell(words=words):
            return Applied(run=replace(run, shell=words), comment=f"SHELL [{' '.join(words)}]")
        case Check(healthcheck=healthcheck):
            return _check(run, healthcheck)
        case StopSignal(signal=signal):
            name = fill(signal)
            signal_number(name)
            return Applied(run=replace(run, stop_signal=name), comment=f"STOPSIGNAL {name}")
        case OnBuild(trigger=trigger):
            triggers = (*(run.on_build or ()), trigger)
            return Applied(run=replace(run, on_build=triggers), comment=f"ONBUILD {trigger}")
        case _:
            assert_never(step)


def words_of(command: Command, run: RunConfig) -> tuple[str, ...]:
    """The program and its arguments; a line is given to the shell."""
    if not command.is_shell:
        return command.words
    return (*shell_of(run), *command.words) if command.words else ()


def shell_of(run: RunConfig) -> tuple[str, ...]:
    """What reads lines."""
    return run.shell or DEFAULT_SHELL


def comment_of(run: RunConfig, comment: str, *, is_short: bool = False) -> str:
    """What the history says of a step that ran nothing; the two spellings are Docker's."""
    return " ".join((*shell_of(run), f"#(nop) {comment}" if is_short else f"#(nop)  {comment}"))


def workdir(run: RunConfig, path: str) -> str:
    """Where WORKDIR leads."""
    if not path:
        raise Invalid("cannot normalize nothing", hint="give WORKDIR a path")
    joined = posixpath.normpath(posixpath.join("/", run.working_dir, path))
    return f"/{joined.lstrip('/')}"


def _env(run: RunConfig, pairs: tuple[tuple[str, str], ...]) -> Applied:
    if not all(name for name, _ in pairs):
        raise Invalid("ENV names can not be blank")
    return Applied(
        run=run.with_env(dict(pairs)), comment="ENV " + " ".join(f"{n}={v}" for n, v in pairs)
    )


def _label(run: RunConfig, step: Label, fill: Fill) -> Applied:
    pairs = tuple((fill(n), fill(v)) if step.expands else (n, v) for n, v in step.pairs)
    return Applied(
        run=replace(run, labels=(run.labels or {}) | dict(pairs)),
        comment="LABEL " + " ".join(f"{name}={value}" for name, value in pairs),
    )


def _expose(run: RunConfig, ports: tuple[str, ...], values: dict[str, str]) -> Applied:
    words = tuple(word for port in ports for word in expand_words(port, values))
    added = {port: dict[str, str]() for port in exposed(words)}
    return Applied(
        run=replace(run, exposed_ports=dict(sorted(((run.exposed_ports or {}) | added).items()))),
        comment=f"EXPOSE {' '.join(words)}",
    )


def _volume(run: RunConfig, paths: tuple[str, ...]) -> Applied:
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    added = {path: dict[str, str]() for path in paths}
    return Applied(
        run=replace(run, volumes=dict(sorted(((run.volumes or {}) | added).items()))),
        comment=f"VOLUME [{' '.join(paths)}]",
    )


def _entrypoint(run: RunConfig, command: Command, *, cmd_is_ours: bool) -> Applied:
    words = words_of(command, run) or None
    changed = replace(run, entrypoint=words, cmd=run.cmd if cmd_is_ours else None)
    return Applied(run=changed, comment=f"ENTRYPOINT {_quoted(words or ())}")


def _check(run: RunConfig, check: Healthcheck) -> Applied:
    before = (run.healthcheck.test if run.healthcheck else None) or ()
    note = ""
    if before and before[0] != "NONE":
        note = f"Note: overriding previous HEALTHCHECK: [{' '.join(before)}]"
    known = run.healthcheck or HealthConfig()
    made = HealthConfig(
        test=check.test,
        interval=nanoseconds(check.interval_s) or known.interval,
        timeout=nanoseconds(check.timeout_s) or known.timeout,
        start_period=nanoseconds(check.start_period_s) or known.start_period,
        start_interval=nanoseconds(check.start_interval_s) or known.start_interval,
        retries=check.retries or known.retries,
    )
    shown = " ".join(
        f'"{durations.shown(each)}"'
        for each in (check.interval_s, check.timeout_s, check.start_period_s)
    )
    return Applied(
        run=replace(run, healthcheck=made),
        comment=f"HEALTHCHECK &{{{_quoted(check.test)} {shown} {_rune(check.retries)}}}",
        note=note,
    )


def _quoted(words: tuple[str, ...]) -> str:
    return f"[{' '.join(quote(word) for word in words)}]"


def quote(text: str) -> str:
    """A string as Go quotes it."""
    found = text.replace("\\", "\\\\").replace('"', '\\"')
    for plain, escaped in (("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        found = found.replace(plain, escaped)
    return f'"{found}"'


def _rune(number: int) -> str:
    """A number as Go quotes it: as a character."""
    if 32 <= number < 127:
        return f"'{chr(number)}'"
    named = {0: "\\x00", 7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}
    return f"'{named.get(number, f'{chr(92)}x{number:02x}')}'"
