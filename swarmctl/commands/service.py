"""`swarmctl service ls|ps|inspect|logs|scale|rm`."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import click

from swarm.errors import Invalid, Missing, SwarmError
from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

T = TypeVar("T")

_services = click.argument(
    "services", nargs=-1, required=True, metavar="SERVICE...", shell_complete=completing.services
)


@click.command("ls", cls=Command)
@options.listing_flags
@click.pass_obj
def ls(session: Session, /, *, filters: Sequence[str], form: str, quiet: bool) -> None:
    """List the services, with how many of their tasks run."""
    from swarmctl.filters import SERVICE_TESTS, parse_filters, selected
    from swarmctl.rows import SERVICES, Detail, service_row
    from swarmctl.tables import listed

    parse_filters(filters, known=SERVICE_TESTS)
    views = selected(session.control.services(), filters, SERVICE_TESTS)
    views.sort(key=lambda view: view.service.spec.name)
    session.write(
        listed([service_row(v, Detail()) for v in views], SERVICES, form=form, quiet=quiet)
    )


@click.command("ps", cls=Command)
@_services
@options.task_flags
@click.pass_obj
def ps(
    session: Session,
    /,
    *,
    services: Sequence[str],
    filters: Sequence[str],
    form: str,
    quiet: bool,
    no_resolve: bool,
    no_trunc: bool,
) -> None:
    """List the tasks of services: per replica the newest attempt, then the older ones."""
    list_tasks(
        session,
        services,
        filters=filters,
        form=form,
        quiet=quiet,
        no_resolve=no_resolve,
        no_trunc=no_trunc,
    )


def list_tasks(
    session: Session,
    services: Sequence[str],
    *,
    filters: Sequence[str],
    form: str,
    quiet: bool,
    no_resolve: bool,
    no_trunc: bool,
) -> None:
    """Print the tasks of services."""
    from swarm.api.v1 import control_pb2
    from swarmctl.filters import TASK_TESTS, parse_filters, selected
    from swarmctl.rows import Detail, host_ports
    from swarmctl.tables import listed
    from swarmctl.task_rows import listing, task_rows

    filters = [_resolved(session, each) for each in filters]
    parse_filters(filters, known=TASK_TESTS)
    ports = {view.service.id: host_ports(view) for view in session.control.services(services)}
    views = session.control.tasks(control_pb2.ListTasksRequest(services=list(ports)))
    detail = Detail(full=no_trunc, named=not no_resolve)
    found = selected(views, filters, TASK_TESTS)
    rows = task_rows(found, detail, now=session.now(), ports=ports)
    session.write(listed(list(rows), listing(found), form=form, quiet=quiet))


def _resolved(session: Session, text: str) -> str:
    from swarmctl.commands.node import SELF, named

    return f"node={named(session, (SELF,))[0]}" if text == f"node={SELF}" else text


@click.command("inspect", cls=Command)
@_services
@options.inspect_flags
@options.pretty
@click.pass_obj
def inspect(session: Session, /, *, services: Sequence[str], form: str, pretty: bool) -> None:
    """Show services in full."""
    from swarm.api.v1 import control_pb2
    from swarmctl.details import SERVICE_OPTIONAL, service_detail
    from swarmctl.inspecting import PRETTY, inspected
    from swarmctl.pretty import pretty_service

    if pretty and form:
        raise Invalid("--pretty and --format exclude each other", hint="leave one of them out")

    def show(views: list[control_pb2.ServiceView]) -> None:
        if pretty or form == PRETTY:
            session.write("\n".join(map(pretty_service, views)))
            return
        details = list(map(service_detail, views))
        session.write(inspected(details, form=form, optional=SERVICE_OPTIONAL))

    show_found(session, services, session.control.services, show)


@click.command("scale", cls=Command)
@click.argument(
    "targets", nargs=-1, required=True, metavar="SERVICE=REPLICAS...",
    shell_complete=completing.services,
)  # fmt: skip
@options.check_revision
@options.dry_run
@options.detach
@click.pass_obj
def scale(
    session: Session,
    /,
    *,
    targets: Sequence[str],
    check_revision: int | None,
    dry_run: bool,
    detach: bool,
) -> None:
    """Set how many replicas of services run."""
    if check_revision is not None or dry_run:
        one_target(targets)
    if dry_run:
        plan_scaling(session, targets)
        return
    from swarm.api.v1 import control_pb2
    from swarmctl.io.changing import change_service
    from swarmctl.io.watching import watch
    from swarmctl.modes import scaled
    from swarmctl.progress import SETTLE_S

    wanted = dict(map(_target, targets))

    def scale_one(name: str) -> None:
        before = session.control.service(name)
        view = change_service(
            session, name, lambda spec: scaled(spec, wanted[name]), revision=check_revision
        )
        session.say(f"{name} scaled to {wanted[name]}")
        # Where no task is started, there is none to see settle.
        changed.append((view, SETTLE_S if view.wanted > before.wanted else 0.0))

    changed: list[tuple[control_pb2.ServiceView, float]] = []
    try:
        each(session, tuple(wanted), scale_one)
    finally:
        for view, settle_s in () if detach else changed:
            watch(session, view.service.id, view.service.spec.name, settle_s=settle_s)


@click.command("rm", cls=Command)
@_services
@click.pass_obj
def rm(session: Session, /, *, services: Sequence[str]) -> None:
    """Remove services and stop their tasks."""

    def remove(name: str) -> None:
        session.control.remove_service(session.control.service(name).service.id)
        session.say(name)

    each(session, services, remove)


@click.command("logs", cls=Command)
@click.argument("name", metavar="SERVICE|TASK", shell_complete=completing.services)
@click.option("--details", is_flag=True, help="Print ids of node and task with each line")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written")
@click.option("--no-resolve", is_flag=True, help="Print node ids instead of names")
@click.option("--no-task-ids", is_flag=True, help="Print no task ids")
@click.option("--no-trunc", is_flag=True, help="Print task ids in full")
@click.option("--raw", is_flag=True, help="Print lines as they were written")
@click.option("--since", default="", metavar="TIME", help="Lines since 2026-01-31T12:00:00Z or 10m")
@click.option("-n", "--tail", default="all", metavar="N", help="Last lines per task (default all)")
@click.option("-t", "--timestamps", is_flag=True, help="Print when lines were written")
@click.pass_obj
def logs(
    session: Session,
    /,
    *,
    name: str,
    details: bool,
    follow: bool,
    no_resolve: bool,
    no_task_ids: bool,
    no_trunc: bool,
    raw: bool,
    since: str,
    tail: str,
    timestamps: bool,
) -> None:
    """Read what the tasks of a service, or one task, wrote."""
    from swarmctl.io.reading import read_logs
    from swarmctl.logs import Style
    from swarmctl.times import parse_since

    style = Style(
        raw=raw,
        timestamps=timestamps,
        details=details,
        task_ids=not no_task_ids,
        full=no_trunc,
    )
    read_logs(
        session,
        name,
        style,
        follow=follow,
        tail=parse_tail(tail),
        since=parse_since(since, now=session.now()) if since else 0.0,
        resolve=not (no_resolve or raw),
    )


def each(session: Session, names: Sequence[str], act: Callable[[str], None]) -> None:
    """Act on every name; one that fails does not keep the others from it."""
    failures: list[SwarmError] = []
    for name in names:
        try:
            act(name)
        except SwarmError as err:
            failures.append(err)
    for failure in failures[:-1]:
        session.warn(f"Error: {failure.message}")
    if failures:
        raise failures[-1]


def show_found(
    session: Session,
    names: Sequence[str],
    find: Callable[[Sequence[str]], Sequence[T]],
    show: Callable[[list[T]], None],
) -> None:
    """Show those of `names` that there are, and only then fail because of the others."""
    found: list[T] = []
    try:
        found += find(names)
    except Missing:
        try:
            each(session, names, lambda name: found.extend(find([name])))
        finally:
            show(found)
        return
    show(found)


def plan_scaling(session: Session, targets: Sequence[str], *, form: str = "") -> bool:
    """Show what scaling one service would do; whether it would do anything."""
    from swarmctl.io.planning import plan_change
    from swarmctl.modes import scaled

    name, count = one_target(targets)
    return plan_change(
        session, name, lambda spec: scaled(spec, count), form=form, command="service scale"
    )


def one_target(targets: Sequence[str]) -> tuple[str, int]:
    """The only service and its count: plans and revisions are of one service each."""
    if len(targets) != 1:
        raise Invalid(
            f"{len(targets)} services cannot be planned at once", hint="give one at a time"
        )
    return _target(targets[0])


def _target(text: str) -> tuple[str, int]:
    name, equals, count = text.rpartition("=")
    if not equals or not name:
        raise Invalid(f"{text!r} is not SERVICE=REPLICAS", hint="write it like web=5")
    if not count.isascii() or not count.isdigit() or len(count) > 10:
        raise Invalid(f"{text!r}: {count!r} is not a count", hint="write it like web=5")
    return name, int(count)


def parse_tail(text: str) -> int:
    """How many lines `--tail` asks for; -1 is all."""
    if text == "all":
        return -1
    if not text.isascii() or not text.isdigit() or len(text) > 10:
        raise Invalid(f"--tail {text!r} is not a count", hint="give a number of lines, or all")
    return int(text)
