"""Derive what a service is next from what it is, the same for operators and for planners.

Every change of a spec is another revision. Only another task, or other ports, make another
version of it; and where such a version is still stored, because tasks of it are left, it is
taken up again instead of made anew: a rollback thus leaves alone whatever was not updated yet.
"""

from msgspec import structs

from manager.view import ClusterView
from swarm.objects import Revision, Service, SpecVersion
from swarm.specs import ServiceSpec
from swarm.states import TaskState


def revised(
    view: ClusterView,
    service: Service,
    spec: ServiceSpec,
    *,
    previous: ServiceSpec | None,
    now: float,
) -> Service:
    """The service with its next spec; `previous` is where a rollback would lead then."""
    version = _version_for(view, service, spec)
    is_new = version != service.spec_version
    return structs.replace(
        service,
        spec=spec,
        previous_spec=previous,
        spec_version=version,
        revision=service.revision + 1,
        updated_at=now,
        version_at=now if is_new else service.version_at,
    )


def revision_of(service: Service, cause: str) -> Revision:
    """What the history says of a service as it is now."""
    return Revision(
        service_id=service.id,
        number=service.revision,
        spec=service.spec,
        spec_version=service.spec_version,
        at=service.updated_at,
        cause=cause,
    )


def is_rolled_out(view: ClusterView, service: Service) -> bool:
    """Whether the present version has taken the place of all earlier ones."""
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    if rollout is not None and rollout.spec_version == service.spec_version:
        return rollout.state.is_over
    return not any(
        desired <= TaskState.RUNNING and version != service.spec_version
        for desired, version, _ in view.tally(service.id)
    )


def _version_for(view: ClusterView, service: Service, spec: ServiceSpec) -> int:
    if (spec.task, spec.endpoint.ports) == (service.spec.task, service.spec.endpoint.ports):
        return service.spec_version
    # Never a number that was used before, although versions are forgotten and taken up again:
    # there are at least as many revisions as versions.
    number = max(service.revision, service.spec_version) + 1
    wanted = SpecVersion.of(structs.replace(service, spec=spec, spec_version=number))
    for known in sorted(view.versions_of(service.id).values(), key=lambda each: -each.version):
        if structs.replace(known, version=number) == wanted:
            return known.version
    return number
