"""`swarmctl ps|start|stop|…`: the containers of this host."""

from collections.abc import Callable, Sequence

import click

from swarm.errors import Invalid
from swarmctl import completing, options
from swarmctl.commands.service import each
from swarmctl.detaching import DEFAULT_KEYS
from swarmctl.io.session import Session
from swarmctl.kinds import BYTES, COUNT, CPUS, INTEGER, SWAP
from swarmctl.lazy import Command, alias

_containers = click.argument(
    "names", nargs=-1, required=True, metavar="CONTAINER...", shell_complete=completing.containers
)
_one = click.argument("name", metavar="CONTAINER", shell_complete=completing.containers)
_PRUNE = (
    "WARNING! This will remove all stopped containers of this host.\n"
    "Are you sure you want to continue?"
)
_KINDS = "CAD"


def _stop_flags(command: options.F) -> options.F:
    command = click.option("-s", "--signal", default="", help="Signal to send first")(command)
    return click.option(
        "-t", "--timeout", "--time", type=INTEGER,
        help="Seconds to end before it is killed (-1: never; default: the container's)",
    )(command)  # fmt: skip


@click.command("ps", cls=Command)
@options.listing_flags
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run")
@click.option("-n", "--last", type=COUNT, default=None, help="The last N that were made")
@click.option("-l", "--latest", is_flag=True, help="The last one that was made")
@click.option("--no-trunc", is_flag=True, help="Print ids and commands in full")
@click.option("-s", "--size", is_flag=True, help="Show how much disk each one takes")
@click.pass_obj
def ps(
    session: Session,
    /,
    *,
    filters: Sequence[str],
    form: str,
    quiet: bool,
    everything: bool,
    last: int | None,
    latest: bool,
    no_trunc: bool,
    size: bool,
) -> None:
    """List the containers of this host, those of tasks among them."""
    from swarmctl.containers.rows import CONTAINERS, SIZED, container_row, is_up, tests
    from swarmctl.filters import parse_filters, selected
    from swarmctl.rows import Detail
    from swarmctl.tables import listed

    known = session.containers.list(sizes=size or ".Size" in form)
    chosen = selected(known, filters, tests(known))
    wanted = parse_filters(filters, known=tests(known))
    count = 1 if latest else last
    if not everything and count is None and not {"status", "exited"} & wanted.keys():
        chosen = [view for view in chosen if is_up(view)]
    chosen = chosen if count is None else chosen[:count]
    rows = [container_row(view, Detail(full=no_trunc), now=session.now()) for view in chosen]
    session.write(listed(rows, SIZED if size else CONTAINERS, form=form, quiet=quiet))


ls = alias(ps, "ls")


@click.command("start", cls=Command)
@_containers
@click.option("-a", "--attach", is_flag=True, help="Join its output, and pass on signals")
@click.option("-i", "--interactive", is_flag=True, help="Join its input, too")
@click.option("--detach-keys", default=DEFAULT_KEYS, metavar="KEYS",
              help=f"Keys that leave the terminal (default {DEFAULT_KEYS})")  # fmt: skip
@click.pass_obj
def start(
    session: Session,
    /,
    *,
    names: Sequence[str],
    attach: bool,
    interactive: bool,
    detach_keys: str,
) -> int:
    """Start containers that do not run."""
    from swarmctl.commands.run import join

    if not (attach or interactive):
        each(session, names, lambda name: _said(session, name, session.containers.start))
        return 0
    if len(names) != 1:
        raise Invalid("only one container can be joined", hint="start the others without -a, -i")
    return join(
        session,
        names[0],
        opens_input=interactive,
        keys=detach_keys,
        passes_signals=True,
        starts=True,
    )


@click.command("stop", cls=Command)
@_containers
@_stop_flags
@click.pass_obj
def stop(session: Session, /, *, names: Sequence[str], timeout: int | None, signal: str) -> None:
    """Have containers end: their stop signal first, and SIGKILL when their time is over."""
    from swarm.api.v1 import containers_pb2

    def act(name: str) -> None:
        request = containers_pb2.StopContainerRequest(container=name, signal=signal)
        if timeout is not None:
            request.grace_s = timeout
        session.containers.stop(request)

    each(session, names, lambda name: _said(session, name, act))


@click.command("restart", cls=Command)
@_containers
@_stop_flags
@click.pass_obj
def restart(session: Session, /, *, names: Sequence[str], timeout: int | None, signal: str) -> None:
    """Have containers end, and start them again."""
    from swarm.api.v1 import containers_pb2

    def act(name: str) -> None:
        request = containers_pb2.RestartContainerRequest(container=name, signal=signal)
        if timeout is not None:
            request.grace_s = timeout
        session.containers.restart(request)

    each(session, names, lambda name: _said(session, name, act))


@click.command("kill", cls=Command)
@_containers
@click.option("-s", "--signal", default="", help="Signal to send (default SIGKILL)")
@click.pass_obj
def kill(session: Session, /, *, names: Sequence[str], signal: str) -> None:
    """Send a signal to the first process of containers."""
    act = session.containers.kill
    each(session, names, lambda name: _said(session, name, lambda one: act(one, signal)))


@click.command("rm", cls=Command)
@_containers
@click.option("-f", "--force", is_flag=True, help="End those that run; fine when there is none")
@click.option("-v", "--volumes", is_flag=True, help="And the volumes made for them alone")
@click.pass_obj
def rm(session: Session, /, *, names: Sequence[str], force: bool, volumes: bool) -> None:
    """Remove containers with all that they have written."""

    def act(name: str) -> None:
        session.containers.remove(name, force=force, volumes=volumes)

    each(session, names, lambda name: _said(session, name, act))


@click.command("wait", cls=Command)
@_containers
@click.pass_obj
def wait(session: Session, /, *, names: Sequence[str]) -> None:
    """Wait until containers do not run; prints their exit codes."""
    each(session, names, lambda name: session.say(str(session.containers.wait(name))))


@click.command("rename", cls=Command)
@_one
@click.argument("new", metavar="NAME")
@click.pass_obj
def rename(session: Session, /, *, name: str, new: str) -> None:
    """Give a container another name."""
    session.containers.rename(name, new)


@click.command("update", cls=Command)
@_containers
@click.option("--blkio-weight", type=COUNT, help="Weight for block devices (10-1000)")
@click.option("--cpu-period", type=COUNT, help="Period of the cpu quota, in microseconds")
@click.option("--cpu-quota", type=INTEGER, help="Cpu time in each period, in microseconds")
@click.option("-c", "--cpu-shares", type=COUNT, help="Weight among those that want cpu")
@click.option("--cpus", type=CPUS, help="Cpus that it may use at most")
@click.option("--cpuset-cpus", help="Cpus that it may run on, such as 0-2,4")
@click.option("--cpuset-mems", help="Memory nodes that it may use")
@click.option("-m", "--memory", type=BYTES, help="Memory that it may use at most")
@click.option("--memory-reservation", type=BYTES, help="Memory left to it when there is little")
@click.option("--memory-swap", type=SWAP, help="Memory and swap together (-1: unlimited)")
@click.option("--pids-limit", type=INTEGER, help="Processes at most (-1: no limit)")
@click.option("--restart", help="no, on-failure[:TIMES], always or unless-stopped")
@click.pass_obj
def update(session: Session, /, *, names: Sequence[str], **flags: object) -> None:
    """Change limits and the restart policy of containers; those that run feel it at once."""
    from swarmctl.containers.changes import update_request

    def act(name: str) -> None:
        before = session.containers.inspect(name).container
        for warning in session.containers.update(update_request(before, flags)):
            session.warn(f"Warning: {warning}")

    if all(value is None for value in flags.values()):
        raise Invalid("nothing to change was given", hint="give a flag such as --memory 1g")
    each(session, names, lambda name: _said(session, name, act))


@click.command("port", cls=Command)
@_one
@click.argument("port", required=False, default="", metavar="[PORT[/PROTOCOL]]")
@click.pass_obj
def port(session: Session, /, *, name: str, port: str) -> None:
    """List the ports of this host that lead to a container."""
    from swarmctl.containers.ports import port_lines

    view = session.containers.inspect(name).container
    for line in port_lines(view, port):
        session.say(line)


@click.command("diff", cls=Command)
@_one
@click.pass_obj
def diff(session: Session, /, *, name: str) -> None:
    """List what a container changed of its image's files: A added, C changed, D deleted."""
    for change in session.containers.diff(name):
        session.say(f"{_KINDS[change.kind]} {change.path}")


@click.command("logs", cls=Command)
@click.argument("name", metavar="CONTAINER|SERVICE|TASK", shell_complete=completing.writers)
@click.option("--details", is_flag=True, help="Print ids of node and task, of a service's lines")
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is written")
@click.option("--since", default="", metavar="TIME", help="Lines since 2026-01-31T12:00:00Z or 10m")
@click.option("-n", "--tail", default="all", metavar="N", help="Last lines (default all)")
@click.option("-t", "--timestamps", is_flag=True, help="Print when lines were written")
@click.option("--until", default="", metavar="TIME", help="Lines until then (containers only)")
@click.pass_obj
def logs(
    session: Session,
    /,
    *,
    name: str,
    details: bool,
    follow: bool,
    since: str,
    tail: str,
    timestamps: bool,
    until: str,
) -> None:
    """Read what a container of this host wrote; else a service, or a task, of the swarm."""
    from swarm.api.v1 import containers_pb2
    from swarmctl.commands.service import parse_tail
    from swarmctl.io.reading import print_logs, read_logs
    from swarmctl.logs import Style
    from swarmctl.times import parse_since

    now, begin, end = session.now(), 0.0, 0.0
    if since:
        begin = parse_since(since, now=now)
    if until:
        end = parse_since(until, now=now)
    if session.containers.has(name):
        request = containers_pb2.ReadContainerLogsRequest(
            container=name, follow=follow, tail=parse_tail(tail),
            since=begin, until=end, stdout=True, stderr=True,
        )  # fmt: skip
        print_logs(session.containers.logs(request), timestamps=timestamps)
        return
    if until:
        raise Invalid(f"--until: {name} is no container of this host", hint="leave it out")
    style = Style(timestamps=timestamps, details=details)
    read_logs(session, name, style, follow=follow, tail=parse_tail(tail), since=begin, resolve=True)


@click.command("cp", cls=Command)
@click.argument("source", metavar="CONTAINER:PATH|PATH|-")
@click.argument("target", metavar="CONTAINER:PATH|PATH|-")
@click.option("-a", "--archive", is_flag=True, help="Keep owners")
@click.option("-L", "--follow-link", is_flag=True, help="Copy what a link at the source leads to")
@click.option("-q", "--quiet", is_flag=True, help="Taken for Docker's sake: nothing is shown")
@click.pass_obj
def cp(
    session: Session, /, *, source: str, target: str, archive: bool, follow_link: bool, quiet: bool
) -> None:
    """Copy files between this host and a container; - is a tar on standard input or output."""
    from swarmctl.containers.copying import parse_place
    from swarmctl.io.copying import copy

    del quiet
    copy(
        session, parse_place(source), parse_place(target), archive=archive, follow=follow_link
    )  # fmt: skip


@click.command("export", cls=Command)
@_one
@click.option("-o", "--output", default="-", metavar="FILE", help="File to write (default: stdout)")
@click.pass_obj
def export(session: Session, /, *, name: str, output: str) -> None:
    """Write a container's files as a tar."""
    from swarmctl.io.archives import write_out

    write_out(session.containers.export(name), output)


@click.command("commit", cls=Command)
@_one
@click.argument("reference", required=False, default="", metavar="[NAME[:TAG]]")
@click.option("-a", "--author", default="", help="Who made it")
@options.changes
@click.option("-m", "--message", default="", help="Remark in the image's history")
@click.option("-p", "--pause/--no-pause", default=True, help="Hold it still meanwhile (default)")
@click.pass_obj
def commit(
    session: Session,
    /,
    *,
    name: str,
    reference: str,
    author: str,
    changes: Sequence[str],
    message: str,
    pause: bool,
) -> None:
    """Make an image of what a container has written."""
    from swarm.api.v1 import containers_pb2
    from swarm.images.reference import parse_reference

    if reference:
        parse_reference(reference)
    session.say(
        session.containers.commit(
            containers_pb2.CommitContainerRequest(
                container=name, reference=reference, author=author, changes=changes,
                message=message, pause=pause,
            )
        )
    )  # fmt: skip


@click.command("prune", cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="label=…, label!=…, until=… (repeatable)",
)  # fmt: skip
@click.pass_obj
def prune(session: Session, /, *, force: bool, filters: Sequence[str]) -> None:
    """Remove the containers that do not run."""
    from swarm.quantities import format_size
    from swarmctl.containers.changes import prunable
    from swarmctl.io.asking import agreed

    chosen = prunable(session.containers.list(), filters, now=session.now())
    if not force and not agreed(_PRUNE):
        return
    answer = session.containers.prune([view.id for view in chosen])
    if answer.removed:
        session.say("Deleted Containers:")
        for name in answer.removed:
            session.say(name)
        session.say("")
    session.say(f"Total reclaimed space: {format_size(answer.reclaimed_bytes)}")


@click.command("stats", cls=Command)
@click.argument("names", nargs=-1, metavar="[CONTAINER...]", shell_complete=completing.containers)
@click.option("-a", "--all", "everything", is_flag=True, help="Also those that do not run")
@click.option("--format", "form", default="", metavar="FORMAT", help="table, json or a Go template")
@click.option("--no-stream", is_flag=True, help="Print one sample and end")
@click.option("--no-trunc", is_flag=True, help="Print ids in full")
@click.pass_obj
def stats(
    session: Session,
    /,
    *,
    names: Sequence[str],
    everything: bool,
    form: str,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """Show what containers of this host use, again every second."""
    show_stats(session, names, everything, form, no_stream=no_stream, no_trunc=no_trunc)


def show_stats(
    session: Session,
    names: Sequence[str],
    everything: bool,
    form: str,
    *,
    no_stream: bool,
    no_trunc: bool,
) -> None:
    """What `stats` shows of these containers, or of all."""
    from swarmctl.io.sampling import follow_containers
    from swarmctl.rows import Detail

    follow_containers(
        session,
        names,
        form=form,
        detail=Detail(full=no_trunc),
        includes_idle=everything,
        is_endless=not no_stream,
    )


def _said(session: Session, name: str, act: Callable[[str], None]) -> None:
    act(name)
    session.say(name)
