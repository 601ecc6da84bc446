"""`swarmctl service create`."""

import os
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import click
import msgspec

from swarm.errors import Invalid, Refused
from swarmctl import options, service_options
from swarmctl.io.session import Session
from swarmctl.lazy import Command, Flag

if TYPE_CHECKING:
    from swarm.api.v1 import control_pb2


@click.command(
    "create",
    cls=Command,
    context_settings={"allow_interspersed_args": False},
    options_metavar="[OPTIONS]",
)
@click.argument("image", metavar="IMAGE")
@click.argument("arguments", nargs=-1, metavar="[COMMAND] [ARG...]", type=click.UNPROCESSED)
@service_options.list_flags
@click.option(
    "--mode",
    cls=Flag,
    section=service_options.SERVICE,
    type=service_options.MODES,
    help="What it is (default replicated; with --schedule replicated-job)",
)
@click.option(
    "--name", cls=Flag, section=service_options.SERVICE, default="", help="Name of the service"
)
@service_options.shared_flags
@options.registry_flags
@options.dry_run
@options.waiting_flags
@click.pass_obj
def create(session: Session, /, **flags: object) -> None:
    """Start a service: so many replicas of one container.

    Prints the service's id, then waits until everything runs, unless it is detached. Ctrl-C
    ends the waiting, not the service.
    """
    from swarmctl.blame import reblamed

    request = request_of(session, flags)
    if flags["dry_run"]:
        from swarmctl.io.planning import plan_creation

        plan_creation(session, request)
        return
    try:
        answer = session.control.create_service(request)
    except (Invalid, Refused) as err:
        raise reblamed(err, is_update=False) from err
    service = answer.service.service
    session.say(service.id)
    for warning in answer.warnings:
        session.warn(f"Warning: {warning}")
    if not flags["detach"]:
        from swarmctl.io.watching import watch

        watch(session, service.id, request.spec.name, quiet=bool(flags["quiet"]))


def request_of(session: Session, flags: dict[str, object]) -> "control_pb2.CreateServiceRequest":
    """What the flags ask for; `Invalid` before anything is sent."""
    from swarm.api.v1 import control_pb2
    from swarm.checks import check_service
    from swarm.codec import to_message
    from swarmctl.blame import refusal
    from swarmctl.flags import CreateFlags, ServiceFlags
    from swarmctl.io import references
    from swarmctl.io.credentials import given_login
    from swarmctl.io.profiles import read_profiles
    from swarmctl.names import make_name
    from swarmctl.specs import created

    flags["secrets"] = references.secrets(session, "--secret", _texts(flags["secret"]))
    flags["configs"] = references.configs(session, "--config", _texts(flags["config"]))
    flags["env"] = (*_file_entries(flags.pop("env_file")), *_texts(flags["env"]))
    flags["security_opt"] = read_profiles(_texts(flags["security_opt"]))
    own = msgspec.convert(flags, CreateFlags)
    if not own.name:
        own = msgspec.structs.replace(own, name=make_name(Random()))
    spec = created(msgspec.convert(flags, ServiceFlags), own, environ=os.environ)
    if problems := check_service(spec):
        raise refusal(problems, is_update=False)
    return control_pb2.CreateServiceRequest(
        spec=to_message(spec),
        resolve_image=not flags["no_resolve_image"],
        registry_auth=given_login(session, own.image) if flags["with_registry_auth"] else "",
    )


def _texts(value: object) -> tuple[str, ...]:
    return msgspec.convert(value, tuple[str, ...])


def _file_entries(paths: object) -> tuple[str, ...]:
    from swarmctl.environment import read_env_file

    entries: list[str] = []
    for path in _texts(paths):
        try:
            content = Path(path).read_bytes()
        except OSError as err:
            raise Invalid(
                f"--env-file {path}: {err.strerror}", hint="give a file that can be read"
            ) from err
        entries += read_env_file(content, path=f"--env-file {path}")
    return tuple(entries)
