"""Ask what a change would do, and show it with the command that applies just that."""

from collections.abc import Callable

import click

from swarm.api.v1 import control_pb2
from swarm.checks import check_service
from swarm.codec import from_message, to_message
from swarm.errors import Invalid, Refused
from swarm.specs import ServiceSpec
from swarmctl.blame import reblamed, refusal
from swarmctl.forecasts import applying, as_json, is_change, picture
from swarmctl.io.credentials import given_login
from swarmctl.io.session import Session
from swarmctl.lazy import words_given

FORMATS = ("", "json")


def plan_creation(
    session: Session, request: control_pb2.CreateServiceRequest, *, form: str = ""
) -> bool:
    """Show what creating a service would do; always something."""
    asked = control_pb2.PlanServiceRequest(
        spec=request.spec,
        resolve_image=request.resolve_image,
        registry_auth=request.registry_auth,
    )
    return _show(session, asked, form=form, command="service create")


def plan_change(
    session: Session,
    name: str,
    change: Callable[[ServiceSpec], ServiceSpec],
    *,
    resolve_image: bool = False,
    with_login: bool = False,
    form: str = "",
    command: str = "service update",
) -> bool:
    """Show what a change of a service would do; whether it would do anything."""
    view = session.control.service(name)
    spec = change(from_message(ServiceSpec, view.service.spec))
    if problems := check_service(spec):
        raise refusal(problems, is_update=True)
    asked = control_pb2.PlanServiceRequest(
        service_id=view.service.id,
        spec=to_message(spec),
        resolve_image=resolve_image,
        registry_auth=given_login(session, spec.task.container.image) if with_login else "",
    )
    return _show(session, asked, form=form, command=command)


def _show(
    session: Session, asked: control_pb2.PlanServiceRequest, *, form: str, command: str
) -> bool:
    if form not in FORMATS:
        raise Invalid(f"--format {form!r} is not known here", hint="leave it out, or give json")
    is_new = not asked.service_id
    try:
        plan = session.control.plan_service(asked)
    except (Invalid, Refused) as err:
        raise reblamed(err, is_update=not is_new) from err
    if form:
        session.write(as_json(plan))
        return is_change(plan)
    colours = session.is_interactive()
    session.write(picture(plan, name=asked.spec.name, is_new=is_new, colours=colours))
    if is_change(plan):
        words = words_given(click.get_current_context())
        told = applying(words, command=command, revision=plan.revision)
        session.write(f"\nTo do just this:\n\n    {told}\n")
    return is_change(plan)
