"""A service in which every field is set, and what it is like without each of them."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct
from msgspec.structs import fields, replace

from swarm.specs import (
    Affinity,
    Autoscale,
    Catchup,
    Concurrency,
    ContainerSpec,
    Dependency,
    DependencyCondition,
    Device,
    EndpointMode,
    EndpointSpec,
    FailureAction,
    FileReference,
    GenericResource,
    Healthcheck,
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
    Resources,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    Strategy,
    TaintEffect,
    TaskSpec,
    Toleration,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)
from tests.networks import attached

POLICY = UpdatePolicy(
    parallelism=2,
    delay_s=3,
    order=UpdateOrder.START_FIRST,
    monitor_s=7,
    max_failure_ratio=0.5,
    failure_action=FailureAction.ROLLBACK,
    canary=4,
)
REFERENCE = FileReference(id="i1", name="n1", target="t1", uid="5", gid="6", mode=0o400)
FULL = ServiceSpec(
    name="web",
    labels={"a": "b"},
    mode=Replicated(replicas=3),
    task=TaskSpec(
        container=ContainerSpec(
            image="nginx:1",
            command=("sh",),
            args=("-c",),
            env=("A=1",),
            workdir="/w",
            user="u",
            groups=("g",),
            hostname="h",
            labels={"c": "d"},
            mounts=(
                Mount(
                    kind=MountKind.VOLUME,
                    source="v",
                    target="/v",
                    read_only=True,
                    nocopy=True,
                    labels={"l": "m"},
                    volume_driver="nfs",
                    volume_options={"o": "p"},
                    volume_subpath="s",
                    roams=True,
                ),
                Mount(
                    kind=MountKind.BIND,
                    source="/b",
                    target="/bb",
                    propagation="rslave",
                    nonrecursive=True,
                    create_source=True,
                ),
                Mount(kind=MountKind.TMPFS, target="/t", tmpfs_size_bytes=9, tmpfs_mode=0o700),
            ),
            stop_signal="SIGINT",
            stop_grace_s=2,
            read_only=True,
            init=True,
            sysctls={"net.a": "1"},
            ulimits=(Ulimit(name="core", soft=1, hard=2),),
            hosts=("db:10.0.0.1",),
            oom_score_adj=3,
            cap_add=("CAP_KILL",),
            cap_drop=("CAP_CHOWN",),
            privileged=True,
            devices=(Device(source="/dev/a", target="/dev/b", access="r"),),
            seccomp="unconfined",
            apparmor="mine",
            allow_new_privileges=True,
            host_user_namespace=True,
            tty=True,
            open_stdin=True,
            health=Healthcheck(
                test=("CMD", "x"),
                interval_s=1,
                timeout_s=2,
                retries=3,
                start_period_s=4,
                start_interval_s=5,
            ),
            secrets=(REFERENCE,),
            configs=(replace(REFERENCE, id="i2", name="n2", target="t2"),),
            dns_servers=("9.9.9.9",),
            dns_search=("lan",),
            dns_options=("rotate",),
        ),
        limits=Limits(cpu_millis=1, memory_bytes=2, pids=3, swap_bytes=4, swappiness=5),
        reservations=Resources(
            cpu_millis=1, memory_bytes=2, generic=(GenericResource(kind="gpu", count=2),)
        ),
        restart=RestartPolicy(
            condition=RestartCondition.ON_FAILURE,
            delay_s=1,
            max_attempts=2,
            window_s=3,
            max_delay_s=4,
        ),
        placement=Placement(
            constraints=("node.role==worker",),
            max_replicas_per_node=2,
            preferences=("node.labels.zone",),
            platforms=(Platform(os="linux", arch="x86_64"),),
            affinities=(Affinity(service="db", anti=True, required=False, topology="node.role"),),
            tolerations=(
                Toleration(key="k", value="v", effects=(TaintEffect.NO_EXECUTE,)),
                Toleration(key="any", any_value=True),
            ),
            strategy=Strategy.BINPACK,
        ),
        networks=attached("host"),
        force_update=3,
        log_driver=LogDriver(name="json-file", options={"max-file": "2"}),
        priority=5,
        depends_on=(Dependency(service="db", condition=DependencyCondition.HEALTHY),),
    ),
    update=POLICY,
    rollback=POLICY,
    schedule=Schedule(
        expression="@daily",
        timezone="Europe/Berlin",
        catchup=Catchup.ALL,
        concurrency=Concurrency.FORBID,
        keep_completed=7,
        keep_failed=8,
    ),
    autoscale=Autoscale(
        least=2,
        most=9,
        cpu_percent=50,
        memory_percent=60,
        query="up",
        target=3,
        up_window_s=11,
        down_window_s=12,
    ),
    endpoint=EndpointSpec(
        mode=EndpointMode.DNSRR,
        ports=(
            Port(
                target=80,
                published=81,
                protocol=Protocol.UDP,
                mode=PublishMode.HOST,
                ip="10.0.0.1",
            ),
        ),
    ),
    max_unavailable=2,
)


def without_each(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each field by its path, and the whole with only that one at its default."""
    for each in fields(value):
        name = f"{path}.{each.name}" if path else each.name
        present = getattr(value, each.name)
        parts: list[tuple[str, Any]] = []
        if isinstance(present, Struct):
            parts = list(without_each(present, name))
        elif isinstance(present, tuple) and present and isinstance(present[0], Struct):
            for index, item in enumerate(present):
                for inner, changed in without_each(item, f"{name}[{index}]"):
                    parts.append((inner, (*present[:index], changed, *present[index + 1 :])))
        else:
            made = each.default_factory
            default = made() if callable(made) else each.default
            if default != present:
                yield name, replace(value, **{each.name: default})
        for inner, changed in parts:
            yield inner, replace(value, **{each.name: changed})
