"""Gather a container's environment from `--env-file` and `--env`.

A name without a value takes the caller's own value and is left out when there is none. Flags
win over files and later ones over earlier ones, so that each name comes out once.
"""

from collections.abc import Iterable, Mapping

from swarm.errors import Invalid


def read_env_file(content: bytes, *, path: str) -> tuple[str, ...]:
    """The entries of an env file; `Invalid` names the line that is wrong."""
    entries: list[str] = []
    for number, raw in enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(), start=1):
        where = f"{path}:{number}"
        try:
            line = raw.decode().lstrip()
        except UnicodeDecodeError as err:
            raise Invalid(f"{where}: not UTF-8", hint="save the file as UTF-8") from err
        if not line or line.startswith("#"):
            continue
        name = line.partition("=")[0]
        if not name:
            raise Invalid(f"{where}: {line!r} has no name", hint="write NAME=VALUE")
        if any(map(str.isspace, name)):
            raise Invalid(f"{where}: {name!r} contains a space", hint="write NAME=VALUE")
        if "\0" in line:
            raise Invalid(f"{where}: a NUL character", hint="remove it")
        entries.append(line)
    return tuple(entries)


def merge(flag: str, entries: Iterable[str], *, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Each name once, with its last value, where it first stood."""
    merged: dict[str, str] = {}
    for entry in entries:
        name, equals, _ = entry.partition("=")
        if not name:
            raise Invalid(f"{flag} {entry!r} has no name", hint="write NAME=VALUE")
        if equals:
            merged[name] = entry
        elif name in environ:
            merged[name] = f"{name}={environ[name]}"
        else:
            merged.pop(name, None)
    return tuple(merged.values())
