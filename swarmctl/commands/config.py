"""`swarmctl config create|update|ls|inspect|rm`."""

from collections.abc import Sequence

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_one = click.argument("name", metavar="CONFIG", shell_complete=completing.configs)
_some = click.argument(
    "names", nargs=-1, required=True, metavar="CONFIG...", shell_complete=completing.configs
)


@click.command("create", cls=Command)
@click.argument("name", metavar="NAME")
@click.argument("path", metavar="FILE|-")
@click.option(
    "-l", "--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Label (repeatable)"
)
@click.option(
    "--template-driver", default="", metavar="DRIVER", help="golang fills templates in it in"
)
@click.pass_obj
def create(
    session: Session,
    /,
    *,
    name: str,
    path: str,
    labels: Sequence[str],
    template_driver: str,
) -> None:
    """Keep a file, such as a configuration, for the services that name it."""
    from swarmctl.io import storing
    from swarmctl.io.contents import Configs

    storing.create(
        session,
        Configs(session.channel),
        name,
        path,
        labels=labels,
        driver="",
        template_driver=template_driver,
    )


@click.command("update", cls=Command)
@_one
@click.argument("path", required=False, metavar="[FILE|-]")
@options.label_pair
@click.option("--roll", is_flag=True, help="Replace the tasks of the services that use it")
@click.pass_obj
def update(
    session: Session,
    /,
    *,
    name: str,
    path: str | None,
    label_add: Sequence[str],
    label_rm: Sequence[str],
    roll: bool,
) -> None:
    """Replace what is in a config; tasks that run keep what they started with."""
    from swarmctl.io import storing
    from swarmctl.io.contents import Configs

    storing.update(
        session,
        Configs(session.channel),
        name,
        path,
        label_add=label_add,
        label_rm=label_rm,
        roll=roll,
    )


@click.command("ls", cls=Command)
@options.listing_flags
@click.pass_obj
def ls(session: Session, /, *, filters: Sequence[str], form: str, quiet: bool) -> None:
    """List the configs."""
    from swarmctl.contents import CONFIGS
    from swarmctl.io import storing
    from swarmctl.io.contents import Configs

    contents = Configs(session.channel)
    storing.ls(session, contents, CONFIGS, filters=filters, form=form, quiet=quiet)


@click.command("inspect", cls=Command)
@_some
@options.inspect_flags
@options.pretty
@click.pass_obj
def inspect(session: Session, /, *, names: Sequence[str], form: str, pretty: bool) -> None:
    """Show configs in full, with their data (base64; as it is with --pretty)."""
    from swarmctl.io import storing
    from swarmctl.io.contents import Configs

    storing.inspect(session, Configs(session.channel), names, form=form, pretty=pretty)


@click.command("rm", cls=Command)
@_some
@click.pass_obj
def rm(session: Session, /, *, names: Sequence[str]) -> None:
    """Remove configs that no service uses."""
    from swarmctl.io import storing
    from swarmctl.io.contents import Configs

    storing.rm(session, Configs(session.channel), names)
