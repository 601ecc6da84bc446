"""Translate `--security-opt`.

Each is NAME=VALUE, or of old NAME:VALUE. What Docker allows unless it is told otherwise, to gain
privileges by programs that give them, is allowed here, too, for containers of its clients.
"""

from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from swarm.errors import Invalid

_TRUE, _FALSE = ("", "true", "1", "t"), ("false", "0", "f")


class Security(Struct, frozen=True, kw_only=True):
    """What the options come to."""

    seccomp: str = ""
    apparmor: str = ""
    allow_new_privileges: bool = True
    has_system_paths: bool = False


def read_security(options: Iterable[str]) -> Security:
    """What `options` mean; `Invalid` for what there is not."""
    found = Security()
    for option in options:
        found = _read(found, option)
    return found


def _read(found: Security, option: str) -> Security:
    name, separator, value = option.partition("=")
    if not separator:
        name, separator, value = option.partition(":")
    match name:
        case "no-new-privileges":
            if value.lower() not in (*_TRUE, *_FALSE):
                raise Invalid(f'invalid --security-opt 2: "{option}"')
            return replace(found, allow_new_privileges=value.lower() in _FALSE)
        case "seccomp" if value:
            # The profile that is built in is the one without a name.
            return replace(found, seccomp="" if value == "builtin" else value)
        case "apparmor" if value:
            return replace(found, apparmor=value)
        case "label":
            return found  # nothing labels processes where SELinux is not
        case "systempaths" if value == "unconfined":
            return replace(found, has_system_paths=True)
        case _:
            raise Invalid(
                f'invalid --security-opt 1: "{option}"',
                hint="there are no-new-privileges, seccomp, apparmor, label and systempaths",
            )
