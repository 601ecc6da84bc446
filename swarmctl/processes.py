"""Write processes as ps(1) does, without ps.

Known are `-ef`, `aux` and their like, and `-o FORMAT` with the columns of `COLUMNS`; what ps
has besides is refused by name. Shares of cpu are those of ps: since the process started.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo

from msgspec import Struct

from swarm.api.v1 import control_pb2 as pb
from swarm.errors import Invalid

_HINT = "-ef, aux and -o pid,user,args are known"
_ZOMBIE = "Z"
_DAY_S = 86_400


class Moment(Struct, frozen=True, kw_only=True):
    """When and where the processes were looked at."""

    now: float
    memory_bytes: int
    zone: tzinfo = UTC


Render = Callable[[pb.Process, Moment], str]


class Column(Struct, frozen=True):
    """A column of ps: its heading and its cells."""

    heading: str
    render: Render


def _age(process: pb.Process, moment: Moment) -> float:
    return max(moment.now - process.started_at, 0.0)


def _share(process: pb.Process, moment: Moment) -> float:
    age = _age(process, moment)
    return min(100.0 * process.cpu_s / age, 9999.0) if age > 0 else 0.0


def _command(process: pb.Process, moment: Moment) -> str:
    del moment
    if process.args:
        # A line per process: what would break it is shown as ps shows it.
        return "".join(c if c.isprintable() else "?" for c in " ".join(process.args))
    return f"[{process.name}]" + (" <defunct>" if process.state == _ZOMBIE else "")


def _clock(seconds: float) -> str:
    """[DD-]HH:MM:SS."""
    whole = int(seconds)
    days, rest = divmod(whole, _DAY_S)
    text = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}-{text}" if days else text


def _elapsed(process: pb.Process, moment: Moment) -> str:
    """[[DD-]HH:]MM:SS."""
    age = _age(process, moment)
    return _clock(age) if age >= 3600 else _clock(age)[3:]


def _start(process: pb.Process, moment: Moment) -> str:
    started = datetime.fromtimestamp(process.started_at, moment.zone)
    now = datetime.fromtimestamp(moment.now, moment.zone)
    if started.date() == now.date():
        return started.strftime("%H:%M")
    return started.strftime("%b%d" if started.year == now.year else "%Y")


def _flags(process: pb.Process, moment: Moment) -> str:
    """The state, and what ps adds to it."""
    del moment
    nice = "<" if process.nice < 0 else "N" if process.nice > 0 else ""
    leads = "s" if process.sid == process.pid else ""
    threads = "l" if process.threads > 1 else ""
    return f"{process.state}{nice}{leads}{threads}"


def _minutes(process: pb.Process, moment: Moment) -> str:
    del moment
    return f"{int(process.cpu_s) // 60}:{int(process.cpu_s) % 60:02}"


def _memory_share(process: pb.Process, moment: Moment) -> str:
    total = moment.memory_bytes
    return f"{100 * process.resident_bytes / total:.1f}" if total else "0.0"


def _user(process: pb.Process, moment: Moment) -> str:
    del moment
    return process.user or str(process.uid)


COLUMNS: Mapping[str, Column] = {
    "uid": Column("UID", lambda p, _: str(p.uid)),
    "user": Column("USER", _user),
    "pid": Column("PID", lambda p, _: str(p.pid)),
    "ppid": Column("PPID", lambda p, _: str(p.ppid)),
    "pgid": Column("PGID", lambda p, _: str(p.pgid)),
    "sid": Column("SID", lambda p, _: str(p.sid)),
    "c": Column("C", lambda p, m: str(min(int(_share(p, m)), 99))),
    "pcpu": Column("%CPU", lambda p, m: f"{_share(p, m):.1f}"),
    "pmem": Column("%MEM", _memory_share),
    "vsz": Column("VSZ", lambda p, _: str(p.virtual_bytes // 1024)),
    "rss": Column("RSS", lambda p, _: str(p.resident_bytes // 1024)),
    "tty": Column("TTY", lambda p, _: p.tty),
    "stat": Column("STAT", _flags),
    "s": Column("S", lambda p, _: p.state),
    "start": Column("START", _start),
    "stime": Column("STIME", _start),
    "etime": Column("ELAPSED", _elapsed),
    "etimes": Column("ELAPSED", lambda p, m: str(int(_age(p, m)))),
    "time": Column("TIME", lambda p, _: _clock(p.cpu_s)),
    "bsdtime": Column("TIME", _minutes),
    "ni": Column("NI", lambda p, _: str(p.nice)),
    "pri": Column("PRI", lambda p, _: str(39 - p.priority)),
    "nlwp": Column("NLWP", lambda p, _: str(p.threads)),
    "comm": Column("COMMAND", lambda p, _: p.name),
    "cmd": Column("CMD", _command),
    "args": Column("COMMAND", _command),
}
_ALIASES = {
    "euid": "uid", "euser": "user", "uname": "user", "pgrp": "pgid", "sess": "sid",
    "session": "sid", "%cpu": "pcpu", "%mem": "pmem", "vsize": "vsz", "rssize": "rss",
    "rsz": "rss", "tname": "tty", "tt": "tty", "state": "s", "start_time": "stime",
    "bsdstart": "start", "cputime": "time", "nice": "ni", "thcount": "nlwp", "ucmd": "comm",
    "ucomm": "comm", "command": "args",
}  # fmt: skip

Choice = tuple[tuple[str, Column], ...]
"""Headings and the columns below them."""

_FULL: Choice = (("UID", COLUMNS["user"]), *(
    (COLUMNS[name].heading, COLUMNS[name])
    for name in ("pid", "ppid", "c", "stime", "tty", "time", "cmd")
))  # fmt: skip
_BSD: Choice = tuple(
    (COLUMNS[name].heading, COLUMNS[name])
    for name in (
        "user", "pid", "pcpu", "pmem", "vsz", "rss", "tty", "stat", "start", "bsdtime", "args",
    )
)  # fmt: skip


def chosen(options: Sequence[str]) -> Choice:
    """The columns that the options of ps ask for; `Invalid` names what is not known."""
    formats: list[str] = []
    is_bsd = False
    rest = list(options)
    while rest:
        option = rest.pop(0)
        letters = option.lstrip("-")
        name, equals, value = letters.partition("=")
        if name == "format" and equals:
            formats.append(value)
        elif letters.startswith("o") or (
            letters.endswith("o") and set(letters[:-1]) <= set("aexf")
        ):
            formats.append(_format(option, letters, rest))
        elif letters and set(letters) <= set("aef"):
            continue
        elif letters and set(letters) <= set("auxwef"):
            is_bsd = is_bsd or "u" in letters
        else:
            raise Invalid(f"{option!r}: not an option of ps that top knows", hint=_HINT)
    if formats:
        return tuple(_column(each) for text in formats for each in _listed(text))
    return _BSD if is_bsd else _FULL


def table(processes: Sequence[pb.Process], choice: Choice, moment: Moment) -> list[list[str]]:
    """A heading and a line per process, in the order of their pids."""
    ordered = sorted(processes, key=lambda each: each.pid)
    return [
        [heading for heading, _ in choice],
        *([column.render(each, moment) for _, column in choice] for each in ordered),
    ]


def _format(option: str, letters: str, rest: list[str]) -> str:
    value = "" if letters.endswith("o") else letters[1:]
    if value or rest:
        return value or rest.pop(0)
    raise Invalid(f"{option!r}: which columns?", hint=_HINT)


def _listed(text: str) -> list[str]:
    """`pid,user` or `pid=NAME`, of which the name goes to the end."""
    before, equals, heading = text.partition("=")
    names = before.replace(",", " ").split()
    if equals and names:
        names[-1] += f"={heading}"
    return names


def _column(text: str) -> tuple[str, Column]:
    name, equals, heading = text.partition("=")
    column = COLUMNS.get(_ALIASES.get(name, name))
    if column is None:
        raise Invalid(f"{name!r}: not a column that top knows", hint=f"known: {', '.join(COLUMNS)}")
    return (heading if equals else column.heading), column
