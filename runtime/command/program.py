"""Say what `exec` runs: config.json's process, but for what flags change."""

import msgspec

from runtime.command.parsing import Options
from runtime.oci.config import Capabilities, Process, User
from runtime.oci.names import CAPABILITIES
from swarm.errors import Invalid


def from_flags(base: Process, options: Options, args: tuple[str, ...]) -> Process:
    """`base` is the process of the container. Raises `Invalid`."""
    if not args:
        raise Invalid("process args cannot be empty", hint="give a command, or --process FILE")
    changed = msgspec.structs.replace(
        base,
        args=args,
        cwd=options.text("cwd") or base.cwd,
        env=(*base.env, *options.many("env")),
        terminal=options.is_on("tty"),
        console_size=None,
        user=_user(base.user, options),
        capabilities=_with(base.capabilities, options.many("cap")),
        apparmor_profile=options.text("apparmor") or base.apparmor_profile,
        selinux_label=options.text("process-label") or base.selinux_label,
        no_new_privileges=(
            options.is_on("no-new-privs") if options.has("no-new-privs") else base.no_new_privileges
        ),
    )
    _check(changed)
    return changed


def _check(process: Process) -> None:
    if not process.cwd.startswith("/"):
        raise Invalid(f"--cwd: must be absolute, is {process.cwd}")
    for variable in process.env:
        if variable.find("=") < 1:
            raise Invalid(f"--env: must be NAME=VALUE, is {variable!r}")


def _user(base: User, options: Options) -> User:
    gids = base.additional_gids + tuple(int(each) for each in options.many("additional-gids"))
    text = options.text("user")
    if not text:
        return msgspec.structs.replace(base, additional_gids=gids)
    uid, colon, gid = text.partition(":")
    for number in (uid, gid) if colon else (uid,):
        if not (number.isascii() and number.isdecimal()) or int(number[:11]) >= 2**32 - 1:
            raise Invalid(f"--user: must be UID or UID:GID, is {text!r}")
    return msgspec.structs.replace(
        base, uid=int(uid), gid=int(gid) if colon else base.gid, additional_gids=gids
    )


def _with(base: Capabilities | None, added: tuple[str, ...]) -> Capabilities | None:
    """In the sets that make a capability usable; ambient and inheritable ones are of another."""
    if base is None or not added:
        return base
    names = tuple(_capability(each) for each in added)
    return msgspec.structs.replace(
        base,
        bounding=tuple(dict.fromkeys((*base.bounding, *names))),
        effective=tuple(dict.fromkeys((*base.effective, *names))),
        permitted=tuple(dict.fromkeys((*base.permitted, *names))),
    )


def _capability(text: str) -> str:
    name = text.upper() if text.upper().startswith("CAP_") else f"CAP_{text.upper()}"
    if name not in CAPABILITIES:
        raise Invalid(f"--cap: {text} is no capability", hint="capabilities(7) lists them")
    return name
