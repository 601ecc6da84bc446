"""`swarmctl service rollback|promote|history`."""

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.kinds import COUNT
from swarmctl.lazy import Command

_service = click.argument("service", metavar="SERVICE", shell_complete=completing.services)


@click.command("rollback", cls=Command)
@_service
@click.option("--to", "revision", type=COUNT, metavar="REVISION", help="Revision to go back to")
@options.waiting_flags
@click.pass_obj
def rollback(
    session: Session, /, *, service: str, revision: int | None, detach: bool, quiet: bool
) -> None:
    """Bring a service back to what it was before its last change.

    With --to, back to a revision that `service history` lists.
    """
    from swarm.api.v1 import control_pb2
    from swarm.errors import Invalid
    from swarmctl.io.watching import watch

    if revision == 0:
        raise Invalid("--to: revisions count from 1", hint=f"swarmctl service history {service}")
    before = session.control.service(service)
    request = control_pb2.RollbackServiceRequest(
        service_id=before.service.id, version=before.version, revision=revision or 0
    )
    view = session.control.rollback_service(request)
    session.say(service)
    if not detach:
        watch(session, view.service.id, view.service.spec.name, quiet=quiet)


@click.command("promote", cls=Command)
@_service
@options.waiting_flags
@click.pass_obj
def promote(session: Session, /, *, service: str, detach: bool, quiet: bool) -> None:
    """Let a rollout go on: past its canaries, or after it was paused."""
    from swarmctl.io.watching import watch

    view = session.control.promote_service(session.control.service(service).service.id)
    session.say(service)
    if not detach:
        watch(session, view.service.id, view.service.spec.name, quiet=quiet)


@click.command("history", cls=Command)
@click.argument("service", metavar="SERVICE|IMAGE", shell_complete=completing.services)
@options.form
@click.option("--no-trunc", is_flag=True, help="Show all that changed")
@click.option("-q", "--quiet", is_flag=True, help="Print the numbers of the revisions only")
@click.pass_obj
def history(session: Session, /, *, service: str, form: str, no_trunc: bool, quiet: bool) -> None:
    """List what a service was, the newest first, and what each change changed.

    An image of this host tells how it was made, unless there is a service of the name.
    """
    from swarm.errors import Missing, SwarmError
    from swarmctl.commands.image import show_history

    try:
        view = session.control.service(service)
    except SwarmError as err:
        try:
            session.images.inspect(service)
        except Missing:
            raise err from None
        show_history(session, service, form=form, human=True, full=no_trunc, quiet=quiet)
        return
    from swarm.codec import from_message
    from swarm.objects import Revision
    from swarmctl.revisions import REVISIONS, revision_rows
    from swarmctl.tables import listed

    found = session.control.revisions(view.service.id)
    revisions = [from_message(Revision, each) for each in found]
    rows = revision_rows(revisions, now=session.now(), full=no_trunc or bool(form))
    session.write(listed(rows, REVISIONS, form=form, quiet=quiet))
