"""Turn the lines of a Dockerfile into instructions.

Nothing is filled in here, since values are known only while a build goes on. Messages are those
that Docker's users know, with the number of the line.
"""

import re
from collections.abc import Callable

import msgspec

from agent.build import durations
from agent.build.flags import SWITCH, TEXT, TEXTS, Flags
from agent.build.instructions import (
    Arg,
    Check,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from agent.build.mounts import parse_mount
from agent.build.source import BLANKS, Line, heredoc_of, read, wrong
from agent.build.words import pairs, split_words
from swarm.errors import Invalid
from swarm.specs import Healthcheck

_STAGE_NAME = re.compile(r"[a-z][a-z0-9\-_.]*\Z")
_LEAST_INTERVAL_S = 0.001
_NO_TRIGGERS = ("FROM", "MAINTAINER", "ONBUILD")


def parse_line(line: Line, escape: str) -> Instruction | From:
    """One instruction; `Invalid` names its line."""
    try:
        found = _PARSERS.get(line.keyword)
        if found is None:
            raise Invalid(f"unknown instruction: {line.keyword}")
        return found(line, escape)
    except Invalid as err:
        raise wrong(line.number, err.message) from err


def parse_trigger(text: str) -> Instruction:
    """An instruction that an ONBUILD kept for now."""
    source = read(text, name="ONBUILD")
    if len(source.lines) != 1:
        raise Invalid("onbuild trigger should be a single expression")
    if source.lines[0].keyword in _NO_TRIGGERS:
        raise Invalid(f"{source.lines[0].keyword} isn't allowed as an ONBUILD trigger")
    found = parse_line(source.lines[0], source.escape)
    assert not isinstance(found, From)
    return found


def _from(line: Line, _: str) -> From:
    flags = Flags(line.flags, platform=TEXT)
    words = BLANKS.split(line.rest) if line.rest else []
    if len(words) != 1 and not (len(words) == 3 and words[1].lower() == "as"):
        raise Invalid("FROM requires either one or three arguments")
    name = words[2].lower() if len(words) == 3 else ""
    if name and not _STAGE_NAME.match(name):
        raise Invalid(
            f'invalid name for build stage: "{words[2]}", '
            "name can't start with a number or contain symbols"
        )
    return From(
        line=line.number, text=line.text, base=words[0], name=name, platform=flags.text("platform")
    )


def _run(line: Line, _: str) -> Run:
    flags = Flags(line.flags, mount=TEXTS, network=TEXT, security=TEXT, device=TEXTS)
    for name in ("network", "security", "device"):
        if flags.texts(name):
            raise Invalid(
                f"RUN --{name} is not supported by this builder",
                hint="give a network to the whole build: build --network",
            )
    mounts = flags.texts("mount")
    for each in mounts:
        if "$" not in each:
            parse_mount(each)
    if not line.rest:
        raise Invalid("RUN requires at least one argument")
    return Run(
        line=line.number,
        text=line.text,
        command=_command(line.rest),
        mounts=mounts,
        heredocs=line.heredocs,
    )


def _copy(line: Line, _: str) -> Copy:
    is_add = line.keyword == "ADD"
    flags = (
        Flags(line.flags, chown=TEXT, chmod=TEXT, link=SWITCH, checksum=TEXT, unpack=SWITCH,
              keep_git_dir=SWITCH, exclude=TEXTS)
        if is_add
        else Flags(line.flags, chown=TEXT, chmod=TEXT, link=SWITCH, exclude=TEXTS, parents=SWITCH,
                   **{"from": TEXT})
    )  # fmt: skip
    words = _list(line.rest)
    if len(words) < 2:
        raise Invalid(
            f"{line.keyword} requires at least two arguments, but only {_count(len(words))}"
            " provided. Destination could not be determined"
        )
    *sources, target = words
    if heredoc_of(target):
        raise Invalid(f"{line.keyword} cannot accept a heredoc as a destination")
    return Copy(
        line=line.number,
        text=line.text,
        sources=tuple(each for each in sources if not heredoc_of(each)),
        target=target,
        is_add=is_add,
        origin=flags.text("from"),
        owner=flags.text("chown"),
        mode=flags.text("chmod"),
        checksum=flags.text("checksum"),
        is_linked=flags.switch("link") or False,
        keeps_parents=flags.switch("parents") or False,
        unpacks=flags.switch("unpack"),
        excluded=flags.texts("exclude"),
        heredocs=line.heredocs,
    )


def _count(number: int) -> str:
    return "one was" if number == 1 else "none were"


def _env(line: Line, escape: str) -> Env:
    Flags(line.flags)
    return Env(line=line.number, text=line.text, pairs=_pairs(line, escape))


def _label(line: Line, escape: str) -> Label:
    Flags(line.flags)
    return Label(line=line.number, text=line.text, pairs=_pairs(line, escape))


def _pairs(line: Line, escape: str) -> tuple[tuple[str, str], ...]:
    found = pairs(line.rest, line.keyword, escape)
    if not found:
        raise Invalid(f"{line.keyword} requires at least one argument")
    if any(not name for name, _ in found):
        raise Invalid(f"{line.keyword} names can not be blank")
    return found


def _arg(line: Line, escape: str) -> Arg:
    Flags(line.flags)
    words = split_words(line.rest, escape)
    if not words:
        raise Invalid("ARG requires at least one argument")
    found: list[tuple[str, str | None]] = []
    for word in words:
        name, equals, value = word.partition("=")
        if not name:
            raise Invalid("ARG names can not be blank")
        found.append((name, value if equals else None))
    return Arg(line=line.number, text=line.text, pairs=tuple(found))


def _maintainer(line: Line, _: str) -> Maintainer:
    return Maintainer(line=line.number, text=line.text, name=_one(line))


def _user(line: Line, _: str) -> User:
    return User(line=line.number, text=line.text, user=_one(line))


def _workdir(line: Line, _: str) -> Workdir:
    return Workdir(line=line.number, text=line.text, path=_one(line))


def _stop_signal(line: Line, _: str) -> StopSignal:
    return StopSignal(line=line.number, text=line.text, signal=_one(line))


def _one(line: Line) -> str:
    Flags(line.flags)
    if not line.rest:
        raise Invalid(f"{line.keyword} requires exactly one argument")
    return line.rest


def _expose(line: Line, _: str) -> Expose:
    Flags(line.flags)
    words = BLANKS.split(line.rest) if line.rest else []
    if not words:
        raise Invalid("EXPOSE requires at least one argument")
    return Expose(line=line.number, text=line.text, ports=tuple(sorted(words)))


def _volume(line: Line, _: str) -> Volume:
    Flags(line.flags)
    paths = tuple(each.strip() for each in _list(line.rest))
    if not paths:
        raise Invalid("VOLUME requires at least one argument")
    if not all(paths):
        raise Invalid("VOLUME specified can not be an empty string")
    return Volume(line=line.number, text=line.text, paths=paths)


def _cmd(line: Line, _: str) -> Cmd:
    Flags(line.flags)
    return Cmd(line=line.number, text=line.text, command=_command(line.rest))


def _entrypoint(line: Line, _: str) -> Entrypoint:
    Flags(line.flags)
    return Entrypoint(line=line.number, text=line.text, command=_command(line.rest))


def _shell(line: Line, _: str) -> Shell:
    Flags(line.flags)
    words = array(line.rest)
    if not line.rest or words == ():
        raise Invalid("SHELL requires at least one argument")
    if words is None:
        raise Invalid(f"SHELL requires the arguments to be in JSON form, not: {line.rest}")
    return Shell(line=line.number, text=line.text, words=words)


def _on_build(line: Line, _: str) -> OnBuild:
    Flags(line.flags)
    if not line.rest:
        raise Invalid("ONBUILD requires at least one argument")
    keyword = line.rest.split(maxsplit=1)[0].upper()
    if keyword == "ONBUILD":
        raise Invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in _NO_TRIGGERS:
        raise Invalid(f"{keyword} isn't allowed as an ONBUILD trigger")
    trigger = line.rest + "".join(f"\n{each.content}{each.name}" for each in line.heredocs)
    return OnBuild(line=line.number, text=line.text, trigger=trigger)


def _healthcheck(line: Line, _: str) -> Check:
    kind, *rest = BLANKS.split(line.rest, maxsplit=1)
    if not kind:
        raise Invalid("HEALTHCHECK requires at least one argument")
    if kind.upper() == "NONE":
        if rest:
            raise Invalid("HEALTHCHECK NONE takes no arguments")
        return Check(line=line.number, text=line.text, healthcheck=Healthcheck(test=("NONE",)))
    flags = Flags(
        line.flags, interval=TEXT, timeout=TEXT, start_period=TEXT, start_interval=TEXT,
        retries=TEXT,
    )  # fmt: skip
    if kind.upper() != "CMD":
        raise Invalid(f'Unknown type "{kind.upper()}" in HEALTHCHECK (try CMD)')
    command = _command(rest[0] if rest else "")
    if not command.words:
        raise Invalid("Missing command after HEALTHCHECK CMD")
    found = Healthcheck(
        test=("CMD-SHELL" if command.is_shell else "CMD", *command.words),
        interval_s=_interval(flags, "interval"),
        timeout_s=_interval(flags, "timeout"),
        start_period_s=_interval(flags, "start-period"),
        start_interval_s=_interval(flags, "start-interval"),
        retries=_retries(flags.text("retries")),
    )
    return Check(line=line.number, text=line.text, healthcheck=found)


def _interval(flags: Flags, name: str) -> float:
    text = flags.text(name)
    seconds = durations.parse(text) if text else 0.0
    if seconds and seconds < _LEAST_INTERVAL_S:
        raise Invalid(f'Interval "{name}" cannot be less than 1ms')
    return seconds


def _retries(text: str) -> int:
    try:
        found = int(text or "0")
    except ValueError:
        raise Invalid(f"--retries: {text!r} is not a number") from None
    if not 0 <= found < 1 << 31:
        raise Invalid(f"--retries cannot be negative ({found})")
    return found


def _command(rest: str) -> Command:
    words = array(rest)
    if words is not None:
        return Command(words=words, is_shell=False)
    return Command(words=(rest,) if rest else (), is_shell=True)


def _list(rest: str) -> tuple[str, ...]:
    words = array(rest)
    if words is not None:
        return words
    return tuple(BLANKS.split(rest)) if rest else ()


def array(rest: str) -> tuple[str, ...] | None:
    """The strings of a JSON array; None when it is no JSON, and so means itself."""
    if not rest.startswith("["):
        return None
    try:
        found = msgspec.json.decode(rest)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None
    if not all(isinstance(each, str) for each in found):
        raise Invalid("when using JSON array syntax, arrays must be comprised of strings only")
    return tuple(found)


_PARSERS: dict[str, Callable[[Line, str], Instruction | From]] = {
    "ADD": _copy,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _on_build,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
