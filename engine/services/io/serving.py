"""Serve services: make, change, show and remove them."""

from random import SystemRandom

from msgspec import structs

from engine import replies
from engine.cluster.io.managing import managing
from engine.images.moving import login
from engine.io.exchange import Exchange, Handler
from engine.networks.io.gathering import targets
from engine.refusals import CONFLICT, Denied
from engine.replies import Reply
from engine.routing import Route
from engine.services.choosing import choose
from engine.services.naming import make_name
from engine.services.showing import service_json
from engine.services.specs import read_spec
from engine.versions import Version
from engine.wire.services import ServiceSpecJson
from swarm.api.v1 import control_pb2
from swarm.codec import from_message, to_message
from swarm.errors import Conflict, Invalid, Refused, SwarmError
from swarm.specs import ServiceSpec

_NETWORKS_MOVED = Version(1, 44)
_CLIENTS_RESOLVE = Version(1, 30)
_RANDOM = SystemRandom()


async def list_services(ask: Exchange) -> Reply:
    """GET /services"""
    filters, status = ask.query.filters(), ask.query.flag("status")
    async with managing(ask) as control:
        found = await control.ListServices(control_pb2.ListServicesRequest())
    return replies.json(
        [service_json(each, status=status) for each in choose(found.services, filters)]
    )


async def inspect_service(ask: Exchange) -> Reply:
    """GET /services/{id}"""
    view = await find(ask, ask.params["id"])
    return replies.json(service_json(view, defaults=ask.query.flag("insertDefaults")))


async def create_service(ask: Exchange) -> Reply:
    """POST /services/create"""
    spec = read_spec(await _asked(ask))
    if not spec.name:
        spec = structs.replace(spec, name=make_name(_RANDOM))
    async with managing(ask) as control:
        spec = await targets(ask, spec)
        request = control_pb2.CreateServiceRequest(
            spec=to_message(spec),
            resolve_image=ask.version < _CLIENTS_RESOLVE,
            registry_auth=_login(ask),
        )
        try:
            made = await control.CreateService(request)
        except Refused as err:
            raise await _explained(ask, spec.name, err) from err
    warnings = list(made.warnings) or None
    return replies.json({"ID": made.service.service.id, "Warnings": warnings}, status=201)


async def update_service(ask: Exchange) -> Reply:
    """POST /services/{id}/update

    A service keeps its logins by registry, so each spec finds its own: `registryAuthFrom` chooses
    nothing.
    """
    asked, version = await _asked(ask), version_of(ask, "service")
    rollback, source = ask.query.text("rollback"), ask.query.text("registryAuthFrom")
    if rollback not in ("", "none", "previous"):
        raise Invalid(f"rollback: there is no {rollback!r}", hint="use previous, or leave it out")
    if source not in ("", "spec", "previous-spec"):
        raise Invalid(f"invalid registryAuthFrom '{source}'", hint="use spec or previous-spec")
    view = await find(ask, ask.params["id"])
    async with managing(ask) as control:
        try:
            if rollback == "previous":
                back = control_pb2.RollbackServiceRequest(
                    service_id=view.service.id, version=version
                )
                await control.RollbackService(back)
                return replies.json({"Warnings": None})
            before = from_message(ServiceSpec, view.service.spec)
            changed = await control.UpdateService(
                control_pb2.UpdateServiceRequest(
                    service_id=view.service.id,
                    version=version,
                    spec=to_message(await targets(ask, read_spec(asked, before))),
                    resolve_image=ask.version < _CLIENTS_RESOLVE,
                    registry_auth=_login(ask),
                )
            )
        except Conflict as err:
            raise out_of_sequence(err) from err
    return replies.json({"Warnings": list(changed.warnings) or None})


async def remove_service(ask: Exchange) -> Reply:
    """DELETE /services/{id}"""
    async with managing(ask) as control:
        await control.RemoveService(control_pb2.RemoveServiceRequest(service_id=ask.params["id"]))
    return replies.nothing(200)


async def find(ask: Exchange, text: str) -> control_pb2.ServiceView:
    """The service that an id, the beginning of one or a name means; raises `Missing`."""
    async with managing(ask) as control:
        found = await control.ListServices(control_pb2.ListServicesRequest(services=[text]))
    return found.services[0]


def version_of(ask: Exchange, kind: str) -> int:
    """The version that a change was derived from, without which nothing is changed."""
    text = ask.query.text("version")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 20):
        raise Invalid(f"invalid {kind} version '{text}': send the one that was read")
    return int(text)


def out_of_sequence(err: Conflict) -> Denied:
    """What clients look for, at the very end of the message, to read again and try again."""
    said = err.message.partition(": update out of sequence")
    words = f"{said[0]}{said[2]}: update out of sequence" if said[1] else err.message
    return Denied(CONFLICT, words)


async def _explained(ask: Exchange, name: str, err: Refused) -> SwarmError:
    """`err` in Docker's words, where a service has that name already."""
    try:
        view = await find(ask, name)
    except SwarmError:
        return err
    if view.service.spec.name != name:
        return err
    words = f"name conflicts with an existing object: service {name} already exists"
    return Denied(CONFLICT, words)


def _login(ask: Exchange) -> str:
    return login(ask.head.headers.get("x-registry-auth", ""))


async def _asked(ask: Exchange) -> ServiceSpecJson:
    asked = await ask.decoded(ServiceSpecJson)
    return structs.replace(asked, networks=()) if ask.version >= _NETWORKS_MOVED else asked


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/services", list_services),
    Route("POST", "/services/create", create_service),
    Route("GET", "/services/{id}", inspect_service),
    Route("POST", "/services/{id}/update", update_service),
    Route("DELETE", "/services/{id}", remove_service),
)
