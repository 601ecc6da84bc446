"""Create, change and remove services.

A service's name is taken in the same transaction as the service, so two services never share
one. A change says which version it was derived from, and is refused when someone changed
the service since. Only another task spec makes another version of the service: scaling it
leaves its tasks alone. Removal deletes the service and frees its name; its tasks and stored
specs are taken down by the planners, who see that their service is gone.
"""

from msgspec import structs

from manager import layout
from manager.store import Absent, Commit, Delete, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ServiceId
from swarm.objects import Service, SpecVersion
from swarm.specs import ServiceSpec

KIND = "service"


def create(view: ClusterView, spec: ServiceSpec, service_id: ServiceId, *, now: float) -> Commit:
    """Store a new service; `Refused` when its name is taken."""
    check_name_is_free(view, spec.name)
    service = Service(id=service_id, spec=spec, created_at=now, updated_at=now, version_at=now)
    name = layout.name_key(KIND, spec.name)
    return Commit(
        (Absent(name), Absent(layout.service_key(service_id))),
        (
            Put(name, service_id.encode()),
            _put_version(service),
            Put(layout.service_key(service_id), pack(service)),
        ),
    )


def check_name_is_free(view: ClusterView, name: str) -> None:
    """`Refused` when a service bears that name."""
    holder = view.names.get((KIND, name))
    if holder is not None:
        raise Refused(
            f"service name {name} is already taken by service {holder}",
            hint=f"choose another name, or remove the other one: swarmctl service rm {name}",
        )


def update(
    view: ClusterView, service_id: ServiceId, version: int, spec: ServiceSpec, *, now: float
) -> Commit:
    """Store the next spec of a service; `Conflict` unless `version` is its present one."""
    service = view.services[service_id]
    check_change(view, service_id, version, spec)
    old = service.spec
    is_new_version = (spec.task, spec.endpoint.ports) != (old.task, old.endpoint.ports)
    changed = structs.replace(
        service,
        spec=spec,
        previous_spec=service.spec,
        spec_version=service.spec_version + is_new_version,
        updated_at=now,
        version_at=now if is_new_version else service.version_at,
    )
    put = Put(layout.service_key(service_id), pack(changed))
    return Commit(
        (Unchanged(layout.service_key(service_id), version),),
        (_put_version(changed), put) if is_new_version else (put,),
    )


def check_change(view: ClusterView, service_id: ServiceId, version: int, spec: ServiceSpec) -> None:
    """Refuse a change that comes too late, or that no service can undergo."""
    service, known = view.services[service_id], view.version(layout.service_key(service_id))
    if version != known:
        raise Conflict(
            f"service {service.spec.name}: update out of sequence: it was derived from version"
            f" {version}, and the service is at version {known}",
            hint="someone changed the service meanwhile: look at it and repeat the command",
        )
    if spec.name != service.spec.name:
        raise Invalid(
            f"name: service {service.spec.name} cannot be renamed to {spec.name}",
            hint="create a service with the new name and remove the old one",
        )
    if type(spec.mode) is not type(service.spec.mode):
        raise Invalid(
            f"mode: service {spec.name} cannot be changed between replicated and global",
            hint="remove the service and create it anew",
        )


def remove(view: ClusterView, service_id: ServiceId) -> Commit:
    """Delete a service, whatever changed it last."""
    name = view.services[service_id].spec.name
    key = layout.service_key(service_id)
    return Commit(
        (Unchanged(key, view.version(key)),), (Delete(key), Delete(layout.name_key(KIND, name)))
    )


def _put_version(service: Service) -> Put:
    version = SpecVersion.of(service)
    return Put(layout.version_key(service.id, service.spec_version), pack(version))
