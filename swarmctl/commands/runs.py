"""`swarmctl service runs|trigger`."""

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_service = click.argument("service", metavar="SERVICE", shell_complete=completing.services)


@click.command("runs", cls=Command)
@_service
@options.form
@click.option("-q", "--quiet", is_flag=True, help="Print the numbers of the runs only")
@click.pass_obj
def runs(session: Session, /, *, service: str, form: str, quiet: bool) -> None:
    """List the runs of a job, the newest first, and when its schedule starts the next.

    A job without a schedule has one run, with the number 0.
    """
    from swarm.codec import from_message
    from swarm.errors import Refused
    from swarm.objects import Run
    from swarmctl.rows import mode
    from swarmctl.runs import RUNS, next_line, run_rows
    from swarmctl.tables import listed

    view = session.control.service(service)
    if not mode(view.service.spec).endswith("job"):
        raise Refused(
            f"service {view.service.spec.name} is no job, so it has no runs",
            hint=f"`swarmctl service ps {view.service.spec.name}` lists its tasks",
        )
    found = [from_message(Run, each) for each in view.ledger.runs]
    rows = list(run_rows(found, now=session.now()))
    session.write(listed(rows, RUNS, form=form, quiet=quiet))
    if not form and not quiet and (line := next_line(view.next_firing_at, now=session.now())):
        session.warn(line)


@click.command("trigger", cls=Command)
@_service
@click.pass_obj
def trigger(session: Session, /, *, service: str) -> None:
    """Start a run of a scheduled job now, and leave its schedule as it is.

    Prints the number of the run.
    """
    found = session.control.service(service)
    session.say(str(session.control.trigger_service(found.service.id)))
