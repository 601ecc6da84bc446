"""`swarmctl service update`."""

import os

import click
import msgspec

from swarmctl import completing, options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

_PAIRS = (
    ("constraint", "CONSTRAINT", "CONSTRAINT", "a placement constraint"),
    ("container-label", "KEY[=VALUE]", "KEY", "a label of the containers"),
    ("device", "DEVICE", "TARGET", "a device of the host"),
    ("env", "NAME[=VALUE]", "NAME", "an environment variable"),
    ("group", "GROUP", "GROUP", "a supplementary group"),
    ("host", "NAME:IP", "NAME[:IP]", "an entry of /etc/hosts"),
    ("label", "KEY[=VALUE]", "KEY", "a label of the service"),
    ("mount", "MOUNT", "TARGET", "a mount"),
    ("network", "NETWORK", "NETWORK", "a network: host or none"),
    ("sysctl", "KEY=VALUE", "KEY", "a kernel setting"),
    ("ulimit", "NAME=SOFT[:HARD]", "NAME", "a resource limit"),
)


def _own_flags(command: options.F) -> options.F:
    for name, added, removed, text in reversed(_PAIRS):
        command = options.flag_list(command, (f"--{name}-rm",), removed, f"Remove {text}")
        command = options.flag_list(command, (f"--{name}-add",), added, f"Add or replace {text}")
    return command


@click.command("update", cls=Command)
@click.argument("service", metavar="SERVICE", shell_complete=completing.services)
@click.option("--args", metavar="WORDS", help="Arguments of the containers' command")
@click.option("--force", is_flag=True, help="Replace the tasks even if nothing changed")
@click.option("--image", help="Image of the containers")
@_own_flags
@options.service_flags
@options.registry_flags
@options.waiting_flags
@click.pass_obj
def update(session: Session, /, service: str, **flags: object) -> None:
    """Change a service; its tasks are replaced step by step where that takes new ones.

    Only what the flags name is changed. Of a pair the removal comes first, and what is added
    replaces what has the same key.
    """
    from swarmctl.io.changing import change_service
    from swarmctl.io.credentials import registry_auth
    from swarmctl.io.profiles import read_profiles
    from swarmctl.specs import ServiceFlags, UpdateFlags, updated

    options_given = msgspec.convert(flags["security_opt"], tuple[str, ...])
    flags["security_opt"] = read_profiles(options_given)
    shared, own = msgspec.convert(flags, ServiceFlags), msgspec.convert(flags, UpdateFlags)
    view = change_service(
        session,
        service,
        lambda spec: updated(spec, shared, own, environ=os.environ),
        # The digest of an unchanged image is kept: an update of its labels is no upgrade.
        resolve_image=own.image is not None and not flags["no_resolve_image"],
        registry_auth=registry_auth(own.image or "") if flags["with_registry_auth"] else "",
    )
    session.say(service)
    if not flags["detach"]:
        from swarmctl.io.watching import watch

        watch(session, view.service.id, view.service.spec.name, quiet=bool(flags["quiet"]))
