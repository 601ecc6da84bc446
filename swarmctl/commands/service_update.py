"""`swarmctl service update`."""

import os
from typing import TYPE_CHECKING, NamedTuple

import click
import msgspec

from swarmctl import completing, options, service_options
from swarmctl.io.session import Session
from swarmctl.lazy import Command

if TYPE_CHECKING:
    from collections.abc import Callable

    from swarm.api.v1 import control_pb2
    from swarm.specs import ServiceSpec


@click.command("update", cls=Command)
@click.argument("service", metavar="SERVICE", shell_complete=completing.services)
@click.option("--args", metavar="WORDS", help="Arguments of the containers' command")
@click.option("--force", is_flag=True, help="Replace the tasks even if nothing changed")
@click.option("--image", help="Image of the containers")
@click.option("--no-autoscale", is_flag=True, help="Scale it by hand from now on")
@click.option("--no-schedule", is_flag=True, help="Run the job once, at once")
@click.option("--rollback", is_flag=True, help="Go back to the previous spec; takes no other flag")
@service_options.pair_flags
@service_options.shared_flags
@options.registry_flags
@options.check_revision
@options.dry_run
@options.waiting_flags
@click.pass_obj
def update(session: Session, /, service: str, **flags: object) -> None:
    """Change a service; its tasks are replaced step by step where that takes new ones.

    Only what the flags name is changed. Of a pair the removal comes first, and what is added
    replaces what has the same key. Without flags, a rollout that is paused goes on.
    """
    if flags.pop("rollback"):
        view = _rolled_back(session, service, flags)
    elif flags["dry_run"]:
        from swarmctl.io.planning import plan_change

        change = change_of(session, flags)
        plan_change(
            session,
            service,
            change.change,
            resolve_image=change.resolve_image,
            with_login=change.with_login,
        )
        return
    else:
        view = _changed(session, service, flags)
    session.say(service)
    if not flags["detach"]:
        from swarmctl.io.watching import watch

        watch(session, view.service.id, view.service.spec.name, quiet=bool(flags["quiet"]))


def _rolled_back(
    session: Session, service: str, flags: dict[str, object]
) -> "control_pb2.ServiceView":
    from swarm.api.v1 import control_pb2
    from swarm.errors import Invalid

    ctx = click.get_current_context()
    given = {
        name
        for name in flags
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    if others := sorted(given - {"detach", "quiet"}):
        names = ", ".join(f"--{name.replace('_', '-')}" for name in others)
        raise Invalid(f"--rollback and {names} exclude each other", hint="run one, then the other")
    view = session.control.service(service)
    return session.control.rollback_service(
        control_pb2.RollbackServiceRequest(service_id=view.service.id, version=view.version)
    )


class Change(NamedTuple):
    """What the flags make of a spec, how its image is looked up, and as whom."""

    change: "Callable[[ServiceSpec], ServiceSpec]"
    resolve_image: bool
    with_login: bool


def _changed(session: Session, service: str, flags: dict[str, object]) -> "control_pb2.ServiceView":
    from swarmctl.io.changing import change_service

    asked = change_of(session, flags)
    return change_service(
        session,
        service,
        asked.change,
        resolve_image=asked.resolve_image,
        with_login=asked.with_login,
        revision=msgspec.convert(flags["check_revision"], int | None),
    )


def change_of(session: Session, flags: dict[str, object]) -> Change:
    """What the flags ask for."""
    from swarmctl.flags import ServiceFlags, UpdateFlags
    from swarmctl.io import references
    from swarmctl.io.profiles import read_profiles
    from swarmctl.specs import updated

    flags["secrets"] = references.secrets(session, "--secret-add", _texts(flags["secret_add"]))
    flags["configs"] = references.configs(session, "--config-add", _texts(flags["config_add"]))
    flags["security_opt"] = read_profiles(_texts(flags["security_opt"]))
    shared, own = msgspec.convert(flags, ServiceFlags), msgspec.convert(flags, UpdateFlags)
    network_ids = session.networks.ids() if own.network_add or own.network_rm else {}

    def change(spec: "ServiceSpec") -> "ServiceSpec":
        return updated(spec, shared, own, environ=os.environ, network_ids=network_ids)

    return Change(
        change,
        # The digest of an unchanged image is kept: an update of its labels is no upgrade.
        resolve_image=own.image is not None and not flags["no_resolve_image"],
        with_login=bool(flags["with_registry_auth"]),
    )


def _texts(value: object) -> tuple[str, ...]:
    return msgspec.convert(value, tuple[str, ...])
