"""`swarmctl task inspect`."""

from collections.abc import Sequence

import click

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command


@click.command("inspect", cls=Command)
@click.argument(
    "tasks", nargs=-1, required=True, metavar="TASK...", shell_complete=completing.tasks
)
@options.inspect_flags
@click.pass_obj
def inspect(session: Session, /, *, tasks: Sequence[str], form: str) -> None:
    """Show tasks in full, with what their last health checks found.

    A task is an id, the beginning of one, or a name such as web.1.
    """
    from swarmctl.details import TASK_OPTIONAL, inspected_task
    from swarmctl.inspecting import inspected

    answers = [session.control.inspect_task(each) for each in tasks]
    for name, answer in zip(tasks, answers, strict=True):
        if answer.unreachable:
            session.warn(f"Warning: the health checks of {name} are unknown: {answer.unreachable}")
    session.write(inspected(list(map(inspected_task, answers)), form=form, optional=TASK_OPTIONAL))
