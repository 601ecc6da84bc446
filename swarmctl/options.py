"""Declare the flags that several commands share; those of services are in `service_options`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from swarmctl.kinds import ADDRESS, COUNT, DURATION, IP

if TYPE_CHECKING:
    from swarm.api.v1 import specs_pb2

F = TypeVar("F", bound=Callable[..., object])

AVAILABILITIES = click.Choice(["active", "pause", "drain"])
ROLES = click.Choice(["worker", "manager"])


def waiting_flags(command: F) -> F:
    """Whether to wait until the service has converged."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, help="Show no progress; return as soon as all tasks run"
    )
    return detach(quiet(command))


def detach(command: F) -> F:
    """`--detach`."""
    return click.option(
        "-d", "--detach/--no-detach", help="Return at once instead of waiting for the tasks"
    )(command)


def dry_run(command: F) -> F:
    """`--dry-run`."""
    return click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing")(
        command
    )


def check_revision(command: F) -> F:
    """`--check-revision`."""
    return click.option(
        "--check-revision",
        type=COUNT,
        metavar="REVISION",
        help="Refuse if the service has changed since this revision, as `plan` prints it",
    )(command)


def registry_flags(command: F) -> F:
    """How images are looked up."""
    resolve = click.option(
        "--no-resolve-image", is_flag=True, help="Do not pin the image to its present digest"
    )
    auth = click.option(
        "--with-registry-auth",
        is_flag=True,
        help="Give the login in ~/.docker/config.json to the nodes that pull the image",
    )
    return resolve(auth(command))


def listing_flags(command: F) -> F:
    """How a list is selected and printed."""
    quiet = click.option("-q", "--quiet", is_flag=True, help="Print ids only")
    return filters(form(quiet(command)))


def filters(command: F) -> F:
    """`--filter`."""
    return click.option(
        "-f", "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="Select (repeatable)"
    )(command)


def form(command: F) -> F:
    """`--format` of a list."""
    return click.option(
        "--format",
        "form",
        default="",
        metavar="FORMAT",
        help="table, json, a Go template such as '{{.ID}}', or 'table TEMPLATE'",
    )(command)


def task_flags(command: F) -> F:
    """How tasks are printed."""
    resolve = click.option("--no-resolve", is_flag=True, help="Print ids instead of names")
    whole = click.option("--no-trunc", is_flag=True, help="Print ids and errors in full")
    return listing_flags(resolve(whole(command)))


def inspect_flags(command: F) -> F:
    """How an object is printed in full."""
    return click.option(
        "-f", "--format", "form", default="", metavar="FORMAT", help="json, or a Go template"
    )(command)


def pretty(command: F) -> F:
    """`--pretty`."""
    return click.option("--pretty", is_flag=True, help="Print for people")(command)


def flag_list(command: F, names: tuple[str, ...], metavar: str, text: str) -> F:
    """Add a flag that may be given several times."""
    return click.option(*names, multiple=True, metavar=metavar, help=f"{text} (repeatable)")(
        command
    )


def label_pair(command: F) -> F:
    """`--label-add` and `--label-rm`."""
    command = flag_list(command, ("--label-rm",), "KEY", "Remove a label")
    return flag_list(command, ("--label-add",), "KEY[=VALUE]", "Add or replace a label")


def taint_pair(command: F) -> F:
    """`--taint-add` and `--taint-rm`."""
    command = flag_list(command, ("--taint-rm",), "KEY|TAINT", "Remove taints")
    text = "Keep tasks away: KEY[=VALUE]:no-schedule|prefer-no-schedule|no-execute"
    return flag_list(command, ("--taint-add",), "TAINT", text)


def changes(command: F) -> F:
    """`--change` of an import."""
    return flag_list(command, ("-c", "--change", "changes"), "INSTRUCTION", "CMD, ENV, USER, …")


def daemon_flags(command: F) -> F:
    """What a node daemon that has to be started is given."""
    labels = flag_list(command, ("--label",), "KEY=VALUE", "Engine label of this host")
    registries = flag_list(
        labels, ("--insecure-registry",), "HOST:PORT", "Registry that is asked over plain HTTP"
    )
    registries = flag_list(
        registries,
        ("--node-generic-resource",),
        "KIND=VALUE",
        "What this host has: a count, or the name of one",
    )
    for name, kind, text in (
        ("--cgroup-parent", None, "Where containers' control groups live"),
        ("--hostname", None, "This node's name (default: the host's)"),
        ("--metrics-addr", ADDRESS, "Where metrics are served (default 127.0.0.1:9323)"),
        ("--run-root", None, "Sockets and running state (default /run/swarmd)"),
        ("--data-root", None, "What outlives a reboot (default /var/lib/swarmd)"),
        (
            "--userns-remap",
            None,
            "Ids of the host for the containers' own: default, FIRST:COUNT, USER[:GROUP]",
        ),
        ("--docker-addr", ADDRESS, "Where Docker's clients with a node's certificate come in"),
        ("--docker-socket", None, "Where Docker's clients on this host come in, or none"),
    ):
        registries = click.option(name, type=kind, default="", help=text)(registries)
    return registries


def cluster_flags(command: F) -> F:
    """The swarm's own settings."""
    command = flag_list(command, ("--external-ca",), "CA", "Refused: certificates are our own")
    for name, kind, text in (
        ("--prometheus-url", None, "Where autoscaling asks its queries"),
        ("--task-history-limit", COUNT, "Ended tasks kept per replica (default 5)"),
        ("--dispatcher-heartbeat", DURATION, "Period of heartbeats (default 1s)"),
        ("--cert-expiry", DURATION, "Life of node certificates (default 2160h)"),
    ):
        command = click.option(name, type=kind, help=text)(command)
    for name, text in (
        ("--rebalance-on-join/--no-rebalance-on-join", "Move tasks to nodes that join"),
        ("--autolock/--no-autolock", "Refused: keys are not locked yet"),
    ):
        command = click.option(name, default=None, help=text)(command)
    return command


def pool_flags(command: F) -> F:
    """Where networks get their addresses from, which is settled once."""
    for name, metavar, text in (
        ("--data-path-port", "PORT", "UDP port of the data path between nodes (default 4789)"),
        ("--default-addr-pool-mask-length", "BITS", "Prefix of the subnets (default 24)"),
    ):
        command = click.option(name, type=COUNT, metavar=metavar, help=text)(command)
    return click.option(
        "--default-addr-pool",
        multiple=True,
        metavar="CIDR,...",
        help="Ranges that networks get their subnets from (default 10.0.0.0/8; repeatable)",
    )(command)


def data_path_addr(command: F) -> F:
    """`--data-path-addr`."""
    return click.option(
        "--data-path-addr",
        type=IP,
        default="",
        help="How the tasks of this host are reached by those of others (default: as the host is)",
    )(command)


def not_on_init(command: F) -> F:
    """A flag of Docker's `init` that is refused, with its reason."""
    return click.option("--force-new-cluster", is_flag=True, help="Refused, with the reason")(
        command
    )


def availability(text: str) -> "specs_pb2.Availability.ValueType":
    """The wire's number of a word."""
    from swarm.api.v1 import specs_pb2

    return specs_pb2.Availability.Value(f"AVAILABILITY_{text.upper()}")
