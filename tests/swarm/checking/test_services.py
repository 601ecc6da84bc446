"""Each subject of a service spec has its problems, each with its path."""

import pytest
from msgspec.structs import replace

from swarm.checks import check_service
from swarm.specs import (
    Affinity,
    Autoscale,
    ContainerSpec,
    Dependency,
    EndpointMode,
    EndpointSpec,
    FailureAction,
    FileReference,
    GenericResource,
    Global,
    GlobalJob,
    Limits,
    LogDriver,
    Mount,
    MountKind,
    Placement,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    TaskSpec,
    Toleration,
    UpdatePolicy,
)
from tests.networks import attached

KEY = FileReference(id="i", name="key", target="key")
HOST_PORT = Port(target=80, published=80, mode=PublishMode.HOST)
INGRESS_PORT = Port(target=80, published=8080)
DAILY = Schedule(expression="@daily")
WISH = Autoscale(least=1, most=3, cpu_percent=50.0)


def service(**fields: object) -> ServiceSpec:
    """A sound service with other fields; those of its task by their own names."""
    task = {name: fields.pop(name) for name in list(fields) if name in TaskSpec.__struct_fields__}
    container = {
        name: fields.pop(name) for name in list(fields) if name in ContainerSpec.__struct_fields__
    }
    made = TaskSpec(container=ContainerSpec(image="busybox", **container), **task)
    return ServiceSpec(name="web", task=made, **fields)


def placed(**fields: object) -> ServiceSpec:
    return service(placement=Placement(**fields))


def published(*ports: Port, host: bool = True) -> ServiceSpec:
    return service(networks=attached("host") if host else (), endpoint=EndpointSpec(ports=ports))


def generic(*wanted: GenericResource) -> ServiceSpec:
    return service(reservations=Resources(generic=wanted))


SOUND = [
    service(),
    published(INGRESS_PORT, replace(INGRESS_PORT, protocol=Protocol.UDP), host=False),
    published(
        replace(INGRESS_PORT, ip="10.1.2.3"), replace(INGRESS_PORT, ip="fd00::1"), host=False
    ),
    published(replace(INGRESS_PORT, published=0), Port(target=81), host=False),
    published(replace(HOST_PORT, published=8080), host=False),
    service(networks=attached("front", "back"), endpoint=EndpointSpec(mode=EndpointMode.DNSRR)),
    service(networks=attached("bridge"), endpoint=EndpointSpec(ports=(HOST_PORT,))),
    service(mode=GlobalJob(), schedule=DAILY),
    service(mode=ReplicatedJob(total=5, max_concurrent=2), schedule=DAILY),
    service(autoscale=WISH),
    service(autoscale=Autoscale(least=1, most=2, query="up", target=1.0)),
    service(autoscale=replace(WISH, memory_percent=50.0), limits=Limits(memory_bytes=1 << 30)),
    published(
        replace(HOST_PORT, ip="10.0.0.2"),
        replace(HOST_PORT, ip="10.0.0.1"),
        replace(HOST_PORT, target=81, published=81),
    ),
    placed(
        preferences=("node.labels.zone",),
        platforms=(Platform(os="linux", arch="amd64"),),
        affinities=(Affinity(service="web", anti=True), Affinity(service="db")),
        tolerations=(Toleration(key="a", value="b"), Toleration(any_value=True)),
    ),
    generic(GenericResource(kind="gpu", count=1), GenericResource(kind="ssd", count=9)),
    service(secrets=(KEY,), configs=(KEY,)),
    service(log_driver=LogDriver(name="local", options={"max-size": "1m", "max-file": "2"})),
    service(log_driver=LogDriver(name="none")),
    service(dns_servers=("::1",), dns_search=(".",), dns_options=("ndots:1",)),
    service(depends_on=(Dependency(service="db"),), priority=-5),
    service(limits=Limits(swappiness=0)),
    service(restart=RestartPolicy(delay_s=5.0, max_delay_s=5.0)),
]


@pytest.mark.parametrize("spec", SOUND)
def test_what_is_sound_has_no_problems(spec: ServiceSpec) -> None:
    assert check_service(spec) == ()


@pytest.mark.parametrize(
    ("spec", "path", "words"),
    [
        # rollouts, restarts, schedules, autoscaling
        (service(update=UpdatePolicy(monitor_s=-1)), "update.monitor_s", "negative"),
        (
            service(update=UpdatePolicy(max_failure_ratio=1.5)),
            "update.max_failure_ratio",
            "0 and 1",
        ),
        (service(rollback=UpdatePolicy(parallelism=-1)), "rollback.parallelism", "negative"),
        (service(update=UpdatePolicy(canary=-1)), "update.canary", "negative"),
        (
            service(rollback=UpdatePolicy(failure_action=FailureAction.ROLLBACK)),
            "rollback.failure_action",
            "cannot be rolled back",
        ),
        (service(rollback=UpdatePolicy(canary=1)), "rollback.canary", "no canaries"),
        (
            service(mode=ReplicatedJob(), update=UpdatePolicy(delay_s=1.0)),
            "update",
            "a job has no updates",
        ),
        (service(restart=RestartPolicy(max_delay_s=-1.0)), "task.restart.max_delay_s", "negative"),
        (
            service(restart=RestartPolicy(delay_s=9.0, max_delay_s=1.0)),
            "task.restart.max_delay_s",
            "less than the first",
        ),
        (service(mode=ReplicatedJob(total=-1)), "replicated_job.total", "negative"),
        (service(schedule=DAILY), "schedule", "belongs to jobs"),
        (
            service(mode=GlobalJob(), schedule=Schedule(expression="61 * * * *")),
            "schedule.expression",
            "61",
        ),
        (
            service(mode=GlobalJob(), schedule=Schedule()),
            "schedule.expression",
            "must not be empty",
        ),
        (
            service(mode=GlobalJob(), schedule=replace(DAILY, timezone="Mars/Olympus")),
            "schedule.timezone",
            "Mars/Olympus",
        ),
        (
            service(mode=GlobalJob(), schedule=replace(DAILY, keep_completed=-1)),
            "schedule.keep_completed",
            "negative",
        ),
        (service(mode=Global(), autoscale=WISH), "autoscale", "replicated"),
        (service(autoscale=replace(WISH, least=0)), "autoscale.least", "less than 1"),
        (service(autoscale=replace(WISH, least=5)), "autoscale.most", "less than the least"),
        (service(autoscale=replace(WISH, cpu_percent=0.0)), "autoscale", "no target"),
        (service(autoscale=replace(WISH, query="up")), "autoscale.query", "needs a target"),
        (
            service(autoscale=replace(WISH, memory_percent=9.0)),
            "autoscale.memory_percent",
            "has neither",
        ),
        (
            service(autoscale=replace(WISH, down_window_s=-1.0)),
            "autoscale.down_window_s",
            "negative",
        ),
        # ports
        (
            service(endpoint=EndpointSpec(mode=EndpointMode.DNSRR)),
            "endpoint.mode",
            "no addresses",
        ),
        (
            service(networks=attached("none"), endpoint=EndpointSpec(ports=(INGRESS_PORT,))),
            "endpoint.ports[0]",
            "nothing to publish",
        ),
        (
            published(INGRESS_PORT, replace(INGRESS_PORT, ip="10.1.2.3"), host=False),
            "endpoint.ports[1].published",
            "already published by ports[0]",
        ),
        (
            service(
                networks=attached("back"),
                endpoint=EndpointSpec(mode=EndpointMode.DNSRR, ports=(INGRESS_PORT,)),
            ),
            "endpoint.ports[0].mode",
            "cannot be used with dnsrr",
        ),
        (
            published(replace(INGRESS_PORT, ip="0.0.0.0"), host=False),
            "endpoint.ports[0].ip",
            "leave ip out",
        ),
        (
            published(replace(INGRESS_PORT, ip="FD00::1"), host=False),
            "endpoint.ports[0].ip",
            "fd00::1",
        ),
        (
            service(networks=attached("bridge"), endpoint=EndpointSpec(ports=(INGRESS_PORT,))),
            "task.networks",
            "bridge excludes ports in ingress mode",
        ),
        (
            published(Port(target=80, published=80)),
            "endpoint.ports[0].mode",
            "mode=host,target=80,published=80",
        ),
        (
            published(replace(HOST_PORT, published=81)),
            "endpoint.ports[0].published",
            "as it is",
        ),
        (published(replace(HOST_PORT, published=0)), "endpoint.ports[0].published", "none"),
        (published(HOST_PORT, HOST_PORT), "endpoint.ports[1].published", "already published"),
        (published(replace(HOST_PORT, ip="x")), "endpoint.ports[0].ip", "not an address"),
        # places
        (placed(preferences=("node.zone",)), "task.placement.preferences[0]", "no attribute"),
        (placed(platforms=(Platform(),)), "task.placement.platforms[0]", "neither"),
        (
            placed(affinities=(Affinity(),)),
            "task.placement.affinities[0].service",
            "must not be empty",
        ),
        (
            placed(affinities=(Affinity(service="db", topology="rack"),)),
            "task.placement.affinities[0].topology",
            "no attribute",
        ),
        (
            placed(tolerations=(Toleration(),)),
            "task.placement.tolerations[0].key",
            "any value",
        ),
        (service(priority=2**40), "task.priority", "is not in"),
        (service(max_unavailable=-1), "max_unavailable", "negative"),
        (
            service(depends_on=(Dependency(service="web"),)),
            "task.depends_on[0].service",
            "for itself",
        ),
        (
            service(depends_on=(Dependency(service="a"), Dependency(service="a"))),
            "task.depends_on[1].service",
            "already in",
        ),
        # what tasks use
        (service(limits=Limits(swappiness=101)), "task.limits.swappiness", "0..100"),
        (generic(GenericResource(kind="gpu")), "task.reservations.generic[0].count", "1.."),
        (
            generic(GenericResource(kind="gpu", names=("g1",))),
            "task.reservations.generic[0].names",
            "decided later",
        ),
        (
            generic(GenericResource(kind="g", count=1), GenericResource(kind="g", count=1)),
            "task.reservations.generic[1].kind",
            "already in",
        ),
        # files
        (
            service(secrets=(replace(KEY, id="", name=""),)),
            "task.container.secrets[0]",
            "by id or by name",
        ),
        (service(secrets=(replace(KEY, uid="root"),)), "task.container.secrets[0].uid", "number"),
        (service(configs=(replace(KEY, mode=0o10000),)), "task.container.configs[0].mode", "mode"),
        (
            service(configs=(replace(KEY, target="../x"),)),
            "task.container.configs[0].target",
            "..",
        ),
        (
            service(secrets=(KEY, replace(KEY, id="j", target="/run/secrets/key"))),
            "task.container.secrets[1].target",
            "already the target of secrets[0]",
        ),
        (
            service(secrets=(replace(KEY, target="/run/secrets"),)),
            "task.container.secrets[0].target",
            "is a directory",
        ),
        (
            service(secrets=(KEY,), configs=(replace(KEY, target="run/secrets/key/part"),)),
            "task.container.configs[0].target",
            "cannot be in secrets[0], which is a file",
        ),
        (
            service(configs=(KEY,), mounts=(Mount(target="/key"),)),
            "task.container.configs[0].target",
            "already the target of mounts[0]",
        ),
        (
            service(mounts=(Mount(source="a", target="/b", volume_driver="nfs"),)),
            "task.container.mounts[0].volume_driver",
            "no driver 'nfs'",
        ),
        (
            service(mounts=(Mount(source="a", target="/b", volume_options={"type": "nfs"}),)),
            "task.container.mounts[0].volume_options[device]",
            "missing",
        ),
        (
            service(mounts=(Mount(target="/b", volume_options={"type": "tmpfs", "device": "x"}),)),
            "task.container.mounts[0].volume_options",
            "with a name",
        ),
        (
            service(mounts=(Mount(kind=MountKind.BIND, source="/a", target="/b", roams=True),)),
            "task.container.mounts[0].roams",
            "volume",
        ),
        # output and names
        (service(log_driver=LogDriver(name="syslog")), "task.log_driver.name", "no log driver"),
        (
            service(log_driver=LogDriver(options={"max-size": "10 apples"})),
            "task.log_driver.options",
            "not a size",
        ),
        (
            service(log_driver=LogDriver(options={"labels": "x"})),
            "task.log_driver.options",
            "no option 'labels'",
        ),
        (service(dns_servers=("dns.lan",)), "task.container.dns_servers[0]", "not an address"),
        (service(dns_search=("a b",)), "task.container.dns_search[0]", "not a domain"),
        (service(dns_options=("a b",)), "task.container.dns_options[0]", "not an option"),
    ],
)
def test_a_problem_has_its_path_and_says_what_is_wrong(
    spec: ServiceSpec, path: str, words: str
) -> None:
    problems = check_service(spec)

    assert len(problems) == 1, problems
    assert problems[0].startswith(f"{path}: ")
    assert words in problems[0]


def test_all_problems_are_told_at_once() -> None:
    spec = service(
        mode=Replicated(replicas=-1),
        priority=2**40,
        log_driver=LogDriver(name="syslog"),
        endpoint=EndpointSpec(ports=(Port(target=0),)),
    )

    assert [each.partition(":")[0] for each in check_service(spec)] == [
        "replicated.replicas",
        "task.log_driver.name",
        "task.priority",
        "endpoint.ports[0].target",
    ]


def test_a_template_with_a_name_that_no_node_knows_is_refused_with_the_names_there_are() -> None:
    made = service(
        hostname="{{.Node.Bogus}}",
        env=("A={{.Service.Labels.zone}}", "B={{.Task.Slot}}", 'C={"x": {"y": 1}}'),
        mounts=(Mount(kind=MountKind.VOLUME, source="v-{{.Slot}}", target="/v"),),
    )

    problems = check_service(made)
    labelled = check_service(replace(made, labels={"zone": "east"}))

    paths = [each.partition(":")[0] for each in problems]
    assert paths == [
        "task.container.hostname", "task.container.env[0]", "task.container.mounts[0].source",
    ]  # fmt: skip
    assert "there is no {{.Node.Bogus}}; use one of .Service.ID, " in problems[0]
    assert len(labelled) == 2
