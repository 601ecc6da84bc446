"""Ask whoever runs the command before something is done that cannot be undone."""

import sys

import click

from swarm.errors import Invalid


def agreed(question: str) -> bool:
    """Whether somebody says so; a script that forgot --force hears of it."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise  # Ctrl-C
        click.echo(err=True)
        raise Invalid(
            "nobody answered, and nothing was removed", hint="give --force to be asked nothing"
        ) from None
