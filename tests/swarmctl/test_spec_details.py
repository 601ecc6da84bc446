"""Nothing that a spec says is left out of what `inspect` prints."""

import json

import pytest

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.codec import to_message
from swarm.specs import GlobalJob, ReplicatedJob, ServiceSpec
from swarmctl.details import service_detail
from swarmctl.pretty import pretty_service
from swarmctl.spec_details import spec_detail
from tests.swarmctl.full_spec import FULL, without_each

CHANGES = dict(without_each(FULL))

# Said to people in other words, or only to programs.
NOT_PRETTY = {
    "task.force_update",
    "task.container.mounts[0].labels",
    "task.container.mounts[0].nocopy",
    "task.container.mounts[0].volume_options",
    "task.container.mounts[0].volume_subpath",
    "task.container.mounts[1].create_source",
    "task.container.mounts[1].nonrecursive",
    "task.container.mounts[1].propagation",
    "task.container.mounts[2].tmpfs_mode",
    "task.container.mounts[2].tmpfs_size_bytes",
    "task.container.secrets[0].id",
    "task.container.configs[0].id",
}


def pretty(spec: ServiceSpec) -> str:
    service = objects_pb2.Service(id="s1", spec=to_message(spec))
    return pretty_service(control_pb2.ServiceView(service=service))


def test_every_field_of_a_spec_is_tried() -> None:
    assert len(CHANGES) > 120
    assert "task.container.mounts[0].roams" in CHANGES
    assert "autoscale.down_window_s" in CHANGES


@pytest.mark.parametrize("path", CHANGES)
def test_every_field_is_in_the_json(path: str) -> None:
    assert spec_detail(CHANGES[path]) != spec_detail(FULL)


@pytest.mark.parametrize("path", sorted(CHANGES.keys() - NOT_PRETTY))
def test_every_field_is_told_to_people(path: str) -> None:
    assert pretty(CHANGES[path]) != pretty(FULL)


def test_what_is_printed_is_json() -> None:
    assert json.loads(json.dumps(spec_detail(FULL))) == spec_detail(FULL)


def test_new_parts_have_dockers_keys() -> None:
    detail = spec_detail(FULL)
    template = detail["TaskTemplate"]
    assert isinstance(template, dict)
    container, resources = template["ContainerSpec"], template["Resources"]
    assert isinstance(container, dict)
    assert isinstance(resources, dict)

    assert container["DNSConfig"] == {
        "Nameservers": ["9.9.9.9"],
        "Search": ["lan"],
        "Options": ["rotate"],
    }
    assert container["Secrets"] == [
        {
            "File": {"Name": "t1", "UID": "5", "GID": "6", "Mode": 0o400},
            "SecretID": "i1",
            "SecretName": "n1",
        }
    ]
    assert resources["Reservations"] == {
        "NanoCPUs": 1_000_000,
        "MemoryBytes": 2,
        "GenericResources": [{"DiscreteResourceSpec": {"Kind": "gpu", "Value": 2}}],
    }
    assert template["LogDriver"] == {"Name": "json-file", "Options": {"max-file": "2"}}
    assert detail["EndpointSpec"] == {
        "Mode": "dnsrr",
        "Ports": [
            {
                "Protocol": "udp",
                "TargetPort": 80,
                "PublishedPort": 81,
                "PublishMode": "host",
                "HostIP": "10.0.0.1",
            }
        ],
    }


def test_jobs_have_a_mode_and_no_rollouts() -> None:
    job = spec_detail(ServiceSpec(name="job", mode=ReplicatedJob(total=9, max_concurrent=2)))

    assert job["Mode"] == {"ReplicatedJob": {"MaxConcurrent": 2, "TotalCompletions": 9}}
    assert "UpdateConfig" not in job
    assert spec_detail(ServiceSpec(mode=GlobalJob()))["Mode"] == {"GlobalJob": {}}


def view() -> control_pb2.ServiceView:
    run = objects_pb2.Run(number=4, due_at=1e9, started_at=1e9, state=objects_pb2.RUN_STATE_FAILED)
    rollout = objects_pb2.Rollout(
        state=objects_pb2.ROLLOUT_STATE_PAUSED, started_at=1e9, message="web.2 failed", failed=["2"]
    )
    ledger = objects_pb2.Ledger(
        service_id="s1", rollout=rollout, runs=[run], replicas=7, scale_message="cpu is at 90%"
    )
    service = objects_pb2.Service(id="s1", spec=to_message(FULL), revision=5)
    return control_pb2.ServiceView(service=service, ledger=ledger, completed=3, next_firing_at=1e9)


def test_what_became_of_a_service_is_told() -> None:
    detail = service_detail(view())

    assert detail["UpdateStatus"] == {
        "State": "paused",
        "StartedAt": "2001-09-09T01:46:40Z",
        "Message": "web.2 failed",
        "Failed": ["2"],
    }
    assert detail["Runs"] == [
        {
            "Number": 4,
            "State": "failed",
            "DueAt": "2001-09-09T01:46:40Z",
            "StartedAt": "2001-09-09T01:46:40Z",
            "SpecVersion": 0,
        }
    ]
    assert (detail["Revision"], detail["NextRunAt"]) == (5, "2001-09-09T01:46:40Z")
    lines = pretty_service(view()).splitlines()
    for line in (
        " State:                 paused",
        " Message:               web.2 failed",
        "Autoscaled to:          7",
        " Because:               cpu is at 90%",
        "Next run:               2001-09-09T01:46:40Z",
        "Run 4:                  failed, due 2001-09-09T01:46:40Z",
    ):
        assert line in lines
