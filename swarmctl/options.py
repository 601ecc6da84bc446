"""Declare the flags that several commands share.

`service create` and `service update` know most flags alike; those are one table here. A flag
that is absent stays `None`: an update must not change what it does not name.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from swarmctl.kinds import ADDRESS, BYTES, COUNT, CPUS, DURATION, INTEGER, SWAP

if TYPE_CHECKING:
    from swarm.api.v1 import specs_pb2

F = TypeVar("F", bound=Callable[..., object])

CONDITIONS = click.Choice(["none", "on-failure", "any"])
AVAILABILITIES = click.Choice(["active", "pause", "drain"])
NAMESPACES = click.Choice(["host", "private"])
ROLES = click.Choice(["worker", "manager"])

_SHARED: tuple[tuple[tuple[str, ...], click.ParamType[object] | None, str], ...] = (
    (("--entrypoint",), None, "Command that replaces the image's entrypoint"),
    (("--health-cmd",), None, "Command that tells whether a container is well, for its shell"),
    (("--health-interval",), DURATION, "Time between two checks (default 30s)"),
    (("--health-retries",), COUNT, "Failures in a row that make it unhealthy (default 3)"),
    (("--health-start-interval",), DURATION, "Time between two checks at the start (default 5s)"),
    (("--health-start-period",), DURATION, "Time to start in which failures do not count"),
    (("--health-timeout",), DURATION, "Time that one check may take (default 30s)"),
    (("--hostname",), None, "Host name of the containers; may hold {{.Task.Slot}} and the like"),
    (("--limit-cpu",), CPUS, "Cpus that a task may use at most"),
    (("--limit-memory",), BYTES, "Memory that a task may use at most"),
    (("--limit-pids",), COUNT, "Processes that a task may have at most (0: no limit)"),
    (("--memory-swap",), SWAP, "Swap on top of --limit-memory (-1: unlimited, default none)"),
    (("--oom-score-adj",), INTEGER, "Whom the kernel kills first when memory ends (-1000..1000)"),
    (("--replicas",), COUNT, "How many tasks run"),
    (("--replicas-max-per-node",), COUNT, "How many tasks one node may have (0: no limit)"),
    (("--reserve-cpu",), CPUS, "Cpus that a node must have free for a task"),
    (("--reserve-memory",), BYTES, "Memory that a node must have free for a task"),
    (("--restart-condition",), CONDITIONS, "Which ends of a task call for another attempt"),
    (("--restart-delay",), DURATION, "Wait before another attempt (default 5s)"),
    (("--restart-max-attempts",), COUNT, "Attempts before giving up (0: never give up)"),
    (("--restart-window",), DURATION, "Time over which attempts are counted (0s: all time)"),
    (("--stop-grace-period",), DURATION, "Time to end after the stop signal (default 10s)"),
    (("--stop-signal",), None, "Signal that stops the containers"),
    (("--update-delay",), DURATION, "Wait between two steps of an update (default 0s)"),
    (("--update-parallelism",), COUNT, "Tasks replaced in one step (default 1, 0: all)"),
    (("-u", "--user"), None, "User and group: <name|uid>[:<group|gid>]"),
    (("--userns",), NAMESPACES, "host keeps a node's own ids where it would remap them"),
    (("-w", "--workdir"), None, "Working directory"),
)
_SHARED_LISTS = (
    (("--cap-add",), "CAPABILITY", "Capability that the containers have besides the default ones"),
    (("--cap-drop",), "CAPABILITY", "Capability that the containers lack; ALL for every one"),
    (("--security-opt",), "OPTION", "seccomp=default|unconfined|FILE, no-new-privileges[=BOOL], "
     "apparmor=PROFILE"),
)  # fmt: skip
_SWITCHES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("--init/--no-init",), "Run a small init as process 1 that reaps and forwards signals"),
    (("-i", "--interactive/--no-interactive"), "Keep the containers' standard input open"),
    (("--privileged/--no-privileged",), "Take away the fences around the containers"),
    (("--read-only/--no-read-only",), "Mount the containers' root file system read-only"),
    (("-t", "--tty/--no-tty"), "Give the containers a terminal"),
)


def service_flags(command: F) -> F:
    """What create and update share."""
    for names, kind, text in reversed(_SHARED):
        command = click.option(*names, type=kind, help=text)(command)
    for names, metavar, text in reversed(_SHARED_LISTS):
        command = flag_list(command, names, metavar, text)
    for names, text in reversed(_SWITCHES):
        command = click.option(*names, default=None, help=text)(command)
    return click.option("--no-healthcheck", is_flag=True, help="Run no health check")(command)


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


def registry_flags(command: F) -> F:
    """How images are looked up."""
    resolve = click.option(
        "--no-resolve-image", is_flag=True, help="Do not pin the image to its present digest"
    )
    auth = click.option(
        "--with-registry-auth", is_flag=True, help="Use the login in ~/.docker/config.json"
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


def changes(command: F) -> F:
    """`--change` of an import."""
    return flag_list(command, ("-c", "--change", "changes"), "INSTRUCTION", "CMD, ENV, USER, …")


def daemon_flags(command: F) -> F:
    """What a node daemon that has to be started is given."""
    labels = flag_list(command, ("--label",), "KEY=VALUE", "Engine label of this host")
    registries = flag_list(
        labels, ("--insecure-registry",), "HOST:PORT", "Registry that is asked over plain HTTP"
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
    ):
        registries = click.option(name, type=kind, default="", help=text)(registries)
    return registries


def availability(text: str) -> "specs_pb2.Availability.ValueType":
    """The wire's number of a word."""
    from swarm.api.v1 import specs_pb2

    return specs_pb2.Availability.Value(f"AVAILABILITY_{text.upper()}")
