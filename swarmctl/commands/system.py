"""`swarmctl events|status|version|completion`."""

from collections.abc import Sequence

import click

from swarmctl import options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_PROGRAM = "swarmctl"
# What lies in the past arrives at once, and nobody says when that is all.
_SETTLED_S = 0.5
_VARIABLE = "_SWARMCTL_COMPLETE"


@click.command("events", cls=Command)
@options.filters
@click.option("--format", "form", default="", metavar="FORMAT", help="json, or a Go template")
@click.option("--since", default="", metavar="TIME", help="Also what happened since (10m, a time)")
@click.option("--until", default="", metavar="TIME", help="Stop at this time")
@click.pass_obj
def events(
    session: Session, /, *, filters: Sequence[str], form: str, since: str, until: str
) -> None:
    """Follow what happens in the swarm: to its services, tasks and nodes."""
    from swarmctl.filters import EVENT_TESTS, parse_filters, selected
    from swarmctl.happenings import event_line
    from swarmctl.templates import unescaped
    from swarmctl.times import parse_since

    parse_filters(filters, known=EVENT_TESTS)
    now = session.now()
    end = parse_since(until, now=now) if until else None
    start = parse_since(since, now=now) if since else now
    template = unescaped(form)
    found = session.control.events(
        since=start,
        patience=lambda: None if end is None else max(end - session.now(), _SETTLED_S),
    )
    for event in found:
        if end is not None and session.now() >= end and (event is None or event.at > end):
            return
        if event is not None and (end is None or event.at <= end):
            for each in selected([event], filters, EVENT_TESTS):
                session.say(event_line(each, form=template))


@click.command("status", cls=Command)
@options.inspect_flags
@click.pass_obj
def status(session: Session, /, *, form: str) -> None:
    """Show this host's node daemon: its swarm, its addresses, its processes."""
    from swarmctl.inspecting import inspected
    from swarmctl.standing import status_detail, status_text

    answer = session.daemon.status()
    if form:
        text = inspected([status_detail(answer)], form=form)
        session.write(text)
        return
    session.write(status_text(answer, now=session.now()))


@click.command("version", cls=Command)
@options.inspect_flags
@click.pass_obj
def version(session: Session, /, *, form: str) -> None:
    """Show the versions of swarmctl and of the daemon it talks to."""
    from swarm import __version__
    from swarm.errors import SwarmError
    from swarmctl.inspecting import inspected
    from swarmctl.pipes import Value

    failure: SwarmError | None = None
    server = ""
    try:
        server = session.daemon.status().version
    except SwarmError as err:
        failure = err
    if form:
        found: dict[str, Value] = {"Client": {"Version": __version__}}
        found["Server"] = {"Version": server} if server else None
        session.write(inspected([found], form=form))
    else:
        session.say(f"Client: swarmctl {__version__}")
        if server:
            session.say(f"Server: swarmd {server}")
    if failure is not None:
        raise failure


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), metavar="bash|zsh|fish")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a shell's completion.

    To use it, add to ~/.bashrc: eval "$(swarmctl completion bash)"; likewise for zsh. For
    fish: swarmctl completion fish > ~/.config/fish/completions/swarmctl.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, shell
    root = ctx.find_root().command
    source = kind(root, {}, _PROGRAM, _VARIABLE)
    click.echo(source.source_template % source.source_vars())
