"""Change a service or a node on what is now, and look again when someone was faster."""

from collections.abc import Callable

from swarm.api.v1 import control_pb2
from swarm.checks import check_service
from swarm.codec import from_message, to_message
from swarm.errors import Conflict, Invalid, Refused
from swarm.specs import NodeSpec, ServiceSpec
from swarmctl.blame import reblamed, refusal
from swarmctl.io.credentials import given_login
from swarmctl.io.session import Session

ATTEMPTS = 5


def change_service(
    session: Session,
    name: str,
    change: Callable[[ServiceSpec], ServiceSpec],
    *,
    resolve_image: bool = False,
    with_login: bool = False,
    revision: int | None = None,
) -> control_pb2.ServiceView:
    """Store what `change` makes of the service's spec; `Invalid` before anything is sent.

    With `revision` only if the service is still at that one; `with_login` gives it our login.
    """
    for attempt in range(1, ATTEMPTS + 1):
        view = session.control.service(name)
        check_revision(view, revision)
        spec = change(from_message(ServiceSpec, view.service.spec))
        if problems := check_service(spec):
            raise refusal(problems, is_update=True)
        request = control_pb2.UpdateServiceRequest(
            service_id=view.service.id,
            version=view.version,
            spec=to_message(spec),
            resolve_image=resolve_image,
            registry_auth=given_login(session, spec.task.container.image) if with_login else "",
        )
        try:
            answer = session.control.update_service(request)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
            continue
        except (Invalid, Refused) as err:
            raise reblamed(err, is_update=True) from err
        for warning in answer.warnings:
            session.warn(f"Warning: {warning}")
        return answer.service
    raise AssertionError("the last attempt returns or raises")


def check_revision(view: control_pb2.ServiceView, wanted: int | None) -> None:
    """`Conflict` unless the service is still at the revision that a plan was made on."""
    service = view.service
    if wanted is not None and wanted != service.revision:
        raise Conflict(
            f"service {service.spec.name} is at revision {service.revision}, not {wanted}",
            hint=f"see what changed (swarmctl history {service.spec.name}), and plan again",
        )


def change_node(
    session: Session, name: str, change: Callable[[NodeSpec], NodeSpec]
) -> control_pb2.NodeView:
    """Store what `change` makes of the node's spec."""
    for attempt in range(1, ATTEMPTS + 1):
        view = session.control.node(name)
        request = control_pb2.UpdateNodeRequest(
            node_id=view.node.id,
            version=view.version,
            spec=to_message(change(from_message(NodeSpec, view.node.spec))),
        )
        try:
            return session.control.update_node(request)
        except Conflict:
            if attempt == ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")
