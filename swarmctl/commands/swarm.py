"""`swarmctl init|join|join-token|leave|update`."""

import click
import msgspec

from swarmctl import options
from swarmctl.io.session import Session
from swarmctl.kinds import ADDRESS, IP_ADDRESS
from swarmctl.lazy import Command


@click.command("init", cls=Command)
@options.daemon_flags
@click.option("--advertise-addr", type=IP_ADDRESS, default="", help="How others reach this host")
@click.option("--listen-addr", type=ADDRESS, default="", help="Where the manager listens")
@click.option("--availability", type=options.AVAILABILITIES, default="active",
              help="Whether this host takes tasks")  # fmt: skip
@options.data_path_addr
@options.pool_flags
@options.cluster_flags
@options.not_on_init
@click.pass_obj
def init(
    session: Session,
    /,
    *,
    advertise_addr: str,
    listen_addr: str,
    availability: str,
    data_path_addr: str,
    force_new_cluster: bool,
    **flags: object,
) -> None:
    """Make a swarm, with this host as its first manager.

    Starts the node daemon if none is running, and prints the command with which other hosts
    join.
    """
    from swarm.api.v1 import daemon_pb2
    from swarm.codec import to_message
    from swarm.specs import ClusterSpec
    from swarmctl.cluster import ClusterFlags, changed, refuse
    from swarmctl.io.starting import DaemonFlags, running

    refuse(force_new_cluster=force_new_cluster)
    spec = changed(ClusterSpec(), msgspec.convert(flags, ClusterFlags))
    addresses = {"advertise_addr": advertise_addr, "listen_addr": listen_addr}
    request = daemon_pb2.InitRequest(
        advertise_addr=advertise_addr,
        listen_addr=listen_addr,
        availability=options.availability(availability),
        spec=to_message(spec),
        data_path_addr=data_path_addr,
    )
    with running(session, msgspec.convert(flags | addresses, DaemonFlags)):
        answer = session.daemon.init(request)
    session.write(
        f"Swarm initialized: current node ({answer.node_id}) is now a manager.\n\n"
        "To add a worker to this swarm, run the following command:\n\n"
        f"    swarmctl join --token {answer.worker_token} {answer.manager_addr}\n\n"
        "To add a manager to this swarm, run 'swarmctl join-token manager' and follow the "
        "instructions.\n"
    )


@click.command("join", cls=Command)
@click.argument("manager", metavar="HOST:PORT", type=ADDRESS)
@click.option("--token", required=True, help="Join token, as `swarmctl join-token` prints it")
@options.daemon_flags
@click.option("--advertise-addr", type=IP_ADDRESS, default="", help="How others reach this host")
@click.option("--listen-addr", type=ADDRESS, default="", help="Where a manager would listen")
@click.option("--availability", type=options.AVAILABILITIES, default="active",
              help="Whether this host takes tasks")  # fmt: skip
@options.data_path_addr
@click.pass_obj
def join(
    session: Session,
    /,
    *,
    manager: str,
    token: str,
    advertise_addr: str,
    listen_addr: str,
    availability: str,
    data_path_addr: str,
    **flags: object,
) -> None:
    """Make this host part of the swarm that a manager at HOST:PORT is in.

    Starts the node daemon if none is running.
    """
    from swarm.api.v1 import daemon_pb2, specs_pb2
    from swarm.tokens import parse_token
    from swarmctl.io.starting import DaemonFlags, running

    parse_token(token)
    addresses = {"advertise_addr": advertise_addr, "listen_addr": listen_addr}
    request = daemon_pb2.JoinRequest(
        token=token,
        manager_addr=manager,
        advertise_addr=advertise_addr,
        listen_addr=listen_addr,
        availability=options.availability(availability),
        data_path_addr=data_path_addr,
    )
    with running(session, msgspec.convert(flags | addresses, DaemonFlags)):
        answer = session.daemon.join(request)
    role = specs_pb2.Role.Name(answer.role).removeprefix("ROLE_").lower()
    session.say(f"This node joined a swarm as a {role}.")


@click.command("join-token", cls=Command)
@click.argument("role", type=options.ROLES, metavar="worker|manager")
@click.option("-q", "--quiet", is_flag=True, help="Print the token only")
@click.option("--rotate", is_flag=True, help="Make a new token; the old one is refused from now on")
@click.pass_obj
def join_token(session: Session, /, *, role: str, quiet: bool, rotate: bool) -> None:
    """Show the command with which a host joins, or rotate its token."""
    from swarm.api.v1 import control_pb2, specs_pb2

    number = specs_pb2.Role.Value(f"ROLE_{role.upper()}")
    answer = session.control.join_token(control_pb2.GetJoinTokenRequest(role=number, rotate=rotate))
    if quiet:
        session.say(answer.token)
        return
    if rotate:
        session.write(f"Successfully rotated {role} join token.\n\n")
    session.write(
        f"To add a {role} to this swarm, run the following command:\n\n"
        f"    swarmctl join --token {answer.token} {answer.manager_addr}\n\n"
    )


@click.command("update", cls=Command)
@options.cluster_flags
@click.pass_obj
def update(session: Session, /, **flags: object) -> None:
    """Change the swarm's own settings; what is not named stays."""
    from swarm.api.v1 import control_pb2
    from swarm.codec import from_message, to_message
    from swarm.specs import ClusterSpec
    from swarmctl.cluster import ClusterFlags, changed

    given = msgspec.convert(flags, ClusterFlags)
    spec = changed(from_message(ClusterSpec, session.control.cluster().cluster.spec), given)
    session.control.update_cluster(control_pb2.UpdateClusterRequest(spec=to_message(spec)))
    session.say("Swarm updated.")


@click.command("leave", cls=Command)
@click.option("-f", "--force", is_flag=True, help="Leave even if the swarm is lost by that")
@click.pass_obj
def leave(session: Session, /, *, force: bool) -> None:
    """Take this host out of its swarm and stop its tasks."""
    session.daemon.leave(force=force)
    session.say("Node left the swarm.")
