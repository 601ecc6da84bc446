"""Read a command line by the table.

`--flag value`, `--flag=value` and, as callers of runc write it, `-flag value` are the same; a
switch also takes `=true` and `=false`. Flags may follow arguments, except in commands that
pass their arguments on. `--` ends the flags.
"""

from typing import Final

from msgspec import Struct

from runtime.command.table import COMMANDS, GLOBAL, HELP, Command, Flag, find
from swarm.errors import Invalid

_SWITCH: Final = {
    "1": True, "t": True, "true": True, "0": False, "f": False, "false": False,
}  # fmt: skip


class Options(Struct, frozen=True):
    """Flags as they were given. Reading one that the table does not have is a bug."""

    flags: tuple[Flag, ...]
    given: dict[str, tuple[str, ...]]

    def has(self, name: str) -> bool:
        """Whether the flag was given at all."""
        return name in self.given

    def is_on(self, name: str) -> bool:
        """Whether the switch was given, and not as false."""
        assert not self._flag(name).value, name
        return name in self.given and _SWITCH[self.given[name][-1]]

    def text(self, name: str) -> str:
        """The last value given, or the default."""
        flag = self._flag(name)
        return self.given[name][-1] if name in self.given else flag.default

    def number(self, name: str) -> int:
        """The same as a number."""
        assert self._flag(name).number, name
        return int(self.text(name))

    def many(self, name: str) -> tuple[str, ...]:
        """All values given, in order."""
        assert self._flag(name).many, name
        return self.given.get(name, ())

    def _flag(self, name: str) -> Flag:
        return next(each for each in self.flags if each.name == name)


class Line(Struct, frozen=True, kw_only=True):
    """A command line; without `command` only global flags were given."""

    globals: Options
    command: Command | None
    options: Options
    arguments: tuple[str, ...]


def parse(words: list[str]) -> Line:
    """Read what follows the program's name. Raises `Invalid`."""
    given, rest = _read(words, GLOBAL, stop=True, of="swarm-runtime")
    options = Options(GLOBAL, given)
    nothing = Options((), {})
    if options.is_on("help") or options.is_on("version") or not rest:
        return Line(globals=options, command=None, options=nothing, arguments=())
    command = find(rest[0])
    if command is None:
        raise Invalid(f'no such command: "{rest[0]}"', hint=_similar(rest[0]))
    flags = (*command.flags, HELP)
    given, arguments = _read(rest[1:], flags, stop=command.passes, of=command.name)
    line = Line(
        globals=options,
        command=command,
        options=Options(flags, given),
        arguments=tuple(arguments),
    )
    if not line.options.is_on("help"):
        _count(command, len(arguments))
    return line


def _read(
    words: list[str], flags: tuple[Flag, ...], *, stop: bool, of: str
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The flags given and the other words; `stop` at the first of those."""
    by_name = {each.name: each for each in flags} | {each.short: each for each in flags}
    given: dict[str, tuple[str, ...]] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            return given, rest + left
        if not word.startswith("-") or word == "-":
            if stop:
                return given, [word, *left]
            rest.append(word)
            continue
        name, equals, value = word.lstrip("-").partition("=")
        flag = by_name.get(name) if name else None
        if flag is None:
            raise Invalid(f"no such flag: {word.partition('=')[0]}", hint=_see(of))
        if flag.value and not equals:
            if not left:
                raise Invalid(f"--{flag.name}: needs a value ({flag.value})", hint=_see(of))
            value = left.pop(0)
        value = _checked(flag, value if flag.value or equals else "true")
        given[flag.name] = (*given.get(flag.name, ()), value) if flag.many else (value,)
    return given, rest


def _checked(flag: Flag, value: str) -> str:
    if not flag.value:
        if value.lower() not in _SWITCH:
            raise Invalid(f'--{flag.name}: "{value}" is neither true nor false')
        return value.lower()
    if flag.choices and value not in flag.choices:
        raise Invalid(f'--{flag.name}: "{value}" is none of {", ".join(flag.choices)}')
    if flag.number:
        digits = value.removeprefix("-")
        if not (digits.isascii() and digits.isdecimal() and len(digits) <= 20):
            raise Invalid(f'--{flag.name}: "{value}" is not a number')
    return value


def _count(command: Command, count: int) -> None:
    if count >= command.least and command.most in (-1, max(count, command.most)):
        return
    if command.least == command.most:
        wanted = f"exactly {command.most}"
    elif count < command.least:
        wanted = f"at least {command.least}"
    else:
        wanted = f"at most {command.most}"
    raise Invalid(f'"{command.name}" takes {wanted} argument(s)', hint=_see(command.name))


def _see(name: str) -> str:
    return "see swarm-runtime --help" if name == "swarm-runtime" else f"see swarm-runtime {name} -h"


def _similar(name: str) -> str:
    found = [each.name for each in COMMANDS if each.name.startswith(name[:2])]
    return f"did you mean {' or '.join(found)}?" if found else "see swarm-runtime --help"
