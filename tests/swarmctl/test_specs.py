"""Flags become specs, and an update changes only what its flags name."""

from typing import Any

import pytest
from msgspec.structs import replace

from swarm.checks import check_service
from swarm.errors import Invalid
from swarm.specs import (
    ContainerSpec,
    Device,
    Global,
    Healthcheck,
    Limits,
    Mount,
    MountKind,
    NetworkAttachment,
    Placement,
    Replicated,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    Ulimit,
    UpdatePolicy,
)
from swarmctl.flags import CreateFlags, ServiceFlags, UpdateFlags
from swarmctl.modes import scaled
from swarmctl.specs import created, parse_ulimit, updated
from tests.networks import attached

SPEC = ServiceSpec(
    name="web",
    labels={"tier": "front", "old": "yes"},
    mode=Replicated(replicas=3),
    task=TaskSpec(
        container=ContainerSpec(
            image="nginx:1",
            args=("-x",),
            env=("A=1", "B=2"),
            groups=("audio",),
            labels={"c": "1"},
            mounts=(
                Mount(kind=MountKind.BIND, source="/x", target="/y"),
                Mount(source="v", target="/z"),
            ),
            sysctls={"net.a": "1"},
            ulimits=(Ulimit(name="core", soft=1, hard=1),),
            hosts=("db:10.0.0.1", "mq:10.0.0.2"),
            devices=(Device(source="/dev/zero", target="/dev/z"),),
        ),
        placement=Placement(constraints=("node.role==worker", "node.labels.zone != east")),
        networks=attached("host"),
        force_update=4,
    ),
)


def create(shared: dict[str, Any] | None = None, **own: Any) -> ServiceSpec:
    flags = CreateFlags(**({"image": "busybox", "name": "web"} | own))
    return created(ServiceFlags(**(shared or {})), flags, environ={"HOME": "/root"})


def update(
    spec: ServiceSpec = SPEC, shared: dict[str, Any] | None = None, **own: Any
) -> ServiceSpec:
    return updated(
        spec,
        ServiceFlags(**(shared or {})),
        UpdateFlags(**own),
        environ={},
        network_ids={"back": "id-of-back"},
    )


def test_a_service_needs_no_more_than_an_image() -> None:
    assert create() == ServiceSpec(
        name="web", task=TaskSpec(container=ContainerSpec(image="busybox"))
    )


def test_every_flag_of_create_finds_its_field() -> None:
    spec = create(
        {
            "entrypoint": "sh -c 'a b'",
            "hostname": "h-{{.Task.Slot}}",
            "init": True,
            "limit_cpu": 500,
            "limit_memory": 64 << 20,
            "limit_pids": 10,
            "oom_score_adj": -5,
            "read_only": True,
            "replicas": 7,
            "replicas_max_per_node": 2,
            "reserve_cpu": 100,
            "reserve_memory": 32 << 20,
            "restart_condition": "on-failure",
            "restart_delay": 0.5,
            "restart_max_attempts": 3,
            "restart_window": 60.0,
            "stop_grace_period": 2.0,
            "stop_signal": "SIGINT",
            "update_delay": 1.0,
            "update_parallelism": 0,
            "user": "1000:1000",
            "workdir": "/srv",
        },
        arguments=("sleep", "1"),
        constraint=("node.role==worker",),
        container_label=("c=1", "d"),
        env=("A=1", "HOME", "A=2"),
        group=("audio",),
        host=("db:10.0.0.1",),
        label=("tier=front",),
        mount=("source=v,target=/z",),
        network=("name=host",),
        sysctl=("kernel.shmmax=1",),
        ulimit=("nofile=1:2",),
    )

    assert check_service(spec) == ()
    assert spec == ServiceSpec(
        name="web",
        labels={"tier": "front"},
        mode=Replicated(replicas=7),
        update=UpdatePolicy(parallelism=0, delay_s=1.0),
        task=TaskSpec(
            container=ContainerSpec(
                image="busybox",
                command=("sh", "-c", "a b"),
                args=("sleep", "1"),
                env=("A=2", "HOME=/root"),
                workdir="/srv",
                user="1000:1000",
                groups=("audio",),
                hostname="h-{{.Task.Slot}}",
                labels={"c": "1", "d": ""},
                mounts=(Mount(source="v", target="/z"),),
                stop_signal="SIGINT",
                stop_grace_s=2.0,
                read_only=True,
                init=True,
                sysctls={"kernel.shmmax": "1"},
                ulimits=(Ulimit(name="nofile", soft=1, hard=2),),
                hosts=("db:10.0.0.1",),
                oom_score_adj=-5,
            ),
            limits=Limits(cpu_millis=500, memory_bytes=64 << 20, pids=10),
            reservations=Resources(cpu_millis=100, memory_bytes=32 << 20),
            restart=RestartPolicy(
                condition=RestartCondition.ON_FAILURE, delay_s=0.5, max_attempts=3, window_s=60.0
            ),
            placement=Placement(constraints=("node.role==worker",), max_replicas_per_node=2),
            networks=attached("host"),
        ),
    )


@pytest.mark.parametrize(
    ("shared", "own", "words"),
    [
        ({"replicas": 3}, {"mode": "global"}, "--replicas contradicts --mode global"),
        ({"replicas_max_per_node": 3}, {"mode": "global"}, "--replicas-max-per-node"),
        ({"max_concurrent": 2}, {}, "--max-concurrent is for replicated jobs"),
        ({"max_concurrent": 2}, {"mode": "global-job"}, "--max-concurrent is for replicated jobs"),
        ({"replicas": 3}, {"mode": "global-job"}, "--replicas contradicts --mode global-job"),
        ({"update_delay": 3.0}, {"mode": "replicated-job"}, "--update-. and --rollback-"),
        ({"rollback_order": "start-first"}, {"mode": "global-job"}, "--update-. and --rollback-"),
        ({"restart_condition": "any"}, {"mode": "replicated-job"}, "repeat a job for ever"),
        ({"update_canary": 1}, {"mode": "global"}, "--update-canary is for replicated"),
        ({"schedule_keep": 1}, {}, "there is none"),
        ({"schedule": "@daily"}, {"mode": "replicated"}, "--schedule is for jobs"),
        ({"update_order": "first"}, {}, "--update-order 'first'"),
        ({"log_opt": ("max-size",)}, {}, "--log-opt 'max-size'"),
        ({"isolation": "hyperv"}, {}, "--isolation is for Windows"),
        ({"credential_spec": "file://x"}, {}, "--credential-spec is for Windows"),
        ({"autoscale": "min=1"}, {}, "--autoscale: 'min=1' has no max"),
        ({}, {"publish": ("x",)}, "--publish: 'x'"),
        ({}, {"depends_on": ("db=up",)}, "--depends-on: 'db=up'"),
        ({}, {"affinity": ("db",)}, "--affinity: affinity 'db'"),
        ({}, {"toleration": ("a:never",)}, "--toleration: "),
        ({}, {"platform": ("linux",)}, "--platform: "),
        ({}, {"placement_pref": ("node.id",)}, "--placement-pref: "),
        ({}, {"generic_resource": ("gpu",)}, "--generic-resource: "),
        ({}, {"mode": "some"}, "--mode 'some'"),
        ({"restart_condition": "never"}, {}, "--restart-condition 'never'"),
        ({"entrypoint": "sh 'x"}, {}, "--entrypoint.*closing quotation"),
        ({}, {"label": ("=x",)}, "--label '=x'"),
        ({}, {"sysctl": ("net.a",)}, "--sysctl 'net.a'"),
        ({}, {"ulimit": ("nofile",)}, "--ulimit: 'nofile'"),
        ({}, {"mount": ("x",)}, "--mount: 'x'"),
        ({}, {"network": ("alias=x",)}, "--network: 'alias=x' has no name"),
    ],
)
def test_what_only_flags_can_get_wrong_is_refused_by_name(
    shared: dict[str, Any], own: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words) as caught:
        create(shared, **own)

    assert caught.value.hint


def test_an_update_without_flags_changes_nothing() -> None:
    assert update() == SPEC


def test_force_makes_a_new_version_of_an_unchanged_service() -> None:
    assert update(force=True) == replace(SPEC, task=replace(SPEC.task, force_update=5))


def changed(**fields: Any) -> ServiceSpec:
    container = replace(SPEC.task.container, **fields)
    return replace(SPEC, task=replace(SPEC.task, container=container))


@pytest.mark.parametrize(
    ("own", "fields"),
    [
        ({"image": "nginx:2"}, {"image": "nginx:2"}),
        ({"args": "-y 'z z'"}, {"args": ("-y", "z z")}),
        ({"args": ""}, {"args": ()}),
        ({"env_add": ("A=9", "C=3")}, {"env": ("A=9", "B=2", "C=3")}),
        ({"env_rm": ("A", "NOPE")}, {"env": ("B=2",)}),
        ({"env_rm": ("A",), "env_add": ("A=5",)}, {"env": ("B=2", "A=5")}),
        ({"group_add": ("video",), "group_rm": ("audio",)}, {"groups": ("video",)}),
        ({"host_rm": ("db",), "host_add": ("mq:10.0.0.9",)}, {"hosts": ("mq:10.0.0.9",)}),
        ({"host_rm": ("db:10.0.0.1",)}, {"hosts": ("mq:10.0.0.2",)}),
        ({"container_label_add": ("d=2",), "container_label_rm": ("c",)}, {"labels": {"d": "2"}}),
        (
            {"mount_rm": ("/y/",), "mount_add": ("source=w,target=/z",)},
            {"mounts": (Mount(source="w", target="/z"),)},
        ),
        ({"sysctl_add": ("net.b=2",), "sysctl_rm": ("net.a",)}, {"sysctls": {"net.b": "2"}}),
        (
            {"ulimit_add": ("core=2",)},
            {"ulimits": (Ulimit(name="core", soft=2, hard=2),)},
        ),
        ({"ulimit_rm": ("core",)}, {"ulimits": ()}),
        (
            {"device_add": ("/dev/fuse:/dev/z:r", "/dev/kvm")},
            {
                "devices": (
                    Device(source="/dev/fuse", target="/dev/z", access="r"),
                    Device(source="/dev/kvm", target="/dev/kvm"),
                )
            },
        ),
        ({"device_rm": ("/dev/z",)}, {"devices": ()}),
    ],
)
def test_an_update_changes_what_its_flags_name(own: dict[str, Any], fields: dict[str, Any]) -> None:
    assert update(**own) == changed(**fields)


def test_an_update_of_rights_and_health_keeps_what_it_does_not_name() -> None:
    spec = create(
        {
            "cap_drop": ("ALL",),
            "security_opt": ("seccomp=unconfined", "apparmor=mine"),
            "health_cmd": "true",
            "privileged": True,
            "userns": "host",
        }
    )

    again = update(
        spec,
        {
            "cap_add": ("KILL",),
            "security_opt": ("seccomp=default",),
            "health_retries": 2,
            "privileged": False,
            "userns": "private",
        },
    )

    assert again.task.container == replace(
        spec.task.container,
        cap_add=("CAP_KILL",),
        seccomp="",
        health=Healthcheck(test=("CMD-SHELL", "true"), retries=2),
        privileged=False,
        host_user_namespace=False,
    )
    assert again.task.container.apparmor == "mine"


def test_service_labels_constraints_and_networks_have_pairs() -> None:
    spec = update(
        label_add=("tier=back",),
        label_rm=("old",),
        constraint_rm=("node.labels.zone!=east", "node.role == worker"),
        constraint_add=("node.id==x",),
        network_rm=("host",),
        network_add=("none",),
    )

    assert spec.labels == {"tier": "back"}
    assert spec.task.placement.constraints == ("node.id==x",)
    assert spec.task.networks == attached("none")


def test_zero_and_false_are_values_not_absences() -> None:
    spec = create({"replicas": 5, "limit_pids": 9, "init": True, "read_only": True})

    again = update(spec, {"replicas": 0, "limit_pids": 0, "init": False, "read_only": False})

    assert again.mode == Replicated(replicas=0)
    assert again.task.limits.pids == 0
    assert (again.task.container.init, again.task.container.read_only) == (False, False)


def test_a_global_service_has_no_replicas_to_set() -> None:
    spec = replace(SPEC, mode=Global())

    for attempt in (lambda: scaled(spec, 2), lambda: update(spec, {"replicas": 2})):
        with pytest.raises(Invalid, match="web is global"):
            attempt()


def test_networks_are_changed_by_name_though_a_spec_has_their_ids() -> None:
    spec = replace(SPEC, task=replace(SPEC.task, networks=attached("id-of-back", "id-of-front")))

    renamed = update(spec, network_add=("name=back,alias=db",))
    removed = update(spec, network_rm=("back",), network_add=("new",))

    assert renamed.task.networks == (
        NetworkAttachment(target="id-of-back", aliases=("db",)),
        *attached("id-of-front"),
    )
    assert removed.task.networks == attached("id-of-front", "new")


def test_ports_that_are_to_be_chosen_do_not_replace_each_other() -> None:
    spec = update(publish_add=("80", "81", "8080:80"))

    assert [port.target for port in spec.endpoint.ports] == [80, 81, 80]
    assert [p.target for p in update(spec, publish_add=("8080:82",)).endpoint.ports] == [80, 81, 82]


def test_ulimits_have_a_long_form() -> None:
    assert parse_ulimit("nofile=-1") == Ulimit(name="nofile", soft=-1, hard=-1)
