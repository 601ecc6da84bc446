"""`swarmctl stack deploy|config|ls|ps|services|rm`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

if TYPE_CHECKING:
    from swarm.api.v1 import control_pb2

F = TypeVar("F", bound=Callable[..., object])

_one = click.argument("stack", metavar="STACK", shell_complete=completing.stacks)


def _files(command: F) -> F:
    return click.option(
        "-c",
        "--compose-file",
        "files",
        multiple=True,
        required=True,
        metavar="FILE|-",
        help="Compose file; of several the later ones are laid over the earlier (repeatable)",
    )(command)


@click.command("deploy", cls=Command)
@_one
@_files
@click.option("--prune", is_flag=True, help="Remove services that the files have no more")
@click.option(
    "--resolve-image",
    type=click.Choice(["always", "changed", "never"]),
    default="always",
    help="When to pin images to their present digests (default always)",
)
@click.option(
    "--with-registry-auth",
    is_flag=True,
    help="Give the logins in ~/.docker/config.json to the nodes that pull the images",
)
@options.dry_run
@options.waiting_flags
@click.pass_obj
def deploy(
    session: Session,
    /,
    *,
    stack: str,
    files: Sequence[str],
    prune: bool,
    resolve_image: str,
    with_registry_auth: bool,
    dry_run: bool,
    quiet: bool,
    detach: bool,
) -> None:
    """Make a stack what compose files say: its secrets and configs, then its services.

    Only what differs is changed. Paths in the files are relative to the first of them, and
    variables are taken from the environment.
    """
    from swarmctl.io.stack_files import directory_of, load_stack
    from swarmctl.io.stacks import Deployment, Wishes
    from swarmctl.io.watching import watch
    from swarmctl.stacks.changes import Resolve
    from swarmctl.stacks.names import check_stack

    wanted = load_stack(session, check_stack(stack), files)
    wishes = Wishes(
        base=directory_of(files),
        resolve=Resolve(resolve_image),
        prune=prune,
        with_auth=with_registry_auth,
    )
    deployment = Deployment(session, wanted, wishes)
    if dry_run:
        deployment.show()
        return
    changed = deployment.apply()
    for view in () if detach else changed:
        watch(session, view.service.id, view.service.spec.name, quiet=quiet)


@click.command("config", cls=Command)
@_files
@click.option("--skip-interpolation", is_flag=True, help="Leave variables as they are")
@click.pass_obj
def config(session: Session, /, *, files: Sequence[str], skip_interpolation: bool) -> None:
    """Print compose files as one, with variables filled in."""
    from swarmctl.io.stack_files import read_files
    from swarmctl.stacks.documents import write_document

    document = read_files(session, files, interpolate=not skip_interpolation)
    session.write(write_document(document))


@click.command("ls", cls=Command)
@options.form
@click.pass_obj
def ls(session: Session, /, *, form: str) -> None:
    """List the stacks, with how many services each has."""
    from swarmctl.stacks.rows import STACKS, stack_rows
    from swarmctl.tables import listed

    session.write(listed(stack_rows(session.control.services()), STACKS, form=form))


@click.command("ps", cls=Command)
@_one
@options.task_flags
@click.pass_obj
def ps(
    session: Session,
    /,
    *,
    stack: str,
    filters: Sequence[str],
    form: str,
    quiet: bool,
    no_resolve: bool,
    no_trunc: bool,
) -> None:
    """List the tasks of a stack: per replica the newest attempt, then the older ones."""
    from swarmctl.commands.service import list_tasks

    list_tasks(
        session,
        [view.service.id for view in _found(session, stack)],
        filters=filters,
        form=form,
        quiet=quiet,
        no_resolve=no_resolve,
        no_trunc=no_trunc,
    )


@click.command("services", cls=Command)
@_one
@options.listing_flags
@click.pass_obj
def services(
    session: Session, /, *, stack: str, filters: Sequence[str], form: str, quiet: bool
) -> None:
    """List the services of a stack, with how many of their tasks run."""
    from swarmctl.filters import SERVICE_TESTS, parse_filters, selected
    from swarmctl.io.stacks import services_of
    from swarmctl.rows import SERVICES, Detail, service_row
    from swarmctl.tables import listed

    parse_filters(filters, known=SERVICE_TESTS)
    found = services_of(session, stack)
    if not found:
        session.warn(f"Nothing found in stack: {stack}")
        return
    views = selected(found.values(), filters, SERVICE_TESTS)
    rows = [service_row(view, Detail()) for view in views]
    session.write(listed(rows, SERVICES, form=form, quiet=quiet))


@click.command("rm", cls=Command)
@click.argument(
    "stacks", nargs=-1, required=True, metavar="STACK...", shell_complete=completing.stacks
)
@options.detach
@click.pass_obj
def rm(session: Session, /, *, stacks: Sequence[str], detach: bool) -> None:
    """Remove stacks with all that belongs to them, but for volumes, which keep their data."""
    from swarmctl.commands.service import each
    from swarmctl.io.stacks import Leftovers, clear_away, remove_stack

    left = list[Leftovers]()
    try:
        each(session, stacks, lambda name: left.append(remove_stack(session, name)))
    finally:
        clear_away(session, left, is_patient=not detach)


def _found(session: Session, stack: str) -> "list[control_pb2.ServiceView]":
    """The services of a stack that there is."""
    from swarm.errors import Missing
    from swarmctl.io.stacks import services_of

    if not (found := services_of(session, stack)):
        raise Missing(f"nothing found in stack: {stack}", hint="`swarmctl stack ls` lists them")
    return [*found.values()]
