"""`swarmctl volume create|ls|inspect|rm|prune`: the volumes on this host."""

from collections.abc import Sequence

import click

from swarmctl import completing, options
from swarmctl.commands.service import each, show_found
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_volumes = click.argument(
    "names", nargs=-1, required=True, metavar="VOLUME...", shell_complete=completing.volumes
)


@click.command("create", cls=Command)
@click.argument("name", required=False, default="", metavar="[NAME]")
@click.option("-d", "--driver", default="local", metavar="DRIVER", help="local, which is the only")
@click.option("--label", "labels", multiple=True, metavar="KEY[=VALUE]", help="Label (repeatable)")
@click.option(
    "-o", "--opt", "opts", multiple=True, metavar="KEY=VALUE",
    help="type=tmpfs|nfs|none, device= and o= as for mount(8) (repeatable)",
)  # fmt: skip
@click.pass_obj
def create(
    session: Session,
    /,
    *,
    name: str,
    driver: str,
    labels: Sequence[str],
    opts: Sequence[str],
) -> None:
    """Make a volume on this host."""
    from swarmctl.edits import pairs

    options = pairs("--opt", opts, needs_value=True)
    found = session.volumes.create(
        name, driver=driver, labels=pairs("--label", labels), options=options
    )
    session.say(found.name)


@click.command("ls", cls=Command)
@options.listing_flags
@click.pass_obj
def ls(session: Session, /, *, filters: Sequence[str], form: str, quiet: bool) -> None:
    """List the volumes on this host."""
    from swarmctl.filters import parse_filters, selected
    from swarmctl.tables import listed
    from swarmctl.volumes import VOLUME_TESTS, VOLUMES, volume_rows

    parse_filters(filters, known=VOLUME_TESTS)
    found = selected(session.volumes.list(), filters, VOLUME_TESTS)
    session.write(listed(list(volume_rows(found)), VOLUMES, form=form, quiet=quiet))


@click.command("inspect", cls=Command)
@_volumes
@options.inspect_flags
@click.pass_obj
def inspect(session: Session, /, *, names: Sequence[str], form: str) -> None:
    """Show volumes in full."""
    from swarmctl.inspecting import inspected
    from swarmctl.volumes import volume_detail

    show_found(
        session,
        names,
        lambda some: [volume_detail(session.volumes.inspect(name)) for name in some],
        lambda found: session.write(inspected(found, form=form)),
    )


@click.command("rm", cls=Command)
@_volumes
@click.option("-f", "--force", is_flag=True, help="Fine when there is none")
@click.pass_obj
def rm(session: Session, /, *, names: Sequence[str], force: bool) -> None:
    """Remove volumes that no task uses, with their content."""

    def remove(name: str) -> None:
        session.volumes.remove(name, force=force)
        session.say(name)

    each(session, names, remove)


@click.command("prune", cls=Command)
@click.option("-a", "--all", "named", is_flag=True, help="Named ones too")
@click.option("-f", "--force", is_flag=True, help="Do not ask")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="label=…, label!=…, all=true (repeatable)",
)  # fmt: skip
@click.pass_obj
def prune(session: Session, /, *, named: bool, force: bool, filters: Sequence[str]) -> None:
    """Remove the volumes that no task of this host uses, with their content."""
    from swarm.quantities import format_size
    from swarmctl.filters import is_true, parse_filters, selected
    from swarmctl.io.asking import agreed
    from swarmctl.volumes import PRUNE_TESTS, unused

    wanted = parse_filters(filters, known=PRUNE_TESTS)
    named = named or any(map(is_true, wanted.get("all", [])))
    which = "all" if named else "anonymous"
    if not force and not agreed(
        f"WARNING! This will remove {which} local volumes not used by at least one task.\n"
        "Are you sure you want to continue?"
    ):
        return
    chosen = selected(unused(session.volumes.list(), named=named), filters, PRUNE_TESTS)
    answer = session.volumes.prune(volume.name for volume in chosen)
    if answer.removed:
        session.say("Deleted Volumes:")
        for name in answer.removed:
            session.say(name)
        session.say("")
    session.say(f"Total reclaimed space: {format_size(answer.reclaimed_bytes)}")
