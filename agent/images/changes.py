"""Apply Dockerfile instructions to the configuration of an imported root file system.

Only those that describe how to run: `CMD ENTRYPOINT ENV EXPOSE LABEL STOPSIGNAL USER VOLUME
WORKDIR`. As in a Dockerfile, `CMD` and `ENTRYPOINT` are a JSON array or a line for `/bin/sh -c`.
"""

import re
import shlex
from collections.abc import Callable

import msgspec
from msgspec import structs

from swarm.errors import Invalid
from swarm.images.config import ImageConfig

_PORT = re.compile(r"(?P<port>[0-9]{1,5})(?:/(?P<protocol>tcp|udp|sctp))?\Z")
_SIGNAL = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]*\Z|[0-9]{1,2}\Z")


def apply_changes(config: ImageConfig, changes: tuple[str, ...]) -> ImageConfig:
    """`config` after all `changes`; `Invalid` lists every change that cannot be read."""
    problems: list[str] = []
    for number, change in enumerate(changes):
        word, _, rest = change.strip().partition(" ")
        try:
            config = _instruction(word)(config, rest.strip())
        except Invalid as err:
            problems.append(f"change[{number}] {change.strip()!r}: {err.message}")
    if problems:
        raise Invalid(
            "; ".join(problems),
            hint=f"use one of {', '.join(_INSTRUCTIONS)} as in a Dockerfile",
            problems=tuple(problems),
        )
    return config


def _instruction(word: str) -> Callable[[ImageConfig, str], ImageConfig]:
    found = _INSTRUCTIONS.get(word.upper())
    if found is None:
        raise Invalid(f"{word!r} is not an instruction that an import knows")
    return found


def _cmd(config: ImageConfig, rest: str) -> ImageConfig:
    return structs.replace(config, cmd=_command(rest))


def _entrypoint(config: ImageConfig, rest: str) -> ImageConfig:
    return structs.replace(config, entrypoint=_command(rest))


def _env(config: ImageConfig, rest: str) -> ImageConfig:
    pairs = _pairs(rest, what="NAME=VALUE")
    kept = tuple(entry for entry in config.env if entry.partition("=")[0] not in pairs)
    return structs.replace(config, env=kept + tuple(f"{k}={v}" for k, v in pairs.items()))


def _label(config: ImageConfig, rest: str) -> ImageConfig:
    return structs.replace(config, labels=config.labels | _pairs(rest, what="KEY=VALUE"))


def _expose(config: ImageConfig, rest: str) -> ImageConfig:
    ports: set[str] = set()
    for word in _required(rest, "a port").split():
        match = _PORT.match(word)
        if match is None or not 0 < int(match["port"]) < 65536:
            raise Invalid(f"{word!r} is not PORT or PORT/tcp|udp|sctp")
        ports.add(f"{int(match['port'])}/{match['protocol'] or 'tcp'}")
    return structs.replace(config, exposed_ports=tuple(sorted({*config.exposed_ports, *ports})))


def _volume(config: ImageConfig, rest: str) -> ImageConfig:
    paths = _words(_required(rest, "a path"))
    for path in paths:
        if not path.startswith("/"):
            raise Invalid(f"{path!r} must be absolute")
    return structs.replace(config, volumes=tuple(sorted({*config.volumes, *paths})))


def _workdir(config: ImageConfig, rest: str) -> ImageConfig:
    path = _required(rest, "a path")
    if not path.startswith("/"):
        path = f"{config.workdir.rstrip('/')}/{path}"
    return structs.replace(config, workdir=path)


def _user(config: ImageConfig, rest: str) -> ImageConfig:
    return structs.replace(config, user=_required(rest, "a user"))


def _stop_signal(config: ImageConfig, rest: str) -> ImageConfig:
    if not _SIGNAL.match(rest):
        raise Invalid(f"{rest!r} is not a signal such as SIGTERM or 15")
    return structs.replace(config, stop_signal=rest)


_INSTRUCTIONS: dict[str, Callable[[ImageConfig, str], ImageConfig]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "LABEL": _label,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}


def _command(rest: str) -> tuple[str, ...]:
    array = _array(rest)
    return array if array is not None else ("/bin/sh", "-c", _required(rest, "a command"))


def _words(rest: str) -> tuple[str, ...]:
    array = _array(rest)
    return array if array is not None else tuple(_split(rest))


def _array(rest: str) -> tuple[str, ...] | None:
    if not rest.startswith("["):
        return None
    try:
        return msgspec.json.decode(rest, type=tuple[str, ...])
    except msgspec.MsgspecError as err:
        raise Invalid(f"not a JSON array of strings: {err}") from err


def _pairs(rest: str, *, what: str) -> dict[str, str]:
    first, _, value = _required(rest, what).partition(" ")
    if "=" not in first:  # the old form: one name, and the rest of the line is its value
        if not value.strip():
            raise Invalid(f"must be {what}")
        return {first: value.strip()}
    pairs: dict[str, str] = {}
    for word in _split(rest):
        key, equals, value = word.partition("=")
        if not key or not equals:
            raise Invalid(f"{word!r} must be {what}")
        pairs[key] = value
    return pairs


def _split(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as err:
        raise Invalid(f"its quotes do not match: {err}") from err


def _required(rest: str, what: str) -> str:
    if not rest:
        raise Invalid(f"needs {what}")
    return rest
