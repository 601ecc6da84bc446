"""List every command and flag once: parsing, help, completion and the manual are made of it.

Names, shapes and meanings are runc's, since podman, conmon, containerd and scripts speak to a
runtime in no other language. Flags that runc has and we do not act upon are here too, so that
giving them is answered with a reason instead of a riddle.
"""

from typing import Final

from msgspec import Struct


class Flag(Struct, frozen=True, kw_only=True):
    """`value` names what follows and is empty for a switch; `many` may be given repeatedly."""

    name: str
    short: str = ""
    value: str = ""
    help: str
    default: str = ""
    many: bool = False
    number: bool = False
    choices: tuple[str, ...] = ()


class Command(Struct, frozen=True, kw_only=True):
    """`most` is the greatest number of arguments, -1 any; `passes` leaves what follows the
    first of them alone, flags too."""

    name: str
    usage: str
    summary: str
    text: str = ""
    flags: tuple[Flag, ...] = ()
    least: int = 0
    most: int = 0
    passes: bool = False


BUNDLE: Final = Flag(
    name="bundle", short="b", value="DIR", help="directory with config.json", default="."
)
CONSOLE_SOCKET: Final = Flag(
    name="console-socket", value="PATH", help="Unix socket that is sent the terminal's master end"
)
PID_FILE: Final = Flag(
    name="pid-file", value="FILE", help="write the process id, as the host sees it, to this file"
)
PRESERVE_FDS: Final = Flag(
    name="preserve-fds",
    value="N",
    number=True,
    help="hand N more descriptors, from 3 on, to the program",
    default="0",
)
FORMAT: Final = Flag(
    name="format",
    short="f",
    value="FORMAT",
    help="table or json",
    default="table",
    choices=("table", "json"),
)
DETACH: Final = Flag(name="detach", short="d", help="return as soon as the program runs")
_CREATION: Final = (
    BUNDLE,
    CONSOLE_SOCKET,
    PID_FILE,
    PRESERVE_FDS,
    Flag(name="no-pivot", help="move the root instead of pivoting to it, as a ramdisk needs"),
    Flag(name="no-new-keyring", help="keep the session keyring of the caller"),
)

GLOBAL: Final = (
    Flag(
        name="root",
        value="DIR",
        help="where containers' state is kept; must not outlive a reboot",
        default="/run/swarm-runtime",
    ),
    Flag(name="log", value="FILE", help="append messages to this file", default="/dev/stderr"),
    Flag(
        name="log-format",
        value="FORMAT",
        help="text or json",
        default="text",
        choices=("text", "json"),
    ),
    Flag(name="debug", help="log what is done, not only what fails"),
    Flag(name="systemd-cgroup", help="refused: control groups are made in the file system"),
    Flag(
        name="rootless",
        value="MODE",
        help="true, false or auto; accepted and of no effect, root is needed",
        default="auto",
        choices=("true", "false", "auto"),
    ),
    Flag(name="criu", value="PATH", help="accepted and of no effect"),
    Flag(name="help", short="h", help="show help"),
    Flag(name="version", short="v", help="print versions"),
)

HELP: Final = Flag(name="help", short="h", help="show help")

_ID: Final = "CONTAINER"

_EXEC_FLAGS: Final = (
    CONSOLE_SOCKET,
    Flag(name="cwd", value="DIR", help="working directory in the container"),
    Flag(name="env", short="e", value="NAME=VALUE", many=True, help="set a variable"),
    Flag(name="tty", short="t", help="give the program a terminal"),
    Flag(name="user", short="u", value="UID[:GID]", help="who the program is"),
    Flag(
        name="additional-gids",
        short="g",
        value="GID",
        many=True,
        number=True,
        help="one more group of the program",
    ),
    Flag(
        name="process", short="p", value="FILE", help="read the process, as OCI has it, from here"
    ),
    DETACH,
    PID_FILE,
    Flag(name="process-label", value="LABEL", help="SELinux label"),
    Flag(name="apparmor", value="PROFILE", help="AppArmor profile"),
    Flag(name="no-new-privs", help="let no set-uid program gain rights"),
    Flag(name="cap", short="c", value="CAP", many=True, help="one more capability"),
    PRESERVE_FDS,
    Flag(
        name="cgroup",
        value="[CONTROLLER:]PATH",
        many=True,
        help="run in this group below the container's",
    ),
    Flag(name="ignore-paused", help="wait in a paused container instead of failing"),
)

_UPDATE_FLAGS: Final = (
    Flag(
        name="resources",
        short="r",
        value="FILE",
        help="read resources, as OCI has them, from here or from standard input (-)",
    ),
    Flag(name="blkio-weight", value="N", number=True, help="share of block IO, 10 to 1000"),
    Flag(name="cpu-period", value="US", number=True, help="length of a CPU quota's period"),
    Flag(name="cpu-quota", value="US", number=True, help="CPU time in each period; -1 unlimited"),
    Flag(name="cpu-burst", value="US", number=True, help="CPU time that may be saved up"),
    Flag(name="cpu-share", value="N", number=True, help="share of CPU time, 2 to 262144"),
    Flag(name="cpu-rt-period", value="US", number=True, help="period of real-time scheduling"),
    Flag(name="cpu-rt-runtime", value="US", number=True, help="real-time in each period"),
    Flag(name="cpu-idle", value="N", number=True, help="1 to run only when nobody else wants to"),
    Flag(name="cpuset-cpus", value="LIST", help="CPUs to run on, such as 0-3,7"),
    Flag(name="cpuset-mems", value="LIST", help="memory nodes to use"),
    Flag(name="memory", value="BYTES", number=True, help="memory limit; -1 unlimited"),
    Flag(name="memory-reservation", value="BYTES", number=True, help="memory kept for it"),
    Flag(
        name="memory-swap",
        value="BYTES",
        number=True,
        help="limit of memory and swap together; -1 unlimited",
    ),
    Flag(name="pids-limit", value="N", number=True, help="most processes at once; -1 unlimited"),
    Flag(name="kernel-memory", value="BYTES", number=True, help="accepted and of no effect"),
    Flag(name="kernel-memory-tcp", value="BYTES", number=True, help="TCP buffers (cgroup v1)"),
    Flag(name="l3-cache-schema", value="SCHEMA", help="refused: no resctrl"),
    Flag(name="mem-bw-schema", value="SCHEMA", help="refused: no resctrl"),
)

COMMANDS: Final = (
    Command(
        name="create",
        usage=_ID,
        summary="make a container whose program waits for start",
        text="The bundle's config.json says what is made. Hooks prestart, createRuntime and\n"
        "createContainer run now.",
        flags=_CREATION,
        least=1,
        most=1,
    ),
    Command(
        name="run",
        usage=_ID,
        summary="create and start a container, and wait for its end",
        text="In the foreground the program has the caller's streams or, if config.json asks for\n"
        "a terminal, one that is tied to the caller's. Signals are passed on. The exit status is\n"
        "the program's, or 128 and the signal that ended it; the container is then deleted.",
        flags=(
            *_CREATION,
            DETACH,
            Flag(name="keep", help="do not delete the container when it ends"),
            Flag(name="no-subreaper", help="leave orphans of the container to the caller"),
        ),
        least=1,
        most=1,
    ),
    Command(
        name="start",
        usage=_ID,
        summary="run the program of a created container",
        text="Returns once the program runs. Hooks startContainer and poststart run now.",
        least=1,
        most=1,
    ),
    Command(
        name="state",
        usage=_ID,
        summary="print a container's state",
        text="The status is creating, created, running, paused or stopped.",
        least=1,
        most=1,
    ),
    Command(
        name="kill",
        usage=f"{_ID} [SIGNAL]",
        summary="send a signal to a container",
        text="SIGNAL is a number or a name, with or without SIG, and TERM if left out.",
        flags=(Flag(name="all", short="a", help="signal every process, not only the first"),),
        least=1,
        most=2,
    ),
    Command(
        name="delete",
        usage=_ID,
        summary="remove what a container has left",
        text="Hooks poststop run now. What a create that was killed left half made goes too.",
        flags=(
            Flag(name="force", short="f", help="kill it first; that there is none is no failure"),
        ),
        least=1,
        most=1,
    ),
    Command(
        name="exec",
        usage=f"{_ID} COMMAND [ARG...]",
        summary="run another program in a container",
        text="It gets what config.json says of the first program, but for what flags change, or\n"
        "all of --process. The exit status is the program's, or 255 if it could not be run.",
        flags=_EXEC_FLAGS,
        least=1,
        most=-1,
        passes=True,
    ),
    Command(name="pause", usage=_ID, summary="stop every process of a container", least=1, most=1),
    Command(name="resume", usage=_ID, summary="have a paused container go on", least=1, most=1),
    Command(
        name="ps",
        usage=f"{_ID} [OPTION OF PS...]",
        summary="list a container's processes",
        text="As a table they are what ps(1) says, -ef unless told otherwise.",
        flags=(FORMAT,),
        least=1,
        most=-1,
        passes=True,
    ),
    Command(
        name="list",
        usage="",
        summary="list the containers below --root",
        flags=(FORMAT, Flag(name="quiet", short="q", help="ids only")),
    ),
    Command(
        name="events",
        usage=_ID,
        summary="report what a container uses, again and again",
        text="Each line is a JSON object. Kills for memory are reported as they happen.",
        flags=(
            Flag(name="interval", value="TIME", help="time between two reports", default="5s"),
            Flag(name="stats", help="report once"),
        ),
        least=1,
        most=1,
    ),
    Command(
        name="update",
        usage=_ID,
        summary="change the limits of a container",
        text="What is not named stays. With --resources other flags are not looked at.",
        flags=_UPDATE_FLAGS,
        least=1,
        most=1,
    ),
    Command(
        name="spec",
        usage="",
        summary="write a config.json to begin with",
        flags=(
            BUNDLE,
            Flag(name="rootless", help="for a user namespace of the caller's own ids"),
        ),
    ),
    Command(name="features", usage="", summary="print what this runtime can do, as OCI has it"),
    Command(name="checkpoint", usage=_ID, summary="refused: not supported", most=-1, passes=True),
    Command(name="restore", usage=_ID, summary="refused: not supported", most=-1, passes=True),
    Command(
        name="completion",
        usage="[bash]",
        summary="print a script that completes commands, flags and containers",
        most=1,
    ),
    Command(name="help", usage="[COMMAND]", summary="show help", most=1),
)


def find(name: str) -> Command | None:
    """The command of this name."""
    return next((each for each in COMMANDS if each.name == name), None)
