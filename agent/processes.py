"""Read what the kernel tells of a process in /proc/PID/stat and /proc/PID/status.

The name may hold spaces and brackets, so the fields of `stat` are counted from its last
bracket (proc(5)). Times there are ticks since the host started.
"""

from collections.abc import Mapping

from msgspec import Struct

_PTS_MAJOR, _PTS_MAJORS = 136, 8
_TTY_MAJOR, _CONSOLE_MAJOR = 4, 5
_FIRST_SERIAL = 64


class Clock(Struct, frozen=True, kw_only=True):
    """How this host counts: `booted_at` is seconds since the epoch."""

    booted_at: float
    ticks_per_s: int
    page_bytes: int


class Process(Struct, frozen=True, kw_only=True):
    """One process as its node sees it; mirrors the message of that name in control.proto."""

    pid: int
    ppid: int
    uid: int
    user: str
    state: str
    tty: str
    started_at: float
    cpu_s: float
    resident_bytes: int
    virtual_bytes: int
    priority: int
    nice: int
    threads: int
    pgid: int
    sid: int
    name: str
    args: tuple[str, ...]


def read_process(
    stat: str, status: str, cmdline: bytes, *, users: Mapping[int, str], clock: Clock
) -> Process:
    """The process that these files are of; `users` names the node's uids."""
    start, end = stat.index("("), stat.rindex(")")
    fields = stat[end + 2 :].split()
    uid = effective_uid(status)
    return Process(
        pid=int(stat[:start]),
        ppid=int(fields[1]),
        uid=uid,
        user=users.get(uid, str(uid)),
        state=fields[0],
        tty=terminal(int(fields[4])),
        started_at=clock.booted_at + int(fields[19]) / clock.ticks_per_s,
        cpu_s=(int(fields[11]) + int(fields[12])) / clock.ticks_per_s,
        resident_bytes=int(fields[21]) * clock.page_bytes,
        virtual_bytes=int(fields[20]),
        priority=int(fields[15]),
        nice=int(fields[16]),
        threads=int(fields[17]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        name=stat[start + 1 : end],
        args=words(cmdline),
    )


def effective_uid(status: str) -> int:
    """The uid that the process acts as; 0 if the kernel does not say."""
    for line in status.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[2])
    return 0


def terminal(number: int) -> str:
    """The name of a terminal by its device number, `?` for none."""
    major, minor = number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00
    if _PTS_MAJOR <= major < _PTS_MAJOR + _PTS_MAJORS:
        return f"pts/{(major - _PTS_MAJOR) * 256 + minor}"
    if major == _TTY_MAJOR:
        return f"tty{minor}" if minor < _FIRST_SERIAL else f"ttyS{minor - _FIRST_SERIAL}"
    if major == _CONSOLE_MAJOR and minor == 1:
        return "console"
    return "?"


def words(cmdline: bytes) -> tuple[str, ...]:
    """The arguments; none of a zombie or of a thread of the kernel."""
    text = cmdline.rstrip(b"\0").decode(errors="replace")
    return tuple(text.split("\0")) if text else ()


def boot_time(stat: str) -> float:
    """When the host started, by /proc/stat."""
    for line in stat.splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    return 0.0


def user_names(passwd: str) -> dict[int, str]:
    """The names of uids, by /etc/passwd; the first of several counts."""
    found: dict[int, str] = {}
    for line in passwd.splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2].isdigit():
            found.setdefault(int(fields[2]), fields[0])
    return found
