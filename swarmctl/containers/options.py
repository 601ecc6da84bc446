"""Declare the flags of `run` and `create`, which are Docker's, by what they are about."""

from collections.abc import Callable
from typing import NamedTuple

import click

from swarmctl import completing
from swarmctl.kinds import BYTES, COUNT, CPUS, DURATION, INTEGER, IP, SWAP
from swarmctl.lazy import Flag
from swarmctl.options import F

Complete = Callable[[click.Context, click.Parameter, str], list[str]]

CONTAINER = "Container"
FILES = "Files"
HEALTH = "Health"
NETWORK = "Network"
OUTPUT = "Output"
RESOURCES = "Resources"
RESTARTS = "Restarts and stops"
RIGHTS = "Rights"


class _One(NamedTuple):
    """A flag with one value."""

    section: str
    names: str
    kind: click.ParamType[object] | None
    help: str


class _List(NamedTuple):
    """A flag that may be repeated."""

    section: str
    names: str
    metavar: str
    help: str
    complete: Complete | None = None


_ONES: tuple[_One, ...] = (
    _One(CONTAINER, "--name", None, "Name of the container (default: one is made up)"),
    _One(CONTAINER, "--entrypoint", None, "Program that replaces the image's entrypoint"),
    _One(CONTAINER, "-h,--hostname", None, "Host name of the container"),
    _One(CONTAINER, "--domainname", None, "Domain name of the container"),
    _One(CONTAINER, "-u,--user", None, "User and group: <name|uid>[:<group|gid>]"),
    _One(CONTAINER, "-w,--workdir", None, "Working directory"),
    _One(CONTAINER, "--pid", None, "Process ids: host, or container:NAME to share"),
    _One(CONTAINER, "--ipc", None, "Shared memory: private, shareable, none, host, container:NAME"),
    _One(CONTAINER, "--uts", None, "Host name's namespace: host shares the host's"),
    _One(CONTAINER, "--cgroupns", None, "Control groups seen: private or host"),
    _One(CONTAINER, "--shm-size", BYTES, "Size of /dev/shm (default 64m)"),
    _One(RIGHTS, "--userns", None, "host keeps the host's ids where it would remap them"),
    _One(NETWORK, "--ip", IP, "IPv4 address of the container in its network"),
    _One(NETWORK, "--ip6", IP, "IPv6 address of the container in its network"),
    _One(NETWORK, "--mac-address", None, "MAC address of the container"),
    _One(HEALTH, "--health-cmd", None,
         "Command that tells whether the container is well, for its shell"),
    _One(HEALTH, "--health-interval", DURATION, "Time between two checks (default 30s)"),
    _One(HEALTH, "--health-retries", COUNT, "Failures in a row that make it unhealthy (default 3)"),
    _One(HEALTH, "--health-start-interval", DURATION, "Time between two checks at the start"),
    _One(HEALTH, "--health-start-period", DURATION,
         "Time to start in which failures do not count"),
    _One(HEALTH, "--health-timeout", DURATION, "Time that one check may take (default 30s)"),
    _One(RESTARTS, "--restart", None, "no, on-failure[:TIMES], always or unless-stopped"),
    _One(RESTARTS, "--stop-signal", None, "Signal that stops the container"),
    _One(RESTARTS, "--stop-timeout", COUNT, "Seconds to end after the stop signal (default 10)"),
    _One(OUTPUT, "--log-driver", None, "json-file, local or none"),
    _One(RESOURCES, "--blkio-weight", COUNT, "Weight for block devices (10-1000; 0: none)"),
    _One(RESOURCES, "--cpu-period", COUNT, "Period of the cpu quota, in microseconds"),
    _One(RESOURCES, "--cpu-quota", INTEGER, "Cpu time in each period, in microseconds"),
    _One(RESOURCES, "-c,--cpu-shares", COUNT, "Weight among those that want cpu (default 1024)"),
    _One(RESOURCES, "--cpus", CPUS, "Cpus that it may use at most"),
    _One(RESOURCES, "--cpuset-cpus", None, "Cpus that it may run on, such as 0-2,4"),
    _One(RESOURCES, "--cpuset-mems", None, "Memory nodes that it may use"),
    _One(RESOURCES, "-m,--memory", BYTES, "Memory that it may use at most"),
    _One(RESOURCES, "--memory-reservation", BYTES, "Memory left to it when there is little"),
    _One(RESOURCES, "--memory-swap", SWAP,
         "Memory and swap together (-1: unlimited; default: twice the memory)"),
    _One(RESOURCES, "--memory-swappiness", INTEGER, "How readily the kernel swaps (0-100)"),
    _One(RESOURCES, "--oom-score-adj", INTEGER,
         "Whom the kernel kills first when memory ends (-1000..1000)"),
    _One(RESOURCES, "--pids-limit", INTEGER, "Processes at most (-1: no limit)"),
)  # fmt: skip

_LISTS: tuple[_List, ...] = (
    _List(CONTAINER, "-e,--env", "NAME[=VALUE]", "Environment variable"),
    _List(CONTAINER, "--env-file", "FILE", "Read environment variables from a file"),
    _List(CONTAINER, "-l,--label", "KEY[=VALUE]", "Label of the container"),
    _List(CONTAINER, "--label-file", "FILE", "Read labels from a file"),
    _List(CONTAINER, "--annotation", "KEY=VALUE", "Annotation for whoever looks at the host"),
    _List(CONTAINER, "--group-add", "GROUP", "Supplementary group of the user"),
    _List(CONTAINER, "--sysctl", "KEY=VALUE", "Kernel setting of the container's namespaces"),
    _List(CONTAINER, "--ulimit", "NAME=SOFT[:HARD]", "Resource limit of its processes"),
    _List(FILES, "-v,--volume", "[SOURCE:]TARGET[:OPTIONS]", "Mount a directory or a volume"),
    _List(FILES, "--mount", "MOUNT", "type=bind|volume|tmpfs,source=…,target=…[,readonly]"),
    _List(FILES, "--tmpfs", "TARGET[:OPTIONS]", "Mount memory; size= and mode= as in mount(8)"),
    _List(FILES, "--volumes-from", "CONTAINER[:ro]", "Mount what another container has mounted",
          completing.containers),
    _List(NETWORK, "--network", "NETWORK",
          "bridge, host, none, container:NAME, or a network: NAME, or "
          "name=NAME,alias=ALIAS,ip=IP", completing.networks),
    _List(NETWORK, "--network-alias", "NAME", "Further name of the container in its network"),
    _List(NETWORK, "-p,--publish", "PORT", "Port of this host: [[IP:]PUBLISHED:]TARGET[/PROTOCOL]"),
    _List(NETWORK, "--expose", "PORT[/PROTOCOL]", "Port that -P publishes"),
    _List(NETWORK, "--link", "CONTAINER[:ALIAS]", "Know another container by name",
          completing.containers),
    _List(NETWORK, "--add-host", "NAME:IP", "Entry of /etc/hosts"),
    _List(NETWORK, "--dns", "IP", "Name server"),
    _List(NETWORK, "--dns-option", "OPTION", "Option of the resolver, such as ndots:2"),
    _List(NETWORK, "--dns-search", "DOMAIN", "Domain that names are looked up in"),
    _List(OUTPUT, "--log-opt", "KEY=VALUE", "Option of the log driver: max-size, max-file"),
    _List(RIGHTS, "--cap-add", "CAPABILITY", "Add a capability, or ALL"),
    _List(RIGHTS, "--cap-drop", "CAPABILITY", "Drop a capability, or ALL"),
    _List(RIGHTS, "--device", "HOST[:CONTAINER[:rwm]]", "Device of the host"),
    _List(RIGHTS, "--device-cgroup-rule", "RULE", "Devices it may use, such as 'c 42:* rmw'"),
    _List(RIGHTS, "--security-opt", "OPTION",
          "seccomp=FILE|unconfined, apparmor=PROFILE or no-new-privileges"),
)  # fmt: skip

_SWITCHES: tuple[tuple[str, str, str], ...] = (
    (CONTAINER, "--init", "Have a small first process look after the others"),
    (CONTAINER, "-i,--interactive", "Keep standard input open"),
    (CONTAINER, "-t,--tty", "Give the program a terminal"),
    (CONTAINER, "--read-only", "Let nothing be written but to mounts"),
    (HEALTH, "--no-healthcheck", "Run no health check"),
    (NETWORK, "-P,--publish-all", "Publish every exposed port on some port of this host"),
    (RESOURCES, "--oom-kill-disable", "Have it wait for memory instead of being killed"),
    (RESTARTS, "--rm", "Remove the container when it has ended"),
    (RIGHTS, "--privileged", "Take away every fence but the namespaces"),
)


def container_flags(command: F) -> F:
    """What `run` and `create` know alike."""
    for section, names, kind, text in reversed(_ONES):
        command = _added(command, section, names, type=kind, help=text)
    for section, names, metavar, text, complete in reversed(_LISTS):
        command = _added(
            command, section, names, multiple=True, metavar=metavar,
            help=f"{text} (repeatable)", shell_complete=complete,
        )  # fmt: skip
    for section, names, text in reversed(_SWITCHES):
        command = _added(command, section, names, is_flag=True, help=text)
    return command


def _added(command: F, section: str, names: str, **settings: object) -> F:
    return click.option(*names.split(","), cls=Flag, section=section, **settings)(command)
