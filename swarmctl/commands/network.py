"""`swarmctl network create|ls|inspect|rm|prune|connect|disconnect|check`."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
import msgspec
from click.core import ParameterSource

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

if TYPE_CHECKING:
    from swarm.api.v1 import control_pb2

_one = click.argument("network", metavar="NETWORK", shell_complete=completing.networks)
_task = click.argument("task", metavar="CONTAINER|TASK", shell_complete=completing.programs)
_some = click.argument(
    "names", nargs=-1, required=True, metavar="NETWORK...", shell_complete=completing.networks
)
_INGRESS = (
    "WARNING! Before removing the routing-mesh network, make sure all the nodes in your swarm run "
    "the same version. Ports cannot be published on every node until there is another.\n"
    "Are you sure you want to continue?"
)
_PRUNE = (
    "WARNING! This will remove all custom networks not used by at least one service or task.\n"
    "Are you sure you want to continue?"
)
_NEVER = ("driver_opt", "gw_priority", "link_local_ip")
_SINGLE_LINKS = ("driver_opt", "gw_priority", "ip", "ip6", "link", "link_local_ip")


@click.command("create", cls=Command)
@click.argument("name", metavar="NETWORK")
@click.option("--attachable", is_flag=True, help="Single running tasks may be connected to it")
@click.option("--aux-address", multiple=True, metavar="NAME=IP",
              help="Address that is kept for something else (repeatable)")  # fmt: skip
@click.option("-d", "--driver", default="overlay", metavar="DRIVER",
              help="overlay reaches across nodes, bridge does not (default overlay)")  # fmt: skip
@click.option("--gateway", multiple=True, metavar="IP", help="Gateway of a subnet (repeatable)")
@click.option("--ingress", is_flag=True, help="Make it the network that published ports use")
@click.option("--internal", is_flag=True, help="Give it no way out")
@click.option("--ip-range", multiple=True, metavar="CIDR",
              help="Part of a subnet that tasks get their addresses from (repeatable)")  # fmt: skip
@click.option("--ipam-driver", default="default", metavar="DRIVER",
              help="default, which is the only")  # fmt: skip
@click.option("--ipv6", is_flag=True, help="Give it IPv6 addresses as well")
@click.option("--label", multiple=True, metavar="KEY[=VALUE]", help="Label (repeatable)")
@click.option("-o", "--opt", multiple=True, metavar="KEY[=VALUE]",
              help="encrypted, or mtu=BYTES (repeatable)")  # fmt: skip
@click.option("--scope", type=click.Choice(["swarm", "local"]), default=None,
              help="swarm, or local: of this host (default: swarm, if it is in one)")  # fmt: skip
@click.option("--subnet", multiple=True, metavar="CIDR",
              help="Range of addresses, one of each family (repeatable)")  # fmt: skip
@click.pass_obj
def create(session: Session, /, **flags: object) -> None:
    """Make a network that services can be in, or containers of this host (--scope local)."""
    from swarm.errors import Invalid, Refused
    from swarm.specs import NetworkDriver
    from swarmctl.subnets import NetworkFlags, blamed, network_spec

    scope = flags.pop("scope")
    source = click.get_current_context().get_parameter_source("driver")
    spec = network_spec(msgspec.convert(flags, NetworkFlags))
    is_local = scope == "local" or (not scope and not session.daemon.status().node_id)
    if is_local and source is ParameterSource.DEFAULT:
        spec = msgspec.structs.replace(spec, driver=NetworkDriver.BRIDGE)
    try:
        if not is_local:
            session.say(session.networks.create(spec).network.id)
            return
        answer = session.local_networks.create(spec)
        for warning in answer.warnings:
            session.warn(f"Warning: {warning}")
        session.say(answer.network.network.id)
    except Invalid as err:
        raise Invalid(
            blamed(err.message), hint=err.hint, problems=tuple(map(blamed, err.problems))
        ) from err
    except Refused as err:
        raise Refused(blamed(err.message), hint=err.hint) from err


@click.command("ls", cls=Command)
@options.listing_flags
@click.option("--no-trunc", is_flag=True, help="Print ids in full")
@click.pass_obj
def ls(
    session: Session, /, *, filters: Sequence[str], form: str, quiet: bool, no_trunc: bool
) -> None:
    """List the networks, and those that every node has by itself."""
    from swarmctl.io.showing import Shape
    from swarmctl.io.showing import ls as show
    from swarmctl.networks import NETWORK_TESTS, NETWORKS, built_in, network_rows
    from swarmctl.rows import Detail

    shape = Shape(
        listing=NETWORKS,
        tests=NETWORK_TESTS,
        rows=lambda views: network_rows(
            sorted(views, key=lambda view: view.network.spec.name), Detail(full=no_trunc)
        ),
    )
    show(
        session,
        lambda: [*built_in(), *_local_views(session), *_swarm_views(session)],
        shape,
        filters=filters,
        form=form,
        quiet=quiet,
    )


@click.command("inspect", cls=Command)
@_some
@options.inspect_flags
@click.option("-v", "--verbose", is_flag=True, help="With services, their tasks, and who answers")
@click.pass_obj
def inspect(session: Session, /, *, names: Sequence[str], form: str, verbose: bool) -> None:
    """Show networks in full."""
    from swarm.api.v1 import control_pb2, localnetworks_pb2
    from swarmctl.io.showing import inspect as show
    from swarmctl.networks import (
        built_in,
        built_in_detail,
        is_built_in,
        local_detail,
        network_detail,
    )
    from swarmctl.spec_details import Object

    own = {view.network.id: view for view in built_in()}

    def find(
        some: Sequence[str],
    ) -> list[control_pb2.InspectNetworkResponse | localnetworks_pb2.LocalNetwork]:
        return [
            control_pb2.InspectNetworkResponse(network=own[name])
            if name in own
            else session.local_networks.find(name) or session.networks.inspect(name)
            for name in some
        ]

    def detail(
        answer: control_pb2.InspectNetworkResponse | localnetworks_pb2.LocalNetwork,
    ) -> Object:
        if isinstance(answer, localnetworks_pb2.LocalNetwork):
            return local_detail(answer)
        if is_built_in(answer.network):
            return built_in_detail(answer.network)
        return network_detail(answer, is_verbose=verbose)

    show(session, names, find, detail, form=form)


@click.command("rm", cls=Command)
@_some
@click.option("-f", "--force", is_flag=True, help="Fine when there is none; ask nothing")
@click.pass_obj
def rm(session: Session, /, *, names: Sequence[str], force: bool) -> None:
    """Remove networks that no service, no task and no container uses."""
    from swarm.errors import Missing, Refused
    from swarmctl.commands.service import each
    from swarmctl.io.asking import agreed
    from swarmctl.networks import built_in

    kept = {view.network.id for view in built_in()}

    def remove(name: str) -> None:
        if name in kept:
            raise Refused(
                f"network {name} is every node's own and cannot be removed", hint="leave it out"
            )
        if (local := session.local_networks.find(name)) is not None:
            session.local_networks.remove(local.network.id)
            session.say(name)
            return
        try:
            view = session.networks.one(name)
        except Missing:
            if force:
                return
            raise
        if view.network.spec.ingress and not force and not agreed(_INGRESS):
            return
        session.networks.remove(view.network.id)
        session.say(name)

    each(session, names, remove)


@click.command("prune", cls=Command)
@click.option("-f", "--force", is_flag=True, help="Do not ask")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE",
    help="label=…, label!=…, until=… (repeatable)",
)  # fmt: skip
@click.pass_obj
def prune(session: Session, /, *, force: bool, filters: Sequence[str]) -> None:
    """Remove the networks that no service, no task and no container uses."""
    from swarm.api.v1 import control_pb2
    from swarmctl.filters import parse_filters
    from swarmctl.io.asking import agreed
    from swarmctl.times import parse_since

    wanted = parse_filters(filters, known=("label", "label!", "until"))
    untils = [parse_since(each, now=session.now()) for each in wanted.get("until", ())]
    if not force and not agreed(_PRUNE):
        return
    request = control_pb2.PruneNetworksRequest(
        labels=wanted.get("label", ()),
        not_labels=wanted.get("label!", ()),
        until=min(untils, default=0.0),
    )
    removed = [*_prune_local(session, request)]
    if session.daemon.status().node_id:
        removed += session.networks.prune(request)
    if removed:
        session.say("Deleted Networks:")
        for name in removed:
            session.say(name)
        session.say("")


@click.command("connect", cls=Command)
@_one
@_task
@click.option("--alias", "aliases", multiple=True, metavar="NAME",
              help="Further name of the task in that network (repeatable)")  # fmt: skip
@click.option("--driver-opt", multiple=True, help="Refused, with the reason")
@click.option("--gw-priority", default="", help="Refused, with the reason")
@click.option("--ip", default="", metavar="IP", help="IPv4 address, of a container only")
@click.option("--ip6", default="", metavar="IP", help="IPv6 address, of a container only")
@click.option("--link", multiple=True, metavar="CONTAINER[:ALIAS]",
              help="Know another container by name, of a container only (repeatable)")  # fmt: skip
@click.option("--link-local-ip", multiple=True, help="Refused, with the reason")
@click.pass_obj
def connect(
    session: Session,
    /,
    *,
    network: str,
    task: str,
    aliases: Sequence[str],
    **refused: Any,
) -> None:
    """Put a container of this host, or a running task, into one more network.

    A task may be put into attachable networks of the swarm.
    """
    from swarm.api.v1 import containers_pb2, control_pb2
    from swarm.errors import Invalid

    if _is_standalone(session, task):
        for name in _NEVER:
            if refused[name]:
                raise Invalid(f"--{name.replace('_', '-')} is not supported", hint="leave it out")
        asked = containers_pb2.ContainerNetwork(
            network=network, aliases=aliases, links=refused["link"],
            ipv4_address=refused["ip"], ipv6_address=refused["ip6"],
        )  # fmt: skip
        session.containers.connect(task, asked)
        return
    for name in _SINGLE_LINKS:
        if refused[name]:
            raise Invalid(
                f"--{name.replace('_', '-')} is not supported: the swarm gives addresses and "
                "routes itself",
                hint="leave it out; --alias gives the task a name in the network",
            )
    answer = session.networks.connect(
        control_pb2.ConnectNetworkRequest(network=network, task=task, aliases=aliases)
    )
    if answer.message:
        session.warn(f"Warning: {answer.message}")


@click.command("disconnect", cls=Command)
@_one
@_task
@click.option("-f", "--force", is_flag=True, help="Fine when it is not connected")
@click.pass_obj
def disconnect(session: Session, /, *, network: str, task: str, force: bool) -> None:
    """Take a container or a task out of a network that it was connected to."""
    if _is_standalone(session, task):
        session.containers.disconnect(task, network, force=force)
        return
    session.networks.disconnect(network, task, force=force)


@click.command("check", cls=Command)
@_one
@options.inspect_flags
@click.pass_obj
def check(session: Session, /, *, network: str, form: str) -> None:
    """Have every node of a network probe every other, and tell what is broken."""
    from swarm.errors import Unavailable
    from swarmctl.inspecting import inspected
    from swarmctl.reports import detail, faults, table

    reports = list(session.networks.check(network))
    if form:
        session.write(inspected([detail(each) for each in reports], form=form))
    elif not reports:
        session.say(f"No node has tasks in network {network}.")
    elif not any(each.peers for each in reports) and not faults(reports):
        name = reports[0].hostname or reports[0].node_id
        session.say(f"Only node {name} has tasks in network {network}: there is nobody to probe.")
    else:
        session.write(table(reports))
    if count := faults(reports):
        raise Unavailable(
            f"network {network} has {count} problem{'s' if count > 1 else ''}",
            hint="packets that only small ones pass point to a wrong MTU; none at all, to a "
            "firewall between the nodes' data path addresses",
        )


def _is_standalone(session: Session, name: str) -> bool:
    """Whether a container of this host is meant that is no task's."""
    from swarm.errors import Missing

    try:
        return not session.containers.inspect(name).container.task_id
    except Missing:
        return False


def _swarm_views(session: Session) -> "list[control_pb2.NetworkView]":
    """The swarm's, if this host is in one."""
    return session.networks.list() if session.daemon.status().node_id else []


def _local_views(session: Session) -> "list[control_pb2.NetworkView]":
    from swarmctl.io.local_networks import is_built_in
    from swarmctl.networks import local_view

    return [local_view(each) for each in session.local_networks.list() if not is_built_in(each)]


def _prune_local(session: Session, request: "control_pb2.PruneNetworksRequest") -> Iterator[str]:
    """Remove those of this host that no container is in; their names."""
    from swarmctl.filters import has_label
    from swarmctl.io.local_networks import is_built_in

    for each in session.local_networks.list():
        network = each.network
        labels = network.spec.labels
        is_kept = is_built_in(each) or each.users or each.endpoints
        is_wanted = not request.labels or any(has_label(labels, text) for text in request.labels)
        is_spared = any(has_label(labels, text) for text in request.not_labels)
        is_old = not request.until or network.created_at < request.until
        if not is_kept and is_wanted and not is_spared and is_old:
            session.local_networks.remove(network.id)
            yield network.spec.name
