"""Objects are described in Docker's words."""

import pytest
from msgspec.structs import replace

from swarm.api.v1 import control_pb2, images_pb2, objects_pb2, specs_pb2
from swarm.codec import to_message
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
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    Ulimit,
    UpdatePolicy,
)
from swarmctl.details import (
    NODE_OPTIONAL,
    SERVICE_OPTIONAL,
    image_detail,
    inspected_task,
    node_detail,
    service_detail,
    spec_detail,
    task_detail,
)
from swarmctl.inspecting import inspected
from swarmctl.pipes import as_json
from swarmctl.pretty import pretty_node, pretty_service
from swarmctl.templates import render
from tests.networks import attached
from tests.swarmctl.answers import DIGEST, NOW, image, node, task

SPEC = ServiceSpec(
    name="web",
    labels={"tier": "front"},
    mode=Global(),
    update=UpdatePolicy(parallelism=2, delay_s=1.5),
    task=TaskSpec(
        container=ContainerSpec(
            image="nginx:1",
            command=("sh",),
            args=("-c", "x"),
            env=("A=1",),
            mounts=(
                Mount(kind=MountKind.BIND, source="/x", target="/y", propagation="rslave"),
                Mount(kind=MountKind.TMPFS, target="/t", tmpfs_size_bytes=5, tmpfs_mode=0o700),
                Mount(source="v", target="/v", nocopy=True, read_only=True),
            ),
            ulimits=(Ulimit(name="core", soft=1, hard=2),),
            init=True,
            stop_grace_s=2,
        ),
        limits=Limits(cpu_millis=500, memory_bytes=64, pids=3),
        reservations=Resources(cpu_millis=250),
        restart=RestartPolicy(condition=RestartCondition.ON_FAILURE, delay_s=0.5, max_attempts=2),
        placement=Placement(constraints=("node.role==worker",)),
        networks=attached("host"),
        force_update=1,
    ),
)


def view(spec: ServiceSpec = SPEC) -> control_pb2.ServiceView:
    service = objects_pb2.Service(id="s1", spec=to_message(spec), created_at=NOW, spec_version=2)
    service.previous_spec.CopyFrom(to_message(spec))
    return control_pb2.ServiceView(service=service, version=9, wanted=3, running=2)


def test_a_spec_has_dockers_keys_and_units() -> None:
    assert spec_detail(SPEC) == {
        "Name": "web",
        "Labels": {"tier": "front"},
        "TaskTemplate": {
            "ContainerSpec": {
                "Image": "nginx:1",
                "Command": ["sh"],
                "Args": ["-c", "x"],
                "Env": ["A=1"],
                "Init": True,
                "Mounts": [
                    {
                        "Type": "bind",
                        "Source": "/x",
                        "Target": "/y",
                        "BindOptions": {"Propagation": "rslave"},
                    },
                    {
                        "Type": "tmpfs",
                        "Target": "/t",
                        "TmpfsOptions": {"SizeBytes": 5, "Mode": 0o700},
                    },
                    {
                        "Type": "volume",
                        "Source": "v",
                        "Target": "/v",
                        "ReadOnly": True,
                        "VolumeOptions": {"NoCopy": True},
                    },
                ],
                "Ulimits": [{"Name": "core", "Hard": 2, "Soft": 1}],
                "StopGracePeriod": 2_000_000_000,
            },
            "Resources": {
                "Limits": {"NanoCPUs": 500_000_000, "MemoryBytes": 64, "Pids": 3},
                "Reservations": {"NanoCPUs": 250_000_000},
            },
            "RestartPolicy": {"Condition": "on-failure", "Delay": 500_000_000, "MaxAttempts": 2},
            "Placement": {"Constraints": ["node.role==worker"]},
            "Networks": [{"Target": "host"}],
            "ForceUpdate": 1,
        },
        "Mode": {"Global": {}},
        "UpdateConfig": {
            "Parallelism": 2,
            "Delay": 1_500_000_000,
            "FailureAction": "pause",
            "Monitor": 5_000_000_000,
            "MaxFailureRatio": 0.0,
            "Order": "stop-first",
        },
        "RollbackConfig": {
            "Parallelism": 1,
            "FailureAction": "pause",
            "Monitor": 5_000_000_000,
            "MaxFailureRatio": 0.0,
            "Order": "stop-first",
        },
        "EndpointSpec": {"Mode": "vip"},
    }


RIGHTS = ContainerSpec(
    image="nginx:1",
    cap_add=("CAP_NET_ADMIN",),
    cap_drop=("ALL",),
    privileged=True,
    devices=(Device(source="/dev/fuse", target="/dev/f", access="rw"),),
    seccomp='{"defaultAction":"SCMP_ACT_ALLOW"}',
    apparmor="mine",
    allow_new_privileges=True,
    host_user_namespace=True,
    tty=True,
    health=Healthcheck(test=("CMD-SHELL", "true"), interval_s=1.5, retries=2),
)


def test_rights_and_health_have_dockers_keys() -> None:
    template = spec_detail(replace(SPEC, task=TaskSpec(container=RIGHTS)))["TaskTemplate"]

    assert isinstance(template, dict)
    assert template["ContainerSpec"] == {
        "Image": "nginx:1",
        "CapabilityAdd": ["CAP_NET_ADMIN"],
        "CapabilityDrop": ["ALL"],
        "Privileges": {
            "Seccomp": {
                "Mode": "custom",
                "Profile": "eyJkZWZhdWx0QWN0aW9uIjoiU0NNUF9BQ1RfQUxMT1cifQ==",
            },
            "AppArmor": {"Mode": "mine"},
            "AllowNewPrivileges": True,
        },
        "Privileged": True,
        "Devices": [
            {"PathOnHost": "/dev/fuse", "PathInContainer": "/dev/f", "CgroupPermissions": "rw"}
        ],
        "UsernsMode": "host",
        "TTY": True,
        "Healthcheck": {
            "Test": ["CMD-SHELL", "true"],
            "Interval": 1_500_000_000,
            "Retries": 2,
        },
        "StopGracePeriod": 10_000_000_000,
    }


def test_a_service_answers_the_templates_of_scripts() -> None:
    detail = service_detail(view())

    assert render("{{.Spec.TaskTemplate.ContainerSpec.Image}}", detail) == "nginx:1"
    assert render("{{.Version.Index}} {{.ID}} {{.SpecVersion}}", detail) == "9 s1 2"
    assert render("{{.ServiceStatus.RunningTasks}}", detail) == "2"
    assert detail["CreatedAt"] == "2023-11-14T22:13:20Z"
    assert detail["PreviousSpec"] == detail["Spec"]


def test_a_service_without_history_has_no_previous_spec() -> None:
    fresh = view()
    fresh.service.ClearField("previous_spec")

    assert "PreviousSpec" not in service_detail(fresh)


def test_scripts_may_ask_for_what_a_service_has_not_got_yet() -> None:
    """They wait for updates with this template, and begin before the first one."""
    fresh = control_pb2.ServiceView(service=objects_pb2.Service(id="s1"))
    template = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{else}}none{{end}} {{.PreviousSpec}}"

    text = inspected([service_detail(fresh)], form=template, optional=SERVICE_OPTIONAL)

    assert text == "none <no value>\n"
    with pytest.raises(Invalid, match=r"no field \.UpdatStatus"):
        inspected([service_detail(fresh)], form="{{.UpdatStatus}}", optional=SERVICE_OPTIONAL)


def test_what_is_optional_is_all_that_a_bare_thing_leaves_out() -> None:
    """A field that is left out, but not listed, would be refused as misspelt."""
    bare = (
        (service_detail(view()), SERVICE_OPTIONAL),
        (node_detail(node("n1", role=1, is_leader=True)), NODE_OPTIONAL),
    )
    least = (
        service_detail(control_pb2.ServiceView(service=objects_pb2.Service(id="s1"))),
        node_detail(node("n1")),
    )

    for (most, optional), other in zip(bare, least, strict=True):
        assert set(most) - set(other) <= set(optional)
        assert not set(optional) & set(other)


def test_published_ports_are_where_scripts_look_for_them() -> None:
    message = view()
    message.service.spec.endpoint.ports.add(target=80, published=8080)

    template = "{{range .Endpoint.Ports}}{{.PublishedPort}}{{end}}"

    assert render(template, service_detail(message)) == "8080"


def test_a_node_is_described_with_its_manager() -> None:
    detail = node_detail(node("n1", role=1, is_leader=True, labels={"zone": "east"}))

    assert detail["Spec"] == {
        "Labels": {"zone": "east"},
        "Role": "manager",
        "Availability": "active",
    }
    assert detail["ManagerStatus"] == {
        "Leader": True,
        "Reachability": "reachable",
        "Addr": "10.0.0.1:2377",
    }
    assert render("{{.Description.Resources.NanoCPUs}}", detail) == "2000000000"
    assert "ManagerStatus" not in node_detail(node("n2"))


def test_a_task_is_described_with_its_status() -> None:
    failed = objects_pb2.TASK_STATE_FAILED
    detail = task_detail(task("t1", state=failed, exit_code=3))

    assert detail["Status"] == {
        "Timestamp": "2023-11-14T22:13:10Z",
        "State": "failed",
        "Message": "",
        "Err": "task: non-zero exit (3)",
        "ContainerStatus": {"PID": 77, "ExitCode": 3},
    }


def test_a_task_with_a_check_is_described_with_its_health() -> None:
    view = task("t1")
    view.observation.health = objects_pb2.HEALTH_STATE_HEALTHY
    view.observation.failing_streak = 2

    status = task_detail(view)["Status"]

    assert isinstance(status, dict)
    assert status["Health"] == {"Status": "healthy", "FailingStreak": 2, "Log": []}


def test_an_image_is_described_with_its_configuration() -> None:
    answer = images_pb2.InspectImageResponse(
        image=image("aaa", "docker.io/library/busybox:1"),
        config_json=b'{"architecture": "amd64", "config": {"Cmd": ["sh"]}, "rootfs": {}}',
        manifest_json=b'{"layers": []}',
    )

    detail = image_detail(answer)

    assert detail["RepoTags"] == ["busybox:1"]
    assert detail["RepoDigests"] == [f"busybox@{DIGEST}"]
    assert detail["Config"] == {"Cmd": ["sh"]}
    assert detail["Manifest"] == {"layers": []}


def test_a_service_is_pretty_for_people() -> None:
    text = pretty_service(view())

    for line in (
        "Name:                   web",
        "Service Mode:           Global",
        "Labels:                 tier=front",
        " Mount:                 bind /x on /y",
        " Mount:                 volume v on /v (read-only)",
        " CPU:                   0.5",
        " Delay:                 1.5s",
        " Constraints:           node.role==worker",
        "Networks:               host",
    ):
        assert line in text.splitlines()
    assert "Hostname" not in text


def test_rights_and_health_are_pretty_for_people() -> None:
    lines = pretty_service(view(replace(SPEC, task=TaskSpec(container=RIGHTS)))).splitlines()

    for line in (
        " Capabilities dropped:  ALL",
        " Seccomp:               a profile of its own",
        " Device:                /dev/fuse on /dev/f (rw)",
        " Health test:           CMD-SHELL true",
        " Health interval:       1.5s",
    ):
        assert line in lines
    assert not any("start period" in line for line in lines)


def test_a_node_is_pretty_for_people() -> None:
    text = pretty_node(node("n1", role=1, labels={"zone": "east"}))

    for line in (
        "Labels:                 zone=east",
        " State:                 Ready",
        " Memory:                1GiB",
        "Engine Labels:          disk=ssd",
        "Manager Status:",
    ):
        assert line in text.splitlines()
    assert "Manager Status" not in pretty_node(node("n2"))


def test_what_completed_of_a_job_is_not_said_to_run() -> None:
    job = view(replace(SPEC, mode=ReplicatedJob(total=4, max_concurrent=2)))
    job.wanted, job.running, job.completed = 4, 3, 2

    lines = pretty_service(job).splitlines()

    assert "Running:                1" in lines
    assert "Completed:              2 of 4" in lines


def test_labels_of_nodes_and_services_are_in_order() -> None:
    """Messages keep them in the order of a hash, so that two inspects of one node differed."""
    labels = {f"l{n}": "" for n in range(20, 0, -1)}
    of_node = node_detail(node("n1", labels=labels))["Spec"]
    of_service = spec_detail(replace(SPEC, labels=labels))

    for found in (of_node, of_service):
        assert isinstance(found, dict)
        assert list(found["Labels"]) == sorted(labels)


NETWORK = objects_pb2.Network(
    id="n1",
    spec=specs_pb2.NetworkSpec(name="back", attachable=True),
    subnets=[
        specs_pb2.Subnet(subnet="10.0.1.0/24", gateway="10.0.1.1"),
        specs_pb2.Subnet(subnet="fd00::/64"),
    ],
)


def networked() -> control_pb2.ServiceView:
    wanted = (NetworkAttachment(target="n1", aliases=("db",)),)
    message = view(replace(SPEC, task=replace(SPEC.task, networks=wanted)))
    message.networks.append(NETWORK)
    message.endpoint.ports.add(target=80, published=30001)
    own = message.endpoint.virtual_addresses.add(network_id="n1")
    own.addresses.extend(("10.0.1.2", "fd00::2"))
    return message


def test_an_endpoint_is_as_it_was_decided() -> None:
    detail = service_detail(networked())

    assert detail["Endpoint"] == {
        "Spec": {"Mode": "vip"},
        "Ports": [
            {"Protocol": "tcp", "TargetPort": 80, "PublishedPort": 30001, "PublishMode": "ingress"}
        ],
        "VirtualIPs": [
            {"NetworkID": "n1", "Addr": "10.0.1.2/24"},
            {"NetworkID": "n1", "Addr": "fd00::2/64"},
        ],
    }
    assert '"Networks":[{"Target":"n1","Aliases":["db"]}]' in as_json(detail["Spec"])


def test_people_read_names_of_networks() -> None:
    text = pretty_service(networked())

    assert "Networks:               back (as db)\n" in text
    assert " PublishedPort:         30001\n" in text


def test_a_task_shows_its_addresses_and_the_ports_of_its_node() -> None:
    shown = task("t1")
    held = shown.task.attachments.add(network_id="n1")
    held.addresses.extend(("10.0.1.3", "fd00::3"))
    shown.observation.ports.add(target=80, published=32801, mode=specs_pb2.PUBLISH_MODE_HOST)
    answer = control_pb2.InspectTaskResponse(task=shown, networks=[NETWORK])

    detail = inspected_task(answer)

    assert render("{{range .NetworksAttachments}}{{.Addresses}}{{end}}", detail) == (
        "[10.0.1.3/24 fd00::3/64]"
    )
    assert render("{{range .NetworksAttachments}}{{.Network.Spec.Name}}{{end}}", detail) == "back"
    assert render("{{range .Status.PortStatus.Ports}}{{.PublishedPort}}{{end}}", detail) == "32801"
    assert "NetworksAttachments" not in inspected_task(
        control_pb2.InspectTaskResponse(task=task("t1"))
    )
