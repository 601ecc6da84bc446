"""Read a service of a stack file.

What Docker leaves out of a stack with a warning is left out here too; what other orchestrators'
files have and nobody knows is refused.
"""

from collections.abc import Iterator

from msgspec import Struct

from swarm.specs import (
    Dependency,
    DependencyCondition,
    EndpointSpec,
    Port,
    PublishMode,
    ServiceSpec,
    TaskSpec,
)
from swarm.wishes import parse_platform
from swarmctl.edits import with_given
from swarmctl.policies import chosen
from swarmctl.ports import parse_ports
from swarmctl.stacks.containers import Around, read_container, read_log_driver
from swarmctl.stacks.deploying import read_deployment
from swarmctl.stacks.fields import Fields
from swarmctl.stacks.names import IMAGE, marked, scoped
from swarmctl.stacks.networks import read_attachments

IGNORED = (
    "attach", "build", "cgroup", "cgroup_parent", "cgroupns_mode", "container_name", "develop",
    "domainname", "expose", "external_links", "ipc", "links", "mac_address", "pid", "pull_policy",
    "restart", "shm_size",
)  # fmt: skip
_INSTEAD = {
    "cpu_quota": "use deploy.resources.limits.cpus",
    "cpu_shares": "use deploy.resources.reservations.cpus",
    "cpus": "use deploy.resources.limits.cpus",
    "cpuset": "use deploy.resources, since cores are not assigned",
    "credential_spec": "is for Windows containers, and this swarm runs Linux ones",
    "extends": "give both files with -c, or use a YAML anchor",
    "isolation": "is for Windows containers, and this swarm runs Linux ones",
    "mem_limit": "use deploy.resources.limits.memory",
    "mem_reservation": "use deploy.resources.reservations.memory",
    "memswap_limit": "use deploy.resources.limits.memory",
    "pids_limit": "use deploy.resources.limits.pids",
    "scale": "use deploy.replicas",
    "volume_driver": "declare a volume of that driver in volumes",
    "volumes_from": "declare a volume and mount it in both services",
}
_CONDITIONS = {
    "service_started": DependencyCondition.RUNNING,
    "service_healthy": DependencyCondition.HEALTHY,
    "service_completed_successfully": DependencyCondition.COMPLETE,
}


class Found(Struct, frozen=True, kw_only=True):
    """A service, and the keys of it that were left out."""

    spec: ServiceSpec
    ignored: tuple[str, ...]


def read_service(key: str, service: Fields, around: Around) -> Found:
    """The service `key` of the file."""
    ignored = service.ignored(IGNORED)
    container = read_container(service, around)
    platform = service.read("platform", parse_platform)
    deployment = read_deployment(
        service.within("deploy"), platforms=() if platform is None else (platform,)
    )
    attached = read_attachments(key, service, around.networks)
    spec = ServiceSpec(
        name=scoped(around.stack, key),
        labels={**marked(around.stack, deployment.labels), IMAGE: container.image},
        mode=deployment.mode,
        task=TaskSpec(
            container=container,
            limits=deployment.limits,
            reservations=deployment.reservations,
            restart=deployment.restart,
            placement=deployment.placement,
            networks=attached.attachments,
            log_driver=read_log_driver(service.within("logging")),
            depends_on=tuple(_dependencies(service, around.stack)),
        ),
        update=deployment.update,
        rollback=deployment.rollback,
        endpoint=EndpointSpec(mode=deployment.endpoint_mode, ports=tuple(_ports(service))),
    )
    service.done(lambda name: _INSTEAD.get(name, ""))
    return Found(spec=spec, ignored=(*ignored, *attached.ignored))


def _dependencies(service: Fields, stack: str) -> Iterator[Dependency]:
    """What the service waits for; Docker's stacks wait for nothing."""
    if not isinstance(service.value("depends_on"), dict):
        for name in service.texts("depends_on"):
            yield Dependency(service=scoped(stack, name))
        return
    every = service.within("depends_on")
    for name in every.names():
        entry = every.within(name)
        condition = entry.text("condition") or "service_started"
        if condition not in _CONDITIONS:
            entry.problem("condition", f"{condition!r} is unknown; use {', '.join(_CONDITIONS)}")
        if entry.boolean("required") is not False:
            found = _CONDITIONS.get(condition, DependencyCondition.RUNNING)
            yield Dependency(service=scoped(stack, name), condition=found)
        entry.ignored(("restart",))
        entry.done()


def _ports(service: Fields) -> Iterator[Port]:
    for at, item in enumerate(service.items("ports")):
        path = f"ports[{at}]"
        if not isinstance(item, dict):
            short = Fields({path: item}, service.path, service.problems)
            yield from short.read(path, parse_ports) or ()
            continue
        fields = Fields(item, service.at(path), service.problems)
        yield with_given(
            Port(),
            target=fields.count("target"),
            published=fields.count("published"),
            protocol=next(iter(fields.read("protocol", _protocol) or ()), Port()).protocol,
            mode=fields.read("mode", lambda text: chosen("mode", PublishMode, text)),
            ip=fields.text("host_ip"),
        )
        fields.ignored(("app_protocol", "name"))
        fields.done()


def _protocol(text: str) -> tuple[Port, ...]:
    return parse_ports(f"1/{text}")
