"""Start this host's node daemon when none listens.

The daemon is a process of its own session, so it outlives the terminal; what it writes goes to
`<data-root>/swarmd.log`. One that is already there, started by systemd or by hand, is taken as
it is, unless it was asked for a different data root or remapping than it has. One that we
started and that then becomes part of no swarm is ended again: a command that failed leaves
nothing running.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from swarm.errors import Refused, SwarmError, Unavailable
from swarmctl.io.channel import is_listening
from swarmctl.io.session import Session

PROGRAM = (sys.executable, "-m", "swarmd.main")
START_WITHIN_S = 20.0
_LOOK_EVERY_S = 0.01
_LOG_LINES = 15


class DaemonFlags(Struct, frozen=True, kw_only=True):
    """What `swarmd` is started with; empty is its own default."""

    data_root: str = ""
    run_root: str = ""
    listen_addr: str = ""
    advertise_addr: str = ""
    metrics_addr: str = ""
    hostname: str = ""
    cgroup_parent: str = ""
    userns_remap: str = ""
    docker_socket: str = ""
    docker_addr: str = ""
    insecure_registry: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    node_generic_resource: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """Where the daemon's log goes."""
        return Path(self.data_root or "/var/lib/swarmd").absolute()

    @property
    def socket(self) -> Path:
        """Where the daemon will listen."""
        return Path(self.run_root or "/run/swarmd").absolute() / "swarmd.sock"


def arguments(flags: DaemonFlags) -> list[str]:
    """The daemon's command line."""
    words: list[str] = []
    for name in (
        "data_root", "run_root", "listen_addr", "advertise_addr", "metrics_addr", "hostname",
        "cgroup_parent", "userns_remap", "docker_socket", "docker_addr",
    ):  # fmt: skip
        value: str = getattr(flags, name)
        if value:
            path = name in ("data_root", "run_root", "docker_socket") and value != "none"
            words += [f"--{name.replace('_', '-')}", str(Path(value).absolute()) if path else value]
    for each in flags.insecure_registry:
        words += ["--insecure-registry", each]
    for each in flags.label:
        words += ["--label", each]
    for each in flags.node_generic_resource:
        words += ["--node-generic-resource", each]
    return words


@contextmanager
def running(
    session: Session, flags: DaemonFlags, *, program: Sequence[str] = PROGRAM
) -> Generator[None, None, None]:
    """Have a daemon for the block, and for ever if the block succeeds."""
    pid = ensure_running(session, flags, program=program)
    try:
        yield
    except SwarmError:
        if pid is not None and not _is_member(session):
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)
        raise


def ensure_running(
    session: Session,
    flags: DaemonFlags,
    *,
    program: Sequence[str] = PROGRAM,
    within_s: float = START_WITHIN_S,
) -> int | None:
    """Return once a daemon listens: its process id if it had to be started.

    `Unavailable` with the end of its log when it does not start.
    """
    if flags.run_root and session.is_default_host:
        session.host = f"unix://{flags.socket}"
    if is_listening(session.host):
        _require_same(session, flags)
        return None
    if session.host.removeprefix("unix://") != str(flags.socket):
        raise Refused(
            f"--host {session.host} is not where the daemon of --run-root "
            f"{flags.socket.parent} would listen",
            hint="give one of --host and --run-root, or make them agree",
        )
    return _start(session, flags, program, within_s)


def _is_member(session: Session) -> bool:
    try:
        return bool(session.daemon.status().node_id)
    except SwarmError:
        return False


def _require_same(session: Session, flags: DaemonFlags) -> None:
    status = session.daemon.status()
    for name, asked, found in (
        ("--data-root", flags.data_root, status.data_root),
        ("--metrics-addr", flags.metrics_addr, status.metrics_addr),
    ):
        wanted = _absolute(asked) if name == "--data-root" else asked
        if wanted and found and wanted != found:
            raise Refused(
                f"a swarmd with {name} {found} is already running here",
                hint=f"leave out {name}, stop that one, or give another --run-root",
            )
    for name, asked, found in (
        ("--docker-socket", flags.docker_socket, status.docker_socket or "none"),
        ("--docker-addr", flags.docker_addr, status.docker_addr),
    ):
        # Whoever asks for a way in must not believe that it is there.
        wanted = asked if asked == "none" or name == "--docker-addr" else _absolute(asked)
        if wanted and wanted != found:
            raise Refused(
                f"a swarmd {f'with {name} {found}' if found else f'without {name}'} is already "
                "running here",
                hint=f"leave out {name}, or start that one again with it",
            )
    if flags.userns_remap not in ("", status.userns_remap):
        # Whoever asks for a fence must not be left without one and in the belief of having it.
        has = f"with --userns-remap {status.userns_remap}"
        raise Refused(
            f"a swarmd {has if status.userns_remap else 'without --userns-remap'} is already "
            "running here",
            hint="leave out --userns-remap, stop that one, or give another --run-root",
        )


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def _start(session: Session, flags: DaemonFlags, program: Sequence[str], within_s: float) -> int:
    log = flags.data / "swarmd.log"
    try:
        flags.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            start = output.tell()
            child = subprocess.Popen(
                [*program, *arguments(flags)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                cwd="/",
            )
    except OSError as err:
        raise Refused(
            f"cannot start swarmd: {err.filename or log}: {err.strerror}",
            hint="run swarmctl as root, or choose another --data-root",
        ) from err
    deadline = time.monotonic() + within_s
    while not is_listening(session.host):
        code = child.poll()
        if code is not None:
            raise Unavailable(
                f"swarmd ended with status {code} instead of starting{_said(log, start)}",
                hint=f"its log is {log}",
            )
        if time.monotonic() > deadline:
            child.terminate()
            child.wait()
            raise Unavailable(
                f"swarmd did not listen within {within_s:.0f} s{_said(log, start)}",
                hint=f"its log is {log}",
            )
        time.sleep(_LOOK_EVERY_S)
    return child.pid


def _said(log: Path, start: int) -> str:
    try:
        with log.open("rb") as source:
            source.seek(start)
            lines = source.read().decode(errors="replace").splitlines()[-_LOG_LINES:]
    except OSError:
        return ""
    return "".join(f"\n  {line}" for line in (["; it said:", *lines] if lines else []))
