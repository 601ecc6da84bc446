"""Print what containers are, what runs in them, and what they use."""

import os
import pwd
import sys
from typing import Any, Final

import msgspec

from runtime.command import listing
from runtime.command.parsing import Options
from runtime.command.record import Record, listed
from runtime.io.command.caller import Caller
from runtime.io.command.signalling import members
from runtime.oci.state import Listed
from swarm.errors import Invalid, Missing, Refused, Unavailable

_PS: Final = ("-e", "-f")


def state(caller: Caller, container_id: str) -> None:
    """Print one container."""
    record = caller.store.read(container_id)
    _print(_indented(_listed(caller, record)) + "\n")


def list_all(caller: Caller, options: Options) -> None:
    """Print all containers; those that dead commands left half made are removed first."""
    found = _all(caller)
    if options.is_on("quiet"):
        _print("".join(f"{each.id}\n" for each in found))
    elif options.text("format") == "json":
        _print(msgspec.json.encode(found).decode() + "\n")
    else:
        _print(listing.containers(found))


def _all(caller: Caller) -> list[Listed]:
    found: list[Listed] = []
    for container_id in caller.store.ids():
        try:
            record = caller.store.read(container_id)
            if not record.is_complete and _settle(caller, record):
                continue
        except (Missing, Refused, Unavailable):
            continue  # it went away, or is being worked on
        found.append(_listed(caller, record))
    return found


def _settle(caller: Caller, record: Record) -> bool:
    from runtime.io.command.ending import settle  # seldom needed, and slow to load

    return settle(caller, record)


def _listed(caller: Caller, record: Record) -> Listed:
    found = listed(record, caller.status(record))
    return msgspec.structs.replace(found, owner=_name(record.owner))


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def processes(caller: Caller, options: Options, container_id: str, words: tuple[str, ...]) -> None:
    """Print the processes in a container's group, as the host numbers them."""
    record = caller.store.read(container_id)
    pids = members(caller.layout, record.group)
    if options.text("format") == "json":
        _print(msgspec.json.encode(pids).decode() + "\n")
        return
    _print(_table(words or _PS, set(pids)))


def _table(words: tuple[str, ...], pids: set[int]) -> str:
    code, output = run(("ps", *words))
    if code:
        raise Invalid(f"ps {' '.join(words)}: exit code {code}: {output.strip()}")
    try:
        return listing.processes(output, pids)
    except ValueError as err:
        raise Invalid(
            f"ps {' '.join(words)}: prints no column PID", hint="add -o pid, or leave -o out"
        ) from err


def run(words: tuple[str, ...]) -> tuple[int, str]:
    """Run a program of the host; its exit code and all that it printed."""
    reading, writing = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, writing, 1), (os.POSIX_SPAWN_DUP2, writing, 2)]
    try:
        pid = os.posix_spawnp(words[0], words, os.environ, file_actions=actions)
    except OSError as err:
        os.close(reading)
        raise Missing(f"{words[0]}: {(err.strerror or '').lower()}", hint="install it") from err
    finally:
        os.close(writing)
    with open(reading, encoding="utf-8", errors="replace") as file:
        output = file.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), output


def _indented(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _print(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
