import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from msgspec import structs

from engine.services.specs import read_spec, write_spec
from engine.wire.decoding import decode
from engine.wire.services import ServiceSpecJson
from swarm.errors import Invalid
from swarm.specs import (
    Affinity,
    Autoscale,
    ContainerSpec,
    Dependency,
    FileReference,
    GenericResource,
    Global,
    Limits,
    Mount,
    MountKind,
    NetworkAttachment,
    Placement,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    TaskSpec,
    UpdatePolicy,
)
from tests.engine.services.made import specs

# What Docker's own clients pass over when they read it, and do not send.
OURS = {
    "Priority", "DependsOn", "Affinities", "Tolerations", "Strategy", "Schedule", "Autoscale",
    "MaxUnavailable", "Canary", "MaxDelay", "Roams", "Privileged", "Devices", "UsernsMode",
    "AllowNewPrivileges", "HostIP", "SwapBytes", "MemorySwappiness",
}  # fmt: skip

# Each example is a whole service: some dozens of them are thousands of fields.
lawful = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


def sent(spec: ServiceSpec, *, defaults: bool = False) -> bytes:
    return msgspec.json.encode(write_spec(spec, defaults=defaults))


def read(body: bytes, before: ServiceSpec | None = None) -> ServiceSpec:
    return read_spec(decode(ServiceSpecJson, body), before)


def dockers(body: bytes) -> object:
    return without_ours(msgspec.json.decode(body))


def without_ours(value: object) -> object:
    if isinstance(value, dict):
        kept = {key: without_ours(each) for key, each in value.items() if key not in OURS}
        return {key: each for key, each in kept.items() if (key, each) != ("VolumeOptions", {})}
    return [without_ours(each) for each in value] if isinstance(value, list) else value


@lawful
@given(specs)
def test_law_what_was_read_and_is_sent_back_changes_nothing(spec: ServiceSpec) -> None:
    assert read(sent(spec), spec) == spec
    assert read(sent(spec, defaults=True), spec) == spec


@lawful
@given(specs)
def test_law_a_client_that_knows_dockers_fields_only_changes_nothing(spec: ServiceSpec) -> None:
    assert read(msgspec.json.encode(dockers(sent(spec))), spec) == spec


@lawful
@given(specs)
def test_law_what_was_read_makes_another_service_like_it(spec: ServiceSpec) -> None:
    watched = structs.replace(
        spec,
        update=structs.replace(spec.update, monitor_s=spec.update.monitor_s or 1.0),
        rollback=structs.replace(spec.rollback, monitor_s=spec.rollback.monitor_s or 1.0),
    )

    assert read(sent(watched)) == watched


@lawful
@given(specs, specs)
def test_law_what_docker_knows_is_the_clients_and_the_rest_is_kept(
    wanted: ServiceSpec, before: ServiceSpec
) -> None:
    container = structs.replace(wanted.task.container, allow_new_privileges=False)
    wanted = structs.replace(
        wanted,
        mode=Replicated(),  # a job's policies are never shown
        task=structs.replace(wanted.task, container=container),
        update=structs.replace(wanted.update, monitor_s=wanted.update.monitor_s or 1.0),
        rollback=structs.replace(wanted.rollback, monitor_s=wanted.rollback.monitor_s or 1.0),
    )
    said = dockers(sent(wanted, defaults=True))

    changed = read(msgspec.json.encode(said), before)

    assert dockers(sent(changed, defaults=True)) == said
    assert (changed.schedule, changed.autoscale) == (before.schedule, before.autoscale)
    assert changed.max_unavailable == before.max_unavailable
    assert changed.update.canary == before.update.canary
    assert changed.task.priority == before.task.priority
    assert changed.task.depends_on == before.task.depends_on
    assert changed.task.placement.affinities == before.task.placement.affinities
    assert changed.task.container.devices == before.task.container.devices
    assert changed.task.container.privileged == before.task.container.privileged


def test_a_service_as_dockers_command_line_sends_it() -> None:
    body = b"""{
      "Name": "web",
      "Labels": {"tier": "front"},
      "TaskTemplate": {
        "ContainerSpec": {
          "Image": "nginx:1.27@sha256:aa", "Args": ["-g", "daemon off;"], "Env": ["A=1", "A=2"],
          "Init": false, "DNSConfig": {}, "StopGracePeriod": 30000000000,
          "Hosts": ["192.0.2.1 db db.local"],
          "Mounts": [{"Type": "volume", "Source": "data", "Target": "/data",
                      "VolumeOptions": {"NoCopy": true, "DriverConfig": {"Name": "local"}}}],
          "Secrets": [{"File": {"Name": "pw", "UID": "0", "GID": "0", "Mode": 292},
                       "SecretID": "s1", "SecretName": "password"}],
          "CapabilityAdd": ["net_admin"],
          "Privileges": {"CredentialSpec": null, "SELinuxContext": null, "NoNewPrivileges": false}
        },
        "Resources": {"Limits": {"NanoCPUs": 500000000, "MemoryBytes": 67108864, "Pids": 10},
                      "Reservations": {"GenericResources": [
                        {"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}]}},
        "RestartPolicy": {"Condition": "on-failure", "Delay": 1000000000, "MaxAttempts": 3},
        "Placement": {"Constraints": ["node.role==worker"], "MaxReplicas": 2,
                      "Platforms": [{"Architecture": "amd64", "OS": "linux"}]},
        "Networks": [{"Target": "n1", "Aliases": ["www"]}],
        "ForceUpdate": 3
      },
      "Mode": {"Replicated": {"Replicas": 3}},
      "UpdateConfig": {"Parallelism": 2, "FailureAction": "continue", "MaxFailureRatio": 0.1,
                       "Order": "stop-first"},
      "EndpointSpec": {"Mode": "vip", "Ports": [{"Protocol": "tcp", "TargetPort": 80,
                       "PublishedPort": 8080, "PublishMode": "ingress"}]}
    }"""

    spec = read(body)

    assert spec.mode == Replicated(replicas=3)
    assert spec.labels == {"tier": "front"}
    assert spec.task.container == ContainerSpec(
        image="nginx:1.27@sha256:aa",
        args=("-g", "daemon off;"),
        env=("A=2",),
        stop_grace_s=30.0,
        hosts=("db:192.0.2.1", "db.local:192.0.2.1"),
        mounts=(
            Mount(
                kind=MountKind.VOLUME,
                source="data",
                target="/data",
                nocopy=True,
                volume_driver="local",
            ),
        ),
        secrets=(FileReference(id="s1", name="password", target="pw"),),
        cap_add=("CAP_NET_ADMIN",),
    )
    assert spec.task.limits == Limits(cpu_millis=500, memory_bytes=64 << 20, pids=10)
    assert spec.task.reservations == Resources(generic=(GenericResource(kind="gpu", count=2),))
    assert spec.task.restart == RestartPolicy(
        condition=RestartCondition.ON_FAILURE, delay_s=1.0, max_attempts=3
    )
    assert spec.task.placement == Placement(
        constraints=("node.role==worker",),
        max_replicas_per_node=2,
        platforms=(Platform(os="linux", arch="amd64"),),
    )
    assert spec.task.networks == (NetworkAttachment(target="n1", aliases=("www",)),)
    assert spec.task.force_update == 3
    assert (spec.update.parallelism, spec.update.monitor_s) == (2, 5.0)
    assert spec.rollback == UpdatePolicy()
    assert spec.endpoint.ports == (
        Port(target=80, published=8080, protocol=Protocol.TCP, mode=PublishMode.INGRESS),
    )


def test_a_service_as_docker_py_sends_it() -> None:
    body = b"""{
      "Name": "job", "Labels": null, "UpdateConfig": null,
      "TaskTemplate": {"ContainerSpec": {"Image": "busybox", "Command": ["true"], "Args": null},
                       "Networks": null},
      "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 5}}
    }"""

    spec = read(body)

    assert spec.mode == ReplicatedJob(max_concurrent=1, total=5)
    assert spec.task.container.command == ("true",)
    assert read(b'{"TaskTemplate":{"ContainerSpec":{}},"mode":{"global":{}}}').mode == Global()


def test_what_is_not_sent_is_dockers_default() -> None:
    spec = read(b'{"Name": "web", "TaskTemplate": {"ContainerSpec": {"Image": "a"}}}')

    assert spec == ServiceSpec(name="web", task=TaskSpec(container=ContainerSpec(image="a")))


def test_policies_that_are_as_by_default_are_shown_on_request_only() -> None:
    spec = ServiceSpec(name="web", update=UpdatePolicy(parallelism=10))

    plain, whole = write_spec(spec), write_spec(spec, defaults=True)

    assert plain.update_config is not None
    assert plain.update_config.monitor == 5_000_000_000
    assert plain.rollback_config is None
    assert plain.task_template is not None
    assert plain.task_template.restart_policy is None
    assert whole.rollback_config is not None
    assert whole.task_template is not None
    assert whole.task_template.restart_policy is not None


def test_what_docker_has_no_word_for_can_be_changed_by_name() -> None:
    before = ServiceSpec(
        name="web",
        task=TaskSpec(priority=7, depends_on=(Dependency(service="db"),)),
        schedule=Schedule(expression="* * * * *"),
        autoscale=Autoscale(least=1, most=5, cpu_percent=50.0),
    )
    body = b"""{
      "TaskTemplate": {"ContainerSpec": {"Image": "a"}, "Priority": 9, "DependsOn": [],
                       "Placement": {"Affinities": [{"Service": "cache", "Anti": true}]}},
      "Schedule": {}, "Autoscale": {"Min": 2, "Max": 9, "CPUPercent": 60}
    }"""

    changed = read(body, before)

    assert changed.name == "web"
    assert changed.task.priority == 9
    assert changed.task.depends_on == ()
    assert changed.task.placement.affinities == (Affinity(service="cache", anti=True),)
    assert changed.schedule is None
    assert changed.autoscale == Autoscale(least=2, most=9, cpu_percent=60.0)


def test_a_share_of_a_core_finer_than_ours_is_kept_and_the_next_one_up_counts() -> None:
    body = b"""{"TaskTemplate": {"ContainerSpec": {}, "Resources": {
      "Limits": {"NanoCPUs": 4000000}, "Reservations": {"NanoCPUs": 3500000}}}}"""

    spec = read(body)
    changed = structs.replace(
        spec,
        task=structs.replace(spec.task, limits=structs.replace(spec.task.limits, cpu_millis=500)),
    )

    assert spec.task.limits == Limits(cpu_millis=10, nano_cpus=4_000_000)
    assert spec.task.reservations == Resources(cpu_millis=4, nano_cpus=3_500_000)
    assert amounts(spec) == (4_000_000, 3_500_000)
    assert amounts(changed) == (500_000_000, 3_500_000)  # by somebody who does not speak Docker's


def amounts(spec: ServiceSpec) -> tuple[int, int]:
    template = write_spec(spec).task_template
    assert template is not None
    resources = template.resources
    assert resources is not None
    assert resources.limits is not None
    assert resources.reservations is not None
    return resources.limits.nano_cpus, resources.reservations.nano_cpus


def test_a_bare_container_is_no_licence_to_gain_privileges() -> None:
    body = b"""{"TaskTemplate": {"ContainerSpec": {"Privileges": {"NoNewPrivileges": false}}}}"""
    allowed = ServiceSpec(task=TaskSpec(container=ContainerSpec(allow_new_privileges=True)))
    asked = body.replace(b"false", b"true")

    assert not read(body).task.container.allow_new_privileges
    assert read(body, allowed).task.container.allow_new_privileges
    assert not read(asked, allowed).task.container.allow_new_privileges


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{}", "TaskTemplate: must be given"),
        (b'{"TaskTemplate": {}}', "TaskTemplate.ContainerSpec: must be given"),
        (b'{"TaskTemplate": {"Runtime": "plugin", "PluginSpec": {"Name": "x"}}}', "Runtime"),
        (b'{"TaskTemplate": {"Runtime": "attachment"}}', "TaskTemplate.Runtime"),
        (b'{"TaskTemplate": {"ContainerSpec": {"Isolation": "hyperv"}}}', "Isolation.*Windows"),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Privileges": {"CredentialSpec": {}}}}}',
            "CredentialSpec.*Windows",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Privileges": '
            b'{"SELinuxContext": {"User": "u"}}}}}',
            "SELinuxContext",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Privileges": {"Seccomp": {"Mode":"loose"}}}}}',
            r"Privileges.Seccomp.Mode: there is no 'loose'",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Mounts": [{"Type": "npipe"}]}}}',
            r"Mounts\[0\].Type: there are no mounts of type 'npipe'",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Mounts": [{"TmpfsOptions": '
            b'{"Options": [["exec"]]}}]}}}',
            r"Mounts\[0\].TmpfsOptions.Options",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"Configs": [{"ConfigID": "c", "Runtime": {}}]}}}',
            r"Configs\[0\].Runtime",
        ),
        (b'{"TaskTemplate": {"ContainerSpec": {"Hosts": ["db"]}}}', r"Hosts\[0\]"),
        (
            b'{"TaskTemplate": {"ContainerSpec": {"CapabilityAdd": ["NET_ADMON"]}}}',
            r"CapabilityAdd\[0\]",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {}, "RestartPolicy": {"Condition": "maybe"}}}',
            "RestartPolicy.Condition: there is no 'maybe'",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {}, "Placement": {"Preferences": [{}]}}}',
            r"Placement.Preferences\[0\]",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {}}, "Mode": {"Global": {}, "Replicated": {}}}',
            "Mode: must specify only one service mode",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {}}, "UpdateConfig": {"Order": "any"}}',
            "UpdateConfig.Order: there is no 'any'",
        ),
        (
            b'{"TaskTemplate": {"ContainerSpec": {}}, "EndpointSpec": {"Mode": "any"}}',
            "EndpointSpec.Mode: there is no 'any'",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_refused_by_its_name(body: bytes, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        read(body)
