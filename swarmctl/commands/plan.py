"""`swarmctl plan create|update|scale`: the same words as after `service`, and nothing is done.

The exit status tells a script what a person reads: 0 nothing would change, 1 something would,
255 it could not be planned.
"""

import sys
from collections.abc import Callable, Sequence

import click

from swarm.errors import SwarmError
from swarmctl.commands import service, service_create, service_update
from swarmctl.io.session import Session
from swarmctl.lazy import Command

NOTHING, CHANGES, FAILED = 0, 1, 255
_NOT_OURS = frozenset(("check_revision", "detach", "dry_run", "quiet", "rollback"))

Plan = Callable[..., bool]


class Planning(Command):
    """A command whose failures are told apart from `CHANGES`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; what cannot be read cannot be planned."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as err:
            print(f"Error: {err.format_message()}", file=sys.stderr)
            print(f"\nRun '{ctx.command_path} --help' for more.", file=sys.stderr)
            raise click.exceptions.Exit(FAILED) from err

    def invoke(self, ctx: click.Context) -> int:
        """Plan; the status."""
        from swarmctl.main import told

        try:
            return CHANGES if super().invoke(ctx) else NOTHING
        except SwarmError as err:
            print(told(err), file=sys.stderr)
            return FAILED


def _planning(command: click.Command, plan: Plan, text: str) -> Planning:
    params = [each for each in command.params if each.name not in _NOT_OURS]
    form = click.Option(["--format", "form"], default="", metavar="FORMAT", help="json")
    return Planning(
        command.name,
        params=[*params, form],
        callback=click.pass_obj(plan),
        context_settings=dict(command.context_settings),
        options_metavar=command.options_metavar,
        help=f"{text}\n\nTakes what `service {command.name}` takes. The status is 0 when"
        " nothing would change, 1 when something would, and 255 when it cannot be planned.",
    )


def _create(session: Session, /, *, form: str, **flags: object) -> bool:
    from swarmctl.io.planning import plan_creation

    return plan_creation(session, service_create.request_of(session, flags), form=form)


def _update(session: Session, /, service: str, *, form: str, **flags: object) -> bool:
    from swarmctl.io.planning import plan_change

    asked = service_update.change_of(session, flags)
    return plan_change(
        session,
        service,
        asked.change,
        resolve_image=asked.resolve_image,
        with_login=asked.with_login,
        form=form,
    )


def _scale(session: Session, /, *, form: str, targets: Sequence[str]) -> bool:
    return service.plan_scaling(session, targets, form=form)


create = _planning(service_create.create, _create, "Show what creating a service would do.")
update = _planning(service_update.update, _update, "Show what changing a service would do.")
scale = _planning(service.scale, _scale, "Show what scaling a service would do.")
