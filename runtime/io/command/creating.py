"""Make a container out of a bundle, up to the moment where its program could run.

Its record is written before anything is made, and again as soon as process 1 exists, so that
whoever finds it half made can undo it. A creation that fails undoes itself and runs the hooks
of the end, as the specification asks.
"""

# Plain strings: pathlib would cost every command time.
# ruff: noqa: PTH100, PTH105, PTH108, PTH112, PTH118, PTH119, PTH120

import contextlib
import os
from _socket import AF_UNIX, SOCK_STREAM, SocketType
from typing import Final

import msgspec
from msgspec import Struct

from runtime.command.parsing import Options
from runtime.command.record import GATE, Record, check_id, group_of, state_json, timeless_state
from runtime.io import sockets
from runtime.io.command import ending
from runtime.io.command.caller import Caller
from runtime.io.command.messages import now
from runtime.io.command.observing import identify, own_id
from runtime.io.command.placing import place_of
from runtime.io.command.signalling import members
from runtime.io.command.store import Held
from runtime.io.hooks import run_hook
from runtime.io.spawning import Stdio, spawn
from runtime.oci.config import Config, Namespace, Process
from runtime.oci.reading import read_config
from runtime.oci.state import Status
from runtime.plan import Extras, make_plan
from swarm.errors import Invalid, Missing, Refused

_BACKLOG: Final = 4
_SYSTEMD_FDS: Final = "LISTEN_FDS"


class Wanted(Struct, frozen=True, kw_only=True):
    """What is to be made, and how. `console` is a socket for the terminal, or -1."""

    config: Config
    record: Record
    console: int
    preserve_fds: int
    no_pivot: bool
    no_new_keyring: bool
    pid_file: str


def read_bundle(options: Options) -> tuple[str, Config]:
    """The bundle's directory and what its config.json says. Raises `Invalid`, `Missing`."""
    bundle = os.path.abspath(options.text("bundle"))
    try:
        with open(f"{bundle}/config.json", "rb") as file:
            text = file.read()
    except FileNotFoundError as err:
        raise Missing(
            f"no config.json in {bundle}", hint="--bundle names the directory it is in"
        ) from err
    except OSError as err:
        reason = (err.strerror or "").lower()
        raise Invalid(f"cannot read {bundle}/config.json: {reason}") from err
    config = read_config(text)
    if config.root is None:
        raise Invalid("root: must be set")
    return bundle, config


def want(
    container_id: str, bundle: str, config: Config, options: Options, *, console: int
) -> Wanted:
    """Put together what the bundle and the flags say. Raises `Invalid`."""
    check_id(container_id)
    assert config.root is not None
    rootfs = os.path.realpath(os.path.join(bundle, config.root.path))
    if not os.path.isdir(rootfs):
        raise Invalid(f"root.path: no such directory: {rootfs}", hint="unpack the image there")
    linux = config.linux
    has_program = config.process is not None
    if config.process is None:
        config = msgspec.structs.replace(config, process=Process())
    record = Record(
        id=container_id,
        version=config.oci_version,
        bundle=bundle,
        rootfs=rootfs,
        group=group_of(linux.cgroups_path if linux else "", container_id),
        created=now(),
        owner=os.geteuid(),
        annotations=config.annotations,
        hooks=config.hooks,
        shares_pids=Namespace(type="pid") not in (linux.namespaces if linux else ()),
        creator=own_id(),
        has_program=has_program,
    )
    config, preserve_fds = _with_listen_fds(config, options.number("preserve-fds"))
    return Wanted(
        config=config,
        record=record,
        console=console,
        preserve_fds=preserve_fds,
        no_pivot=options.is_on("no-pivot"),
        no_new_keyring=options.is_on("no-new-keyring"),
        pid_file=options.text("pid-file"),
    )


def check_preserved(count: int) -> None:
    """Before we open any ourselves: only what the caller handed on may be handed on."""
    if count < 0:
        raise Invalid(f"--preserve-fds: must not be negative, is {count}")
    for descriptor in range(3, 3 + count):
        try:
            os.fstat(descriptor)
        except OSError as err:
            raise Invalid(
                f"--preserve-fds: descriptor {descriptor} is not open",
                hint=f"{count} were promised, from 3 on",
            ) from err


def _with_listen_fds(config: Config, preserve_fds: int) -> tuple[Config, int]:
    """Pass on the sockets that systemd passed to us (sd_listen_fds(3)): they come first."""
    count = os.environ.get(_SYSTEMD_FDS, "")
    process = config.process
    if not count.isdecimal() or int(count) == 0 or process is None:
        return config, preserve_fds
    env = (*process.env, f"{_SYSTEMD_FDS}={int(count)}", "LISTEN_PID=1")
    process = msgspec.structs.replace(process, env=env)
    return msgspec.structs.replace(config, process=process), preserve_fds + int(count)


def create(caller: Caller, wanted: Wanted) -> tuple[Held, int]:
    """The container, still held, and its process 1 on the host.

    Raises `Refused` if there is one of this id, or what the step that failed says.
    """
    held = _claim(caller, wanted)
    try:
        _check_group(caller, wanted)
        pid = _make(caller, held, wanted)
        if wanted.pid_file:
            write_pid_file(wanted.pid_file, pid)
        held.save(msgspec.structs.replace(held.record, is_complete=True))
    except BaseException:  # also if we are interrupted
        with contextlib.suppress(OSError), held:
            ending.erase(caller, held)
        raise
    return held, pid


def _check_group(caller: Caller, wanted: Wanted) -> None:
    """Somebody else's group is not to be limited by us, nor to be removed when we are done."""
    found = members(caller.layout, wanted.record.group)
    if found:
        raise Refused(
            f"linux.cgroupsPath: group /{wanted.record.group} is in use by process {found[0]}",
            hint="choose another path, or delete the container that is in it",
        )


def _claim(caller: Caller, wanted: Wanted) -> Held:
    text = msgspec.json.encode(wanted.config)
    try:
        return caller.store.claim(wanted.record, text)
    except Refused:
        if not ending.settle(caller, caller.store.read(wanted.record.id)):
            raise
    return caller.store.claim(wanted.record, text)


def _make(caller: Caller, held: Held, wanted: Wanted) -> int:
    with contextlib.closing(SocketType(AF_UNIX, SOCK_STREAM)) as gate:
        sockets.bind(gate, f"{held.directory}/{GATE}", _BACKLOG)
        inode = os.fstat(gate.fileno()).st_ino
        held.save(msgspec.structs.replace(held.record, gate=inode))
        extras = Extras(
            no_pivot=wanted.no_pivot,
            no_new_keyring=wanted.no_new_keyring,
            state=timeless_state(held.record).decode(),
        )
        spawned = spawn(
            make_plan(wanted.config, place_of(caller, held.record), extras),
            Stdio(0, 1, 2, wanted.console),
            gate=gate,
            on_created=lambda pid: _created(held, pid),
            preserve_fds=wanted.preserve_fds,
        )
    return spawned.pid


def _created(held: Held, pid: int) -> None:
    """Process 1 is there: from now on it may have to be killed. Then the hooks may see it."""
    held.save(msgspec.structs.replace(held.record, init=identify(pid)))
    hooks, bundle = held.record.hooks, held.record.bundle
    # Hooks of the older kind were called by `start` once, and are still told so.
    for kind, each, status in (
        ("prestart", hooks.prestart, Status.CREATED),
        ("createRuntime", hooks.create_runtime, Status.CREATING),
    ):
        state = state_json(held.record, status)
        for hook in each:
            run_hook(hook, state, kind=kind, directory=bundle)


def write_pid_file(path: str, pid: int) -> None:
    """Write it in one step: whoever waits for the file reads all of it. Raises `Invalid`."""
    path = os.path.abspath(path)
    beside = f"{os.path.dirname(path)}/.{os.path.basename(path)}.{os.getpid()}"
    try:
        with open(beside, "w") as file:
            file.write(str(pid))
        os.replace(beside, path)
    except OSError as err:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        reason = (err.strerror or "").lower()
        raise Invalid(f"--pid-file: cannot write {path}: {reason}") from err
