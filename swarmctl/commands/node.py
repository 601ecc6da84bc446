"""`swarmctl node ls|ps|inspect|update|promote|demote|rm`."""

from collections.abc import Sequence

import click
import msgspec

from swarm.errors import Invalid
from swarmctl import completing, options
from swarmctl.commands.service import each, show_found
from swarmctl.io.session import Session
from swarmctl.kinds import DURATION
from swarmctl.lazy import Command

SELF = "self"

_nodes = click.argument(
    "nodes", nargs=-1, required=True, metavar="NODE...", shell_complete=completing.nodes
)


@click.command("ls", cls=Command)
@options.listing_flags
@click.pass_obj
def ls(session: Session, /, *, filters: Sequence[str], form: str, quiet: bool) -> None:
    """List the nodes of the swarm; the asterisk is this host."""
    from swarmctl.filters import NODE_TESTS, parse_filters, selected
    from swarmctl.rows import NODES, node_row
    from swarmctl.tables import listed

    parse_filters(filters, known=NODE_TESTS)
    views = selected(session.control.nodes(), filters, NODE_TESTS)
    views.sort(key=lambda view: (view.node.description.hostname, view.node.id))
    self_id = session.daemon.status().node_id
    rows = [node_row(view, self_id=self_id) for view in views]
    session.write(listed(rows, NODES, form=form, quiet=quiet))


@click.command("ps", cls=Command)
@click.argument("nodes", nargs=-1, metavar="[NODE...]", shell_complete=completing.nodes)
@options.task_flags
@click.pass_obj
def ps(
    session: Session,
    /,
    *,
    nodes: Sequence[str],
    filters: Sequence[str],
    form: str,
    quiet: bool,
    no_resolve: bool,
    no_trunc: bool,
) -> None:
    """List the tasks on nodes, or on this host."""
    from swarm.api.v1 import control_pb2
    from swarmctl.filters import TASK_TESTS, parse_filters, selected
    from swarmctl.rows import Detail
    from swarmctl.tables import listed
    from swarmctl.task_rows import listing, task_rows

    parse_filters(filters, known=TASK_TESTS)
    ids = [view.node.id for view in session.control.nodes(named(session, nodes or (SELF,)))]
    views = session.control.tasks(control_pb2.ListTasksRequest(nodes=ids))
    detail = Detail(full=no_trunc, named=not no_resolve)
    found = selected(views, filters, TASK_TESTS)
    rows = task_rows(found, detail, now=session.now())
    session.write(listed(list(rows), listing(found), form=form, quiet=quiet))


@click.command("inspect", cls=Command)
@click.argument(
    "nodes", nargs=-1, required=True, metavar="self|NODE...", shell_complete=completing.nodes
)
@options.inspect_flags
@options.pretty
@click.pass_obj
def inspect(session: Session, /, *, nodes: Sequence[str], form: str, pretty: bool) -> None:
    """Show nodes in full."""
    from swarm.api.v1 import control_pb2
    from swarmctl.details import NODE_OPTIONAL, node_detail
    from swarmctl.inspecting import PRETTY, inspected
    from swarmctl.pretty import pretty_node

    if pretty and form:
        raise Invalid("--pretty and --format exclude each other", hint="leave one of them out")

    def show(views: list[control_pb2.NodeView]) -> None:
        if pretty or form == PRETTY:
            session.write("\n".join(map(pretty_node, views)))
            return
        session.write(inspected(list(map(node_detail, views)), form=form, optional=NODE_OPTIONAL))

    show_found(session, named(session, nodes), session.control.nodes, show)


@click.command("update", cls=Command)
@click.argument("node", metavar="NODE", shell_complete=completing.nodes)
@click.option("--availability", type=options.AVAILABILITIES, help="Whether it takes tasks")
@click.option(
    "--drain-timeout",
    type=DURATION,
    help="How long a drain waits for replacements to start (0s: as long as it takes)",
)
@options.label_pair
@click.option("--role", type=options.ROLES, help="What it is in the swarm")
@options.taint_pair
@click.option("-d", "--detach/--no-detach", help="Do not wait until a drained node is empty")
@click.pass_obj
def update(session: Session, /, *, node: str, detach: bool, **flags: object) -> None:
    """Change a node: pause it, drain it, label it, taint it.

    A drain is watched until no task is left there; Ctrl-C ends the watching, not the drain.
    """
    from swarmctl.io.changing import change_node
    from swarmctl.nodes import NodeFlags, updated

    given = msgspec.convert(flags, NodeFlags)
    [name] = named(session, [node])
    view = change_node(session, name, lambda spec: updated(spec, given))
    session.say(node)
    if given.availability == "drain" and not detach:
        from swarmctl.io.emptying import watch_drain

        watch_drain(session, view.node.id, node)


@click.command("promote", cls=Command)
@_nodes
@click.pass_obj
def promote(session: Session, /, *, nodes: Sequence[str]) -> None:
    """Make workers managers."""
    _change_roles(session, nodes, "manager")


@click.command("demote", cls=Command)
@_nodes
@click.pass_obj
def demote(session: Session, /, *, nodes: Sequence[str]) -> None:
    """Make managers workers."""
    _change_roles(session, nodes, "worker")


@click.command("rm", cls=Command)
@_nodes
@click.option("-f", "--force", is_flag=True, help="Remove a node that still answers")
@click.pass_obj
def rm(session: Session, /, *, nodes: Sequence[str], force: bool) -> None:
    """Take nodes off the list; the swarm refuses their certificates from then on."""

    def remove(name: str) -> None:
        session.control.remove_node(session.control.node(name).node.id, force=force)
        session.say(name)

    each(session, nodes, remove)


def named(session: Session, names: Sequence[str]) -> list[str]:
    """`names` with this host's id for `self`."""
    if SELF not in names:
        return list(names)
    self_id = session.daemon.status().node_id
    if not self_id:
        raise Invalid("this host is not part of a swarm", hint="use `swarmctl init` or `join`")
    return [self_id if name == SELF else name for name in names]


def _change_roles(session: Session, nodes: Sequence[str], role: str) -> None:
    from swarmctl.io.changing import change_node
    from swarmctl.nodes import NodeFlags, updated

    def change(name: str) -> None:
        change_node(session, name, lambda spec: updated(spec, NodeFlags(role=role)))
        session.say(f"Node {name} is a {role} now.")

    each(session, named(session, nodes), change)
