"""`swarmctl top|stats|pause|unpause`."""

from collections.abc import Sequence

import click

from swarmctl import completing
from swarmctl.commands.program import is_here
from swarmctl.commands.service import each
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_tasks = click.argument(
    "tasks", nargs=-1, required=True, metavar="CONTAINER|TASK...",
    shell_complete=completing.programs,
)  # fmt: skip


@click.command(
    "top",
    cls=Command,
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)
@click.argument("task", metavar="CONTAINER|TASK", shell_complete=completing.programs)
@click.argument("options", nargs=-1, metavar="[PS OPTIONS]", type=click.UNPROCESSED)
@click.pass_obj
def top(session: Session, /, *, task: str, options: Sequence[str]) -> None:
    """List the processes of a container of this host, or of a task, as its node sees them.

    The options are those of ps: -ef (default), aux, or -o pid,user,args for columns.
    """
    from datetime import datetime

    from swarmctl.processes import Moment, chosen, table
    from swarmctl.tables import aligned

    if is_here(session, task):
        found = session.containers.processes(task, options)
        session.write(aligned([list(found.titles), *(list(row.fields) for row in found.rows)]))
        return
    choice = chosen(options)
    answer = session.control.processes(task)
    zone = datetime.now().astimezone().tzinfo
    assert zone is not None
    moment = Moment(now=answer.at, memory_bytes=answer.memory_bytes, zone=zone)
    session.write(aligned(table(answer.processes, choice, moment)))


@click.command("stats", cls=Command)
@click.argument(
    "tasks", nargs=-1, metavar="[CONTAINER|TASK|SERVICE...]", shell_complete=completing.writers
)
@click.option("-a", "--all", "everything", is_flag=True, help="Also tasks that do not run")
@click.option("--format", "form", default="", metavar="FORMAT", help="table, json or a Go template")
@click.option("--no-stream", is_flag=True, help="Print one sample and end")
@click.option("--no-trunc", is_flag=True, help="Print ids in full")
@click.pass_obj
def stats(
    session: Session,
    /,
    *,
    tasks: Sequence[str],
    everything: bool,
    form: str,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """Show what tasks use, again every second: of all, or of these tasks and services.

    Names of containers of this host mean those, and without a swarm all of them are meant. A
    hundred percent of cpu is one core.
    """
    from swarmctl.commands.container import show_stats

    if _are_here(session, tasks):
        show_stats(session, tasks, everything, form, no_stream=no_stream, no_trunc=no_trunc)
        return
    from swarm.api.v1 import control_pb2
    from swarmctl.io.sampling import follow, sample_once
    from swarmctl.tables import listed
    from swarmctl.usage import STATS, Usage, should_run

    def written(usage: Usage) -> str:
        known = session.control.tasks(control_pb2.ListTasksRequest()) if is_whole else ()
        idle = [view for view in known if should_run(view)]
        return listed(usage.rows(full=no_trunc, idle=idle), STATS, form=form)

    is_whole = everything and not tasks
    if no_stream:
        session.write(written(sample_once(session, tasks)))
    else:
        follow(session, tasks, written, is_live=session.is_interactive() and form in ("", "table"))


@click.command("pause", cls=Command)
@_tasks
@click.pass_obj
def pause(session: Session, /, *, tasks: Sequence[str]) -> None:
    """Hold all processes of containers or tasks still.

    The swarm takes such a task for running, and nobody checks its health meanwhile.
    """
    _set_paused(session, tasks, paused=True)


@click.command("unpause", cls=Command)
@_tasks
@click.pass_obj
def unpause(session: Session, /, *, tasks: Sequence[str]) -> None:
    """Let the processes of paused containers or tasks go on."""
    _set_paused(session, tasks, paused=False)


def _are_here(session: Session, names: Sequence[str]) -> bool:
    if names:
        return all(map(session.containers.has, names))
    return not session.daemon.status().node_id


def _set_paused(session: Session, tasks: Sequence[str], *, paused: bool) -> None:
    def act(name: str) -> None:
        if is_here(session, name):
            session.containers.pause(name, paused=paused)
        else:
            session.control.pause(name, paused=paused)
        session.say(name)

    each(session, tasks, act)
