"""Declare the flags of `service create` and `service update`, by what they are about.

Most flags are alike on both and are one table here. A list is one flag on create, and a pair
of `-add` and `-rm` on update: that is the other table. A flag that is absent stays `None`: an
update must not change what it does not name.
"""

from collections.abc import Callable
from typing import NamedTuple

import click

from swarmctl import completing
from swarmctl.kinds import BYTES, COUNT, CPUS, DURATION, INTEGER, NUMBER, SWAP
from swarmctl.lazy import Flag
from swarmctl.options import F

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

CONTAINER = "Container"
FILES = "Files"
HEALTH = "Health"
NETWORK = "Network"
OUTPUT = "Output"
PLACEMENT = "Placement"
REPLICAS = "Replicas and runs"
RESOURCES = "Resources"
RESTARTS = "Restarts and stops"
RIGHTS = "Rights"
ROLLOUTS = "Updates and rollbacks"
SERVICE = "Service"

MODES = click.Choice(["replicated", "global", "replicated-job", "global-job"])
_ACTIONS = click.Choice(["pause", "continue", "rollback"])
_BACK_ACTIONS = click.Choice(["pause", "continue"])
_CATCHUPS = click.Choice(["none", "latest", "all"])
_CONCURRENCIES = click.Choice(["allow", "forbid", "replace"])
_CONDITIONS = click.Choice(["none", "on-failure", "any"])
_ENDPOINTS = click.Choice(["vip", "dnsrr"])
_NAMESPACES = click.Choice(["host", "private"])
_ORDERS = click.Choice(["start-first", "stop-first"])
_STRATEGIES = click.Choice(["spread", "binpack"])


class _One(NamedTuple):
    """A flag with one value."""

    section: str
    names: str
    kind: click.ParamType[object] | None
    help: str


class _List(NamedTuple):
    """A flag that may be repeated; `short` is its letter on create."""

    section: str
    name: str
    metavar: str
    removed: str
    help: str
    short: str = ""
    complete: Complete | None = None


_SHARED: tuple[_One, ...] = (
    _One(CONTAINER, "--entrypoint", None, "Command that replaces the image's entrypoint"),
    _One(CONTAINER, "--hostname", None,
         "Host name of the containers; may hold {{.Task.Slot}} and the like"),
    _One(CONTAINER, "-u,--user", None, "User and group: <name|uid>[:<group|gid>]"),
    _One(CONTAINER, "-w,--workdir", None, "Working directory"),
    _One(CONTAINER, "--isolation", None, "For Windows only; refused"),
    _One(CONTAINER, "--credential-spec", None, "For Windows only; refused"),
    _One(RIGHTS, "--userns", _NAMESPACES, "host keeps a node's own ids where it would remap them"),
    _One(HEALTH, "--health-cmd", None,
         "Command that tells whether a container is well, for its shell"),
    _One(HEALTH, "--health-interval", DURATION, "Time between two checks (default 30s)"),
    _One(HEALTH, "--health-retries", COUNT, "Failures in a row that make it unhealthy (default 3)"),
    _One(HEALTH, "--health-start-interval", DURATION,
         "Time between two checks at the start (default 5s, or the interval if that is less)"),
    _One(HEALTH, "--health-start-period", DURATION,
         "Time to start in which failures do not count"),
    _One(HEALTH, "--health-timeout", DURATION, "Time that one check may take (default 30s)"),
    _One(RESOURCES, "--limit-cpu", CPUS, "Cpus that a task may use at most"),
    _One(RESOURCES, "--limit-memory", BYTES, "Memory that a task may use at most"),
    _One(RESOURCES, "--limit-pids", COUNT,
         "Processes that a task may have at most (0: no limit)"),
    _One(RESOURCES, "--memory-swap", SWAP,
         "Swap on top of --limit-memory (-1: unlimited, default none)"),
    _One(RESOURCES, "--memory-swappiness", INTEGER,
         "How readily the kernel swaps (0-100, -1: as the host; cgroup v1 only)"),
    _One(RESOURCES, "--oom-score-adj", INTEGER,
         "Whom the kernel kills first when memory ends (-1000..1000)"),
    _One(RESOURCES, "--reserve-cpu", CPUS, "Cpus that a node must have free for a task"),
    _One(RESOURCES, "--reserve-memory", BYTES, "Memory that a node must have free for a task"),
    _One(REPLICAS, "--replicas", COUNT, "How many tasks run; of a job, in all (default 1)"),
    _One(REPLICAS, "--max-concurrent", COUNT, "Tasks of a job at a time (default: all)"),
    _One(REPLICAS, "--autoscale", None,
         "min=N,max=N and cpu=PERCENT, memory=PERCENT or prometheus=QUERY:TARGET per replica; "
         "up-window=0s,down-window=5m"),
    _One(REPLICAS, "--max-unavailable", COUNT,
         "Replicas that drains and moves may take down at once (0: no limit)"),
    _One(REPLICAS, "--schedule", None, "When the job runs: a cron expression of 5 fields"),
    _One(REPLICAS, "--schedule-timezone", None, "Time zone of the schedule (default UTC)"),
    _One(REPLICAS, "--schedule-catchup", _CATCHUPS,
         "Which runs are made up for that nobody was there to start (default latest)"),
    _One(REPLICAS, "--schedule-concurrency", _CONCURRENCIES,
         "What becomes of a run that finds an earlier one under way (default allow)"),
    _One(REPLICAS, "--schedule-keep", COUNT, "Runs remembered that went well (default 3)"),
    _One(REPLICAS, "--schedule-keep-failed", COUNT, "Runs remembered that failed (default 1)"),
    _One(PLACEMENT, "--priority", INTEGER,
         "Services of a higher one may take the place of lower ones (default 0)"),
    _One(PLACEMENT, "--replicas-max-per-node", COUNT,
         "How many tasks one node may have (0: no limit)"),
    _One(PLACEMENT, "--strategy", _STRATEGIES,
         "Emptiest nodes first, or the fullest with room (default spread)"),
    _One(RESTARTS, "--restart-condition", _CONDITIONS,
         "Which ends of a task call for another attempt (default any; for jobs on-failure)"),
    _One(RESTARTS, "--restart-delay", DURATION, "Wait before another attempt (default 5s)"),
    _One(RESTARTS, "--restart-max-attempts", COUNT, "Attempts before giving up (0: never give up)"),
    _One(RESTARTS, "--restart-max-delay", DURATION,
         "Double the delay with each end in a row, up to this (default 0s: never)"),
    _One(RESTARTS, "--restart-window", DURATION,
         "Time over which attempts are counted (0s: all time)"),
    _One(RESTARTS, "--stop-grace-period", DURATION,
         "Time to end after the stop signal (default 10s)"),
    _One(RESTARTS, "--stop-signal", None, "Signal that stops the containers"),
    _One(ROLLOUTS, "--update-canary", COUNT,
         "Replicas replaced first, until `service promote` (default 0)"),
    _One(ROLLOUTS, "--update-delay", DURATION, "Wait between two steps of an update (default 0s)"),
    _One(ROLLOUTS, "--update-failure-action", _ACTIONS,
         "What an update does when too many new tasks fail (default pause)"),
    _One(ROLLOUTS, "--update-max-failure-ratio", NUMBER,
         "Share of the replicas that may fail (default 0)"),
    _One(ROLLOUTS, "--update-monitor", DURATION,
         "Time after its start in which a task's failure counts (default 5s)"),
    _One(ROLLOUTS, "--update-order", _ORDERS,
         "Which goes first where a task is replaced (default stop-first)"),
    _One(ROLLOUTS, "--update-parallelism", COUNT,
         "Tasks replaced in one step (default 1, 0: all)"),
    _One(ROLLOUTS, "--rollback-delay", DURATION,
         "Wait between two steps of a rollback (default 0s)"),
    _One(ROLLOUTS, "--rollback-failure-action", _BACK_ACTIONS,
         "What a rollback does when too many tasks fail (default pause)"),
    _One(ROLLOUTS, "--rollback-max-failure-ratio", NUMBER,
         "Share of the replicas that may fail (default 0)"),
    _One(ROLLOUTS, "--rollback-monitor", DURATION,
         "Time after its start in which a task's failure counts (default 5s)"),
    _One(ROLLOUTS, "--rollback-order", _ORDERS,
         "Which goes first where a task is replaced (default stop-first)"),
    _One(ROLLOUTS, "--rollback-parallelism", COUNT,
         "Tasks replaced in one step (default 1, 0: all)"),
    _One(NETWORK, "--endpoint-mode", _ENDPOINTS,
         "What the service's name stands for (default vip)"),
    _One(OUTPUT, "--log-driver", None,
         "json-file (or local) keeps output on the node, none drops it"),
)  # fmt: skip
_SHARED_LISTS = (
    (RIGHTS, "--cap-add", "CAPABILITY",
     "Capability that the containers have besides the default ones"),
    (RIGHTS, "--cap-drop", "CAPABILITY", "Capability that the containers lack; ALL for every one"),
    (RIGHTS, "--security-opt", "OPTION",
     "seccomp=default|unconfined|FILE, no-new-privileges[=BOOL], apparmor=PROFILE"),
    (OUTPUT, "--log-opt", "KEY=VALUE", "max-size=10m or -1, max-file=3"),
)  # fmt: skip
_SWITCHES = (
    (
        CONTAINER,
        "--init/--no-init",
        "Run a small init as process 1 that reaps and forwards signals",
    ),
    (CONTAINER, "-i,--interactive/--no-interactive", "Keep the containers' standard input open"),
    (RIGHTS, "--privileged/--no-privileged", "Take away the fences around the containers"),
    (CONTAINER, "--read-only/--no-read-only", "Mount the containers' root file system read-only"),
    (CONTAINER, "-t,--tty/--no-tty", "Give the containers a terminal"),
)

_LISTS: tuple[_List, ...] = (
    _List(PLACEMENT, "affinity", "AFFINITY", "SERVICE", "Be near another service, or far from it",
          complete=completing.services),
    _List(FILES, "config", "CONFIG", "CONFIG",
          "Config as a file: NAME, or source=NAME,target=/path,uid=0,gid=0,mode=0444",
          complete=completing.configs),
    _List(PLACEMENT, "constraint", "CONSTRAINT", "CONSTRAINT",
          "Where tasks may run, such as node.labels.zone==east"),
    _List(CONTAINER, "container-label", "KEY[=VALUE]", "KEY", "Label of the containers"),
    _List(REPLICAS, "depends-on", "SERVICE[=CONDITION]", "SERVICE",
          "Wait until another service is running, healthy or complete",
          complete=completing.services),
    _List(RIGHTS, "device", "DEVICE", "TARGET", "Device of the host: HOST[:CONTAINER[:rwm]]"),
    _List(NETWORK, "dns", "IP", "IP", "Name server of the containers"),
    _List(NETWORK, "dns-option", "OPTION", "OPTION", "Option of the containers' resolver"),
    _List(NETWORK, "dns-search", "DOMAIN", "DOMAIN",
          "Domain in which the containers look names up"),
    _List(CONTAINER, "env", "NAME[=VALUE]", "NAME", "Environment variable", "e"),
    _List(RESOURCES, "generic-resource", "KIND=N", "KIND",
          "What a node must have free for a task besides, such as gpu=1"),
    _List(CONTAINER, "group", "GROUP", "GROUP", "Supplementary group of the containers' user"),
    _List(NETWORK, "host", "NAME:IP", "NAME[:IP]", "Entry of /etc/hosts"),
    _List(SERVICE, "label", "KEY[=VALUE]", "KEY", "Label of the service", "l"),
    _List(FILES, "mount", "MOUNT", "TARGET", "type=bind|volume|tmpfs,source=…,target=…[,readonly]"),
    _List(NETWORK, "network", "NETWORK", "NETWORK",
          "Network of the tasks: NAME, or name=NAME,alias=ALIAS (default: each node's bridge)",
          complete=completing.networks),
    _List(PLACEMENT, "placement-pref", "PREFERENCE", "PREFERENCE",
          "Spread over an attribute, such as spread=node.labels.zone"),
    _List(PLACEMENT, "platform", "OS/ARCH", "OS/ARCH",
          "Nodes that may run it, such as linux/amd64 (default: what the image is for)"),
    _List(NETWORK, "publish", "PORT", "TARGET[/PROTOCOL]",
          "Port that others reach: [[IP:]PUBLISHED:]TARGET[/PROTOCOL], or "
          "published=8080,target=80,mode=ingress|host,protocol=tcp,ip=IP", "p"),
    _List(FILES, "secret", "SECRET", "SECRET",
          "Secret as a file: NAME, or source=NAME,target=FILE,uid=0,gid=0,mode=0444",
          complete=completing.secrets),
    _List(CONTAINER, "sysctl", "KEY=VALUE", "KEY",
          "Kernel setting of the containers' own namespaces"),
    _List(PLACEMENT, "toleration", "TOLERATION", "KEY",
          "Taint that the tasks bear: KEY[=VALUE][:EFFECT]"),
    _List(CONTAINER, "ulimit", "NAME=SOFT[:HARD]", "NAME",
          "Resource limit of the containers' processes"),
)  # fmt: skip


def shared_flags(command: F) -> F:
    """What create and update know alike."""
    for section, names, kind, text in reversed(_SHARED):
        command = _added(command, section, names, type=kind, help=text)
    for section, name, metavar, text in reversed(_SHARED_LISTS):
        command = _added(command, section, name, **_repeated(metavar, text))
    for section, names, text in reversed(_SWITCHES):
        command = _added(command, section, names, default=None, help=text)
    return _added(command, HEALTH, "--no-healthcheck", is_flag=True, help="Run no health check")


def list_flags(command: F) -> F:
    """The lists of create."""
    text = "Read environment variables from a file"
    command = _added(command, CONTAINER, "--env-file", **_repeated("FILE", text))
    for each in reversed(_LISTS):
        names = f"-{each.short},--{each.name}" if each.short else f"--{each.name}"
        more = _repeated(each.metavar, each.help, each.complete)
        command = _added(command, each.section, names, **more)
    return command


def pair_flags(command: F) -> F:
    """The lists of update."""
    for each in reversed(_LISTS):
        text = f"{each.help[0].lower()}{each.help[1:]}" if each.help[1].islower() else each.help
        more = _repeated(each.removed, f"Remove what --{each.name}-add adds", each.complete)
        command = _added(command, each.section, f"--{each.name}-rm", **more)
        more = _repeated(each.metavar, f"Add or replace: {text}", each.complete)
        command = _added(command, each.section, f"--{each.name}-add", **more)
    return command


def _repeated(metavar: str, text: str, complete: Complete | None = None) -> dict[str, object]:
    return {
        "multiple": True,
        "metavar": metavar,
        "help": f"{text} (repeatable)",
        "shell_complete": complete,
    }


def _added(command: F, section: str, names: str, **settings: object) -> F:
    return click.option(*names.split(","), cls=Flag, section=section, **settings)(command)
