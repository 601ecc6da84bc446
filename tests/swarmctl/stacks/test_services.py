"""Every key of a service leads to its field, or is refused with its path."""

from collections.abc import Callable

import pytest

from swarm.specs import (
    Dependency,
    DependencyCondition,
    Device,
    FailureAction,
    FileReference,
    GenericResource,
    Global,
    GlobalJob,
    Healthcheck,
    Limits,
    LogDriver,
    Mount,
    MountKind,
    Platform,
    Port,
    Protocol,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    Ulimit,
    UpdateOrder,
    UpdatePolicy,
)
from tests.networks import attached
from tests.swarmctl.stacks.reading import problems, service, stack

MIB = 1 << 20
MARK = {"com.docker.stack.namespace": "s"}
Shown = Callable[[ServiceSpec], object]
DATA = "volumes: {data: {driver: local, driver_opts: {type: tmpfs, device: tmpfs}, labels: {a: b}},"
DATA += " there: {external: true}, called: {name: own}}"
CONTENTS = "secrets: {key: {file: k}}\nconfigs: {site: {external: true, name: other}}"


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("command: sh -c 'a b'", lambda s: s.task.container.args, ("sh", "-c", "a b")),
        ("command: [a, 1, true]", lambda s: s.task.container.args, ("a", "1", "true")),
        ("entrypoint: a b", lambda s: s.task.container.command, ("a", "b")),
        ("working_dir: /w", lambda s: s.task.container.workdir, "/w"),
        ("user: 5:6", lambda s: s.task.container.user, "5:6"),
        ("user: 5", lambda s: s.task.container.user, "5"),
        ("group_add: [7]", lambda s: s.task.container.groups, ("7",)),
        ("hostname: h", lambda s: s.task.container.hostname, "h"),
        ("labels: [a=b, c]", lambda s: s.task.container.labels, {"a": "b", "c": "", **MARK}),
        ("stop_signal: USR1", lambda s: s.task.container.stop_signal, "USR1"),
        ("stop_grace_period: 1m3s", lambda s: s.task.container.stop_grace_s, 63.0),
        ("read_only: true", lambda s: s.task.container.read_only, True),
        ('read_only: "true"', lambda s: s.task.container.read_only, True),
        ("init: true", lambda s: s.task.container.init, True),
        ("tty: true", lambda s: s.task.container.tty, True),
        ("stdin_open: true", lambda s: s.task.container.open_stdin, True),
        (
            "sysctls: {net.ipv4.ip_forward: 1}",
            lambda s: s.task.container.sysctls,
            {"net.ipv4.ip_forward": "1"},
        ),
        (
            "ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}",
            lambda s: s.task.container.ulimits,
            (Ulimit(name="nofile", soft=1, hard=2), Ulimit(name="nproc", soft=3, hard=3)),
        ),
        ("extra_hosts: ['a:1.2.3.4', 'b=[::1]']", lambda s: s.task.container.hosts,
         ("a:1.2.3.4", "b:::1")),
        ("extra_hosts: {a: 1.2.3.4}", lambda s: s.task.container.hosts, ("a:1.2.3.4",)),
        ("oom_score_adj: -5", lambda s: s.task.container.oom_score_adj, -5),
        ("privileged: true", lambda s: s.task.container.privileged, True),
        (
            "devices: ['/dev/fuse:/dev/x:r']",
            lambda s: s.task.container.devices,
            (Device(source="/dev/fuse", target="/dev/x", access="r"),),
        ),
        ("userns_mode: host", lambda s: s.task.container.host_user_namespace, True),
        ("security_opt: [no-new-privileges=false]",
         lambda s: s.task.container.allow_new_privileges, True),
        ("cap_add: [NET_ADMIN]\ncap_drop: [ALL]",
         lambda s: (s.task.container.cap_add, s.task.container.cap_drop),
         (("CAP_NET_ADMIN",), ("ALL",))),
        ("dns: 1.1.1.1", lambda s: s.task.container.dns_servers, ("1.1.1.1",)),
        ("dns_search: [a.b]", lambda s: s.task.container.dns_search, ("a.b",)),
        ("dns_opt: [ndots:3]", lambda s: s.task.container.dns_options, ("ndots:3",)),
        (
            "healthcheck: {test: up, interval: 1s, timeout: 2s, retries: 3, start_period: 4s,"
            " start_interval: 5s}",
            lambda s: s.task.container.health,
            Healthcheck(test=("CMD-SHELL", "up"), interval_s=1, timeout_s=2, retries=3,
                        start_period_s=4, start_interval_s=5),
        ),
        ("healthcheck: {test: [CMD, a]}", lambda s: s.task.container.health.test, ("CMD", "a")),
        ("healthcheck: {disable: true}", lambda s: s.task.container.health.test, ("NONE",)),
        ("healthcheck: {test: [NONE]}", lambda s: s.task.container.health.test, ("NONE",)),
        ("logging: {driver: json-file, options: {max-size: 1m}}", lambda s: s.task.log_driver,
         LogDriver(name="json-file", options={"max-size": "1m"})),
        ("network_mode: host", lambda s: s.task.networks, attached("host")),
        ("networks: [none]", lambda s: s.task.networks, attached("none")),
        ("networks: {host: }", lambda s: s.task.networks, attached("host")),
        (
            "network_mode: host\nports: [{target: 80, published: '80', mode: host, protocol: udp,"
            " host_ip: 127.0.0.1, name: dns}]",
            lambda s: s.endpoint.ports,
            (Port(target=80, published=80, mode=PublishMode.HOST, ip="127.0.0.1", protocol=1),),
        ),
        ("platform: linux/arm64", lambda s: s.task.placement.platforms,
         (Platform(os="linux", arch="arm64"),)),
        ("depends_on: {}", lambda s: s.task.depends_on, ()),
        ("x-own: {a: b}", lambda s: s.name, "s_web"),
    ],
)  # fmt: skip
def test_a_key_leads_to_its_field(text: str, shown: Shown, expected: object) -> None:
    assert shown(service(text)) == expected


@pytest.mark.parametrize(
    ("text", "shown", "expected"),
    [
        ("replicas: 3", lambda s: s.mode, Replicated(replicas=3)),
        ("replicas: '3'", lambda s: s.mode, Replicated(replicas=3)),
        ("mode: global", lambda s: s.mode, Global()),
        ("mode: global-job", lambda s: s.mode, GlobalJob()),
        ("{mode: replicated-job, replicas: 4}", lambda s: s.mode, ReplicatedJob(total=4)),
        ("mode: replicated-job", lambda s: s.task.restart.condition, RestartCondition.ON_FAILURE),
        ("labels: {a: b}", lambda s: s.labels,
         {"a": "b", "com.docker.stack.image": "busybox:1", **MARK}),
        (
            "update_config: {parallelism: 2, delay: 3s, order: start-first, monitor: 4s,"
            " max_failure_ratio: '0.5', failure_action: rollback}",
            lambda s: s.update,
            UpdatePolicy(parallelism=2, delay_s=3, order=UpdateOrder.START_FIRST, monitor_s=4,
                         max_failure_ratio=0.5, failure_action=FailureAction.ROLLBACK),
        ),
        ("rollback_config: {parallelism: 0}", lambda s: s.rollback, UpdatePolicy(parallelism=0)),
        (
            "restart_policy: {condition: on-failure, delay: 1s, max_attempts: 2, window: 3s}",
            lambda s: s.task.restart,
            RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=1, max_attempts=2,
                          window_s=3),
        ),
        (
            "resources: {limits: {cpus: 0.5, memory: 64M, pids: 9}}",
            lambda s: s.task.limits,
            Limits(cpu_millis=500, memory_bytes=64 * MIB, pids=9),
        ),
        (
            "resources: {reservations: {cpus: '2', memory: 8m, generic_resources:"
            " [{discrete_resource_spec: {kind: gpu, value: 2}}]}}",
            lambda s: s.task.reservations,
            Resources(cpu_millis=2000, memory_bytes=8 * MIB,
                      generic=(GenericResource(kind="gpu", count=2),)),
        ),
        (
            "placement: {constraints: [node.role==worker], preferences:"
            " [{spread: node.labels.zone}], max_replicas_per_node: 2}",
            lambda s: (s.task.placement.constraints, s.task.placement.preferences,
                       s.task.placement.max_replicas_per_node),
            (("node.role==worker",), ("node.labels.zone",), 2),
        ),
    ],
)  # fmt: skip
def test_a_key_of_deploy_leads_to_its_field(text: str, shown: Shown, expected: object) -> None:
    assert shown(service(f"deploy:\n  {text}")) == expected


def test_the_environment_is_of_files_of_the_file_and_of_the_caller() -> None:
    text = "env_file: [a.env, {path: none.env, required: false}]\nenvironment: [B=2, C, D, E=]"

    found = service(text, environ={"C": "mine", "HOME_OF_B": "/b"}).task.container.env

    assert found == ("A=file", "B=2", "C=mine", "E=", "HOME_OF_B=/b")
    assert service("environment: {B: 2, A: true, C: }").task.container.env == ("A=true", "B=2")


@pytest.mark.parametrize(
    ("text", "mount"),
    [
        ("'/y'", Mount(target="/y")),
        ("'./x:/y:ro'", Mount(kind=MountKind.BIND, source="/here/x", target="/y", read_only=True)),
        ("'/x/../z:/y:rshared'",
         Mount(kind=MountKind.BIND, source="/z", target="/y", propagation="rshared")),
        ("'there:/y:nocopy'", Mount(source="there", target="/y", nocopy=True)),
        ("{type: volume, source: called, target: /y, volume: {subpath: a, labels: {l: m}}}",
         Mount(source="own", target="/y", volume_subpath="a", labels={"l": "m", **MARK})),
        ("'data:/y'",
         Mount(source="s_data", target="/y", volume_driver="local", labels={"a": "b", **MARK},
               volume_options={"type": "tmpfs", "device": "tmpfs"})),
        ("{type: bind, source: /x, target: /y, read_only: true, bind: {propagation: rslave,"
         " create_host_path: true, recursive: disabled}}",
         Mount(kind=MountKind.BIND, source="/x", target="/y", read_only=True,
               propagation="rslave", create_source=True, nonrecursive=True)),
        ("{type: tmpfs, target: /y, tmpfs: {size: 1m, mode: 01777}}",
         Mount(kind=MountKind.TMPFS, target="/y", tmpfs_size_bytes=MIB, tmpfs_mode=0o1777)),
    ],
)  # fmt: skip
def test_mounts_are_read_in_both_forms(text: str, mount: Mount) -> None:
    assert service(f"volumes: [{text}]", besides=DATA).task.container.mounts == (mount,)


def test_a_tmpfs_is_a_mount() -> None:
    found = service("tmpfs: [/a, '/b:size=1m,mode=700']").task.container.mounts

    assert found == (
        Mount(kind=MountKind.TMPFS, target="/a"),
        Mount(kind=MountKind.TMPFS, target="/b", tmpfs_size_bytes=MIB, tmpfs_mode=0o700),
    )


def test_secrets_and_configs_are_called_as_in_the_swarm_and_placed_as_in_the_file() -> None:
    text = "secrets: [key, {source: key, target: k, uid: '3', gid: 4, mode: 0400}]\nconfigs: [site]"

    container = service(text, besides=CONTENTS).task.container

    assert container.secrets == (
        FileReference(name="s_key", target="key"),
        FileReference(name="s_key", target="k", uid="3", gid="4", mode=0o400),
    )
    assert container.configs == (FileReference(name="other", target="/site"),)


def test_depends_on_waits_as_the_condition_says() -> None:
    found = stack(
        """
        services:
          a: {image: a, depends_on: [b]}
          b:
            image: b
            depends_on:
              c: {condition: service_healthy}
              d: {condition: service_completed_successfully, restart: true}
              e: {condition: service_started, required: false}
          c: {image: c}
          d: {image: d}
          e: {image: e}
        """
    )

    assert found.services[0].task.depends_on == (Dependency(service="s_b"),)
    assert found.services[1].task.depends_on == (
        Dependency(service="s_c", condition=DependencyCondition.HEALTHY),
        Dependency(service="s_d", condition=DependencyCondition.COMPLETE),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("colour: red", "services.web.colour: there is no such key"),
        ("mem_limit: 1m", "services.web.mem_limit: use deploy.resources.limits.memory"),
        ("isolation: x", "services.web.isolation: is for Windows containers"),
        ("networks: [front]", "services.web.networks: there is no network 'front'; declare it"),
        ("network_mode: pod", "services.web.network_mode: 'pod' is unknown; use host, none"),
        ("networks: {default: {colour: red}}", "services.web.networks.default.colour: there is no"),
        ("networks: {default: {aliases: [a b]}}", "services.web.networks[0].aliases[0]: 'a b'"),
        ("tty: perhaps", "services.web.tty: 'perhaps' is neither true nor false"),
        ("tty: [1]", "services.web.tty: [1] is not a single value"),
        ("stop_grace_period: 10", "services.web.stop_grace_period: '10' has no unit"),
        ("env_file: none.env", "services.web.env_file: none.env: no such file"),
        ("env_file: bad.env", "services.web.env_file: bad.env:1:"),
        ("volumes: 'a:/b'", "services.web.volumes: 'a:/b' is not a list"),
        ("volumes: ['a:/b']", "services.web.volumes[0]: there is no volume 'a'; declare it"),
        ("volumes: ['/a:/b:what']", "services.web.volumes[0]: unknown option 'what'"),
        ("volumes: [{type: npipe, target: /x}]", "services.web.volumes[0].type: there is no"),
        ("volumes: [{type: volume}]", "services.web.volumes[0].target: is missing"),
        ("volumes: [{target: /x, colour: 1}]", "services.web.volumes[0].colour: there is no"),
        ("secrets: [nix]", "services.web.secrets[0]: there is no 'nix'; declare it in secrets"),
        ("configs: [{source: nix, mode: x}]", "services.web.configs[0].mode: 'x' is not octal"),
        ("ports: ['80:80', '80:81']", "services.web.ports[1].published: 80/tcp is already"),
        ("ports: [a]", "services.web.ports[0]: 'a' is not"),
        ("ulimits: {nofile: {soft: 1}}", "services.web.ulimits.nofile: needs soft and hard"),
        ("healthcheck: {test: [a]}", "services.web.healthcheck.test: begins with 'a'"),
        ("healthcheck: {disable: true, retries: 1}", "services.web.healthcheck.disable: leaves"),
        ("depends_on: [x]", "services.web.depends_on: the file has no service 'x'"),
        ("depends_on: [web]", "services.web.depends_on: web and web wait for each other"),
        ("cap_add: [FLY]", "services.web.cap_add: "),
        ("deploy: {mode: some}", "services.web.deploy.mode: 'some' is unknown"),
        ("deploy: {mode: global, replicas: 1}", "services.web.deploy.replicas: contradicts"),
        ("deploy: {replicas: many}", "services.web.deploy.replicas: 'many' is not a whole"),
        ("deploy: {replicas: -1}", "services.web.deploy.replicas: -1 must not be negative"),
        ("deploy: {update_config: {order: x}}", "services.web.deploy.update_config.order: "),
        ("deploy: {update_config: {delay: -1s}}", "services.web.deploy.update_config.delay: "),
        ("deploy: {resources: {limits: {memory: 1}}}",
         "services.web.deploy.resources.limits.memory: "),
        ("deploy: {resources: {reservations: {devices: []}}}",
         "services.web.deploy.resources.reservations"),
        ("deploy: {placement: {constraints: [x]}}", "services.web.deploy.placement.constraints"),
        ("deploy: {mode: global-job, restart_policy: {condition: any}}",
         "services.web.deploy.restart_policy.condition: any would repeat"),
        ("network_mode: host\ndeploy: {endpoint_mode: dnsrr}",
         "services.web.deploy.endpoint_mode: "),
        ("ports: ['80:80']\ndeploy: {endpoint_mode: dnsrr}", "services.web.ports[0].mode: a port"),
        ("deploy: 3", "services.web.deploy: 3 is not a mapping"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_path(text: str, problem: str) -> None:
    assert any(problem in each for each in problems(text))


def test_all_problems_are_told_at_once() -> None:
    found = problems("tty: x\ncolour: red\ndeploy: {replicas: x}")

    assert len(found) == 3


def test_what_docker_leaves_out_is_warned_of_in_a_line() -> None:
    found = stack(
        "services: {a: {image: x, restart: always, network_mode: host, build: .},"
        " b: {image: y, container_name: z, networks: [none]}}"
    )

    assert found.warnings == ("Ignoring unsupported options: build, container_name, restart",)


def test_ports_have_a_short_and_a_long_form() -> None:
    found = service(
        "ports:\n- '8000-8001:80-81/udp'\n- 9000\n"
        "- {target: 443, published: '8443', protocol: tcp, mode: ingress, host_ip: '10.1.2.3'}"
    )

    assert found.endpoint.ports == (
        Port(target=80, published=8000, protocol=Protocol.UDP),
        Port(target=81, published=8001, protocol=Protocol.UDP),
        Port(target=9000),
        Port(target=443, published=8443, ip="10.1.2.3"),
    )
