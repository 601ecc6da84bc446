"""Run swarmctl.

Whatever goes wrong ends in one line on standard error that starts with `Error:`, a hint where
there is one, and a status: 125 for a flag that cannot be read, as Docker's, 1 for the rest,
130 when interrupted.
"""

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

import click

from swarm.errors import Invalid, SwarmError
from swarmctl.catalog import ROOT
from swarmctl.lazy import Group

PROGRAM = "swarmctl"
BAD_FLAG = 125
FAILED = 1
INTERRUPTED = 130


def main() -> NoReturn:
    """Entry point of `swarmctl`.

    A command lives for a tenth of a second. Collecting its garbage and taking the interpreter
    apart would add a third to that, and the kernel does both for nothing.
    """
    gc.set_threshold(100_000)
    _open_closed_streams()
    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(status)


def run(args: Sequence[str]) -> int:
    """Run one command; its exit status."""
    try:
        result = command().main(list(args), prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.UsageError as err:
        return _misused(err)
    except click.ClickException as err:
        print(f"Error: {err.format_message()}", file=sys.stderr)
        return FAILED
    except SwarmError as err:
        print(told(err), file=sys.stderr)
        return FAILED
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except BrokenPipeError:
        # The reader (`head`) has seen enough.
        return FAILED
    except OSError as err:
        print(f"Error: {err.filename or 'output'}: {err.strerror}", file=sys.stderr)
        return FAILED


def command() -> click.Group:
    """The whole command line."""
    root = Group("swarmctl", ROOT)
    root.params.append(
        click.Option(
            ["-H", "--host"],
            envvar="SWARM_HOST",
            metavar="URL",
            help="Socket of the node daemon [env: SWARM_HOST; default: "
            "unix:///run/swarmd/swarmd.sock]",
        )
    )
    root.params.append(
        click.Option(
            ["-v", "--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_print_version,
            help="Print the version of swarmctl",
        )
    )
    root.callback = _start
    return root


def told(err: SwarmError) -> str:
    """What a person reads of `err`."""
    lines = [f"Error: {err.message}"]
    if isinstance(err, Invalid) and err.problems != (err.message,):
        lines += [f"  {each}" for each in err.problems]
    if err.hint:
        lines.append(f"Hint: {err.hint}")
    return "\n".join(lines)


@click.pass_context
def _start(ctx: click.Context, host: str | None) -> None:
    from swarmctl.io.session import Session

    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
    session = Session(host)
    ctx.obj = session
    ctx.call_on_close(session.close)


def _open_closed_streams() -> None:
    """Nothing that we open may take the number of a standard stream that is closed."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _print_version(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    from swarm import __version__

    del param
    if value and not ctx.resilient_parsing:
        print(f"swarmctl {__version__}")
        ctx.exit()


def _misused(err: click.UsageError) -> int:
    print(f"Error: {_complaint(err)}", file=sys.stderr)
    if err.ctx is not None:
        print(f"\n{err.ctx.get_usage()}", file=sys.stderr)
        print(f"\nRun '{err.ctx.command_path} --help' for more.", file=sys.stderr)
    is_flag = isinstance(err, click.NoSuchOption | click.BadOptionUsage) or (
        isinstance(err, click.BadParameter) and isinstance(err.param, click.Option)
    )
    return BAD_FLAG if is_flag else FAILED


def _complaint(err: click.UsageError) -> str:
    if isinstance(err, click.NoSuchOption):
        close = err.possibilities or ()
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"unknown flag: {err.option_name}{hint}"
    if isinstance(err, click.MissingParameter):
        name = err.param.make_metavar(err.ctx) if err.param and err.ctx else err.param_hint
        if isinstance(err.param, click.Option):
            name = max(err.param.opts, key=len)
        return f"missing {name}"
    if isinstance(err, click.BadParameter) and err.param is not None:
        name = err.param.name or ""
        if isinstance(err.param, click.Option):
            name = max(err.param.opts, key=len)
        return f"{name}: {_lowered(err.message)}"
    return _lowered(err.format_message())


def _lowered(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}".removesuffix(".")


if __name__ == "__main__":
    main()
