"""Print what tasks wrote, standard output and standard error apart."""

import sys
from collections.abc import Iterable

from swarm.api.v1 import control_pb2
from swarm.errors import Missing
from swarmctl.io.session import Session
from swarmctl.logs import Printer, Style


def read_logs(
    session: Session,
    name: str,
    style: Style,
    *,
    follow: bool,
    tail: int,
    since: float,
    resolve: bool,
) -> None:
    """Print the lines of the service or task `name`."""
    services, tasks = _meant(session, name)
    hostnames = _hostnames(session) if resolve else {}
    printer = Printer(style, hostnames=hostnames)
    request = control_pb2.ReadLogsRequest(
        services=services,
        tasks=tasks,
        follow=follow,
        tail=tail,
        since=since,
        stdout=True,
        stderr=True,
    )
    for batch in session.control.logs(request):
        _print(batch, printer)


def print_logs(batches: Iterable[control_pb2.LogBatch], *, timestamps: bool) -> None:
    """Print the lines of one container."""
    printer = Printer(Style(raw=True, timestamps=timestamps), hostnames={})
    for batch in batches:
        _print(batch, printer)


def _meant(session: Session, name: str) -> tuple[list[str], list[str]]:
    try:
        return [session.control.service(name).service.id], []
    except Missing:
        pass
    try:
        found = session.control.tasks(control_pb2.ListTasksRequest(tasks=[name]))
    except Missing as err:
        raise Missing(
            f"no such service or task: {name}", hint="`swarmctl service ls` lists the services"
        ) from err
    return [], [view.task.id for view in found]


def _hostnames(session: Session) -> dict[str, str]:
    return {view.node.id: view.node.description.hostname for view in session.control.nodes()}


def _print(batch: control_pb2.LogBatch, printer: Printer) -> None:
    for line in batch.lines:
        stream = sys.stderr if line.stderr else sys.stdout
        stream.buffer.write(printer.line(line))
    sys.stdout.flush()
    sys.stderr.flush()
