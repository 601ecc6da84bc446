"""Do one errand in a container, and end.

The order comes on standard input, its length before it; what is to be unpacked follows. The
outcome is one line of JSON on standard output, before what is packed; what goes wrong after that
is told on standard error. Everything that is needed is loaded before the container is entered, and
nothing can be loaded afterwards: there, a module's file would be the container's. This is a fork
(`forked.py`) that dies with the agent, and what it mounted with it.
"""

import errno
import os
import resource
import sys
from typing import BinaryIO, Final

import msgspec

from agent.build.io.rooted import DIRECTORY, Root
from agent.standalone.errands import (
    HEAD_BYTES,
    Done,
    Export,
    Failed,
    Order,
    Outcome,
    Read,
    Stat,
    Write,
)
from agent.standalone.io.entering import enter
from agent.standalone.io.looking import Here, Looking, absent, pack
from agent.standalone.io.putting import Putting
from agent.standalone.paths import normal, objection
from runtime.users import resolve
from swarm.errors import Invalid, KernelRefused, Refused, Unavailable

_BUFFER_BYTES: Final = 1 << 18
_USERS_BYTES: Final = 1 << 20
_READ_ONLY: Final = "container rootfs is marked read-only"


def do(order: Order, source: BinaryIO, output: BinaryIO) -> Outcome:
    """Do it; what is read is written after the outcome, so that is told here."""
    errand = order.errand
    enter(order.place, mounts=not isinstance(errand, Export))
    _load_nothing_more()
    root = os.open("/", DIRECTORY)
    looking = Looking(root)
    match errand:
        case Stat(path=path):
            found = looking.find(path)
            return Done(found.stat) if isinstance(found, Here) else found
        case Read(path=path):
            found = looking.find(path)
            if not isinstance(found, Here):
                return found
            _tell(output, Done(found.stat))
            pack(found, output)
            return Done()
        case Export():
            _tell(output, Done())
            looking.export(output)
            return Done()
        case Write():
            return _write(order, errand, looking, source)


def _write(order: Order, errand: Write, looking: Looking, source: BinaryIO) -> Outcome:
    root = Root("/")
    wanted = normal(errand.path)
    try:
        root.directory(wanted)
    except NotADirectoryError:
        return Failed("extraction point is not a directory")
    except OSError as err:
        return absent(err, errand.path)
    directory = looking.resolved(wanted)
    place = order.place
    if why := objection(directory, place.mounts, read_only=place.read_only):
        return Failed(why, is_refused=True)
    owner = _owner(root, errand.user) if errand.user else None
    putting = Putting(root, directory, keeps_kinds=errand.keeps_kinds, owner=owner)
    putting.unpack(source)
    return Done()


def _owner(root: Root, user: str) -> tuple[int, int]:
    passwd, group = (root.read(path, _USERS_BYTES) or "" for path in ("/etc/passwd", "/etc/group"))
    found = resolve(user, (), passwd, group)
    return found.uid, found.gid


def _load_nothing_more() -> None:
    sys.meta_path.clear()
    sys.path_hooks.clear()
    sys.path.clear()
    sys.path_importer_cache.clear()


def _failed(err: Exception) -> Failed:
    match err:
        case Invalid():
            return Failed(err.message, err.hint)
        case Refused():
            return Failed(err.message, err.hint, is_refused=True)
        case Unavailable():
            return Failed(err.message, err.hint, is_gone=True)
        case KernelRefused():
            return Failed(err.message, err.hint)
        case OSError(errno=errno.EROFS):
            return Failed(_READ_ONLY, is_refused=True)
        case OSError():
            where = f": {err.filename}" if isinstance(err.filename, str) else ""
            reason = os.strerror(err.errno or errno.EIO).lower()
            return Failed(f"{reason}{where}", errno=err.errno or errno.EIO)
        case _:
            return Failed(f"internal error: {err!r}", is_refused=True)


def _tell(output: BinaryIO, outcome: Outcome) -> None:
    output.write(msgspec.json.encode(outcome) + b"\n")
    output.flush()


def _order(source: BinaryIO) -> Order:
    length = int(_exactly(source, HEAD_BYTES))
    return msgspec.json.decode(_exactly(source, length), type=Order)


def _exactly(source: BinaryIO, size: int) -> bytes:
    data = source.read(size)
    if len(data) != size:
        os._exit(1)  # the agent is gone
    return data


def run() -> int:
    """Do what standard input says; gives this process' status."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # trees may be deep
    with open(0, "rb", _BUFFER_BYTES) as source, open(1, "wb", _BUFFER_BYTES) as output:
        status = _run(source, output)
        os._exit(status)  # what was not wanted need not be written


def _run(source: BinaryIO, output: BinaryIO) -> int:
    try:
        order = _order(source)
        outcome = do(order, source, output)
        if not isinstance(order.errand, Read | Export) or not isinstance(outcome, Done):
            _tell(output, outcome)
        output.flush()
    except BrokenPipeError:
        return 1  # nobody wants to know
    except Exception as err:
        os.write(2, msgspec.json.encode(_failed(err)) + b"\n")
        return 1
    return 0
