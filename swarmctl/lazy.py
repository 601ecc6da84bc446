"""Build click commands from the catalog when they are named, not before.

Switches also take a value (`--detach=false`), as they do in Docker; click has no such form, so
it is rewritten before click sees it, up to the first word that belongs to the container.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from importlib import import_module
from typing import Any

import click

from swarm.errors import Invalid
from swarmctl.catalog import ALIASES, Branch, Entry, Leaf

_TRUE = frozenset(("true", "1", "t"))
_FALSE = frozenset(("false", "0", "f"))
_WORDS = "swarmctl.words"
_SHOWN = 60


class Group(click.Group):
    """A branch of the catalog."""

    def __init__(self, name: str, branch: Branch) -> None:
        super().__init__(
            name,
            help=branch.help,
            short_help=branch.help,
            callback=_help_without_command,
            invoke_without_command=True,
            subcommand_metavar="COMMAND",
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        self._children: Mapping[str, Entry] = branch.children

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, as the catalog orders them."""
        del ctx
        return list(self._children)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        del ctx
        name = cmd_name if cmd_name in self._children else ALIASES.get(cmd_name, "")
        match self._children.get(name):
            case None:
                return None
            case Branch() as branch:
                return Group(name, branch)
            case Leaf() as leaf:
                return load(leaf)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command; for a misspelt one, which was meant."""
        name = args[0]
        if name not in self._children and name not in ALIASES:
            from difflib import get_close_matches

            if close := get_close_matches(name, self._children, n=1):
                ctx.fail(f"no such command '{name}'; did you mean {close[0]}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands' lines, without importing any."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, each.help) for name, each in self._children.items()])


def _help_without_command() -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


class Flag(click.Option):
    """A flag that the help lists under a heading of its own."""

    def __init__(self, names: Sequence[str], *, section: str, **settings: Any) -> None:
        super().__init__(names, **settings)
        self.section = section


class Command(click.Command):
    """A command whose switches take `=true` and `=false`."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The flags by section, those without one at the end."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                name = param.section if isinstance(param, Flag) else ""
                sections.setdefault(name, []).append(record)
        for name in sorted(sections, key=lambda each: (not each, each)):
            with formatter.section(name or "Options"):
                formatter.write_dl(sections[name])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Rewrite switches with values, then parse; a complaint knows its command."""
        ctx.meta[_WORDS] = tuple(args)
        try:
            plain = rewritten(self.params, args, ctx.allow_interspersed_args)
            return super().parse_args(ctx, plain)
        except click.UsageError as err:
            err.ctx = err.ctx or ctx
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run; `Invalid` for an argument that is no text, since a file's name need not be any."""
        try:
            return super().invoke(ctx)
        except UnicodeEncodeError as err:
            raise _untold(err) from err


def _untold(err: UnicodeEncodeError) -> Invalid:
    if err.encoding == "utf-8":
        begin = max(err.start - _SHOWN // 2, 0)
        text = err.object[begin : begin + _SHOWN]
        return Invalid(f"{text!a} is not UTF-8 text", hint="write the argument in UTF-8")
    return Invalid(
        f"the output is in {err.encoding}, which has no {err.object[err.start]!a}",
        hint="choose a locale with UTF-8, such as LC_ALL=C.UTF-8",
    )


def words_given(ctx: click.Context) -> tuple[str, ...]:
    """What was typed after the command's name."""
    words: tuple[str, ...] = ctx.meta.get(_WORDS, ())
    return words


def alias(command: click.Command, name: str) -> click.Command:
    """The same command under another name."""
    same = copy(command)
    same.name = name
    return same


def load(leaf: Leaf) -> click.Command:
    """Import a command."""
    module, _, attribute = leaf.target.partition(":")
    found = getattr(import_module(module), attribute)
    assert isinstance(found, click.Command), leaf.target
    found.short_help = leaf.help
    return found


def rewritten(
    params: Sequence[click.Parameter], args: Sequence[str], interspersed: bool
) -> list[str]:
    """`args` with each `--switch=true` and `--switch=false` as click spells them."""
    options = {name: each for each in params if isinstance(each, click.Option)
               for name in each.opts}  # fmt: skip
    out: list[str] = []
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        if arg == "--" or not (arg.startswith("-") or interspersed):
            return [*out, arg, *rest]
        name, equals, value = arg.partition("=")
        option = options.get(name)
        if option is not None and option.is_flag and equals:
            out += _switch(name, option, value)
            continue
        out.append(arg)
        if option is not None and not option.is_flag and not equals and rest:
            out.append(rest.pop(0))
    return out


def _switch(name: str, option: click.Option, value: str) -> list[str]:
    if value.lower() in _TRUE:
        return [name]
    if value.lower() not in _FALSE:
        raise click.BadParameter(f"{value!r} is neither true nor false", param=option)
    return option.secondary_opts[:1]
