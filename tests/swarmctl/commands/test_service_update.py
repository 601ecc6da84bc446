"""`service update` and `service scale` change what is there now."""

from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Conflict
from swarm.specs import (
    Autoscale,
    ContainerSpec,
    Global,
    Replicated,
    ReplicatedJob,
    ServiceSpec,
    TaskSpec,
)
from tests.swarmctl.fake_swarm import FakeSwarm
from tests.swarmctl.running import run

WEB = ServiceSpec(
    name="web",
    mode=Replicated(replicas=2),
    task=TaskSpec(container=ContainerSpec(image="nginx:1", env=("A=1",))),
)
DONE = control_pb2.ServiceProgress(wanted=2, running=2)


@pytest.fixture(autouse=True)
def web(swarm: FakeSwarm) -> None:
    """A service to change."""
    swarm.add_service(WEB, service_id="id-web")
    swarm.progress = [DONE]


def sent(swarm: FakeSwarm) -> list[ServiceSpec]:
    requests = swarm.asked(control_pb2.UpdateServiceRequest)
    return [from_message(ServiceSpec, each.spec) for each in requests]


def test_an_update_names_the_version_it_is_based_on(swarm: FakeSwarm, socket: Path) -> None:
    ran = run(socket, "service", "update", "--env-add", "B=2", "--replicas", "5", "web")

    assert ran.out == ("web\noverall progress: 2 out of 2 tasks\nverify: Service web converged\n")
    [request] = swarm.asked(control_pb2.UpdateServiceRequest)
    assert (request.service_id, request.version, request.resolve_image) == ("id-web", 7, False)
    [spec] = sent(swarm)
    assert (spec.task.container.env, spec.mode) == (("A=1", "B=2"), Replicated(replicas=5))


def test_a_new_image_is_pinned(swarm: FakeSwarm, socket: Path) -> None:
    run(socket, "service", "update", "-d", "--image", "nginx:2", "web")

    [request] = swarm.asked(control_pb2.UpdateServiceRequest)
    assert (request.resolve_image, request.spec.task.container.image) == (True, "nginx:2")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--mount-add", "source=/x,target=/y"],
            "--mount-add: source: '/x' is not the name of a volume",
        ),
        (["--network-add", "name=a,alias=b c"], "--network-add: alias: 'b c' is not a name"),
        (["--limit-memory", "1m"], "--limit-memory: 1MiB is less than 6MiB"),
        (["--image", "Nginx"], "--image: "),
        (["--env-add", "=1"], "has no name"),
        (["--args", "'x"], '--args: "\'x": No closing quotation'),
    ],
)
def test_an_update_that_makes_no_sense_changes_nothing(
    swarm: FakeSwarm, socket: Path, words: list[str], text: str
) -> None:
    ran = run(socket, "service", "update", *words, "web")

    assert ran.status == 1
    assert text.lower() in ran.err.lower()
    assert sent(swarm) == []


def test_who_was_slower_looks_again(swarm: FakeSwarm, socket: Path) -> None:
    """Someone changes the service between our reading and our writing.

    1. We read version 7; someone else makes it 8.
    2. Our write of 7 is refused as a conflict.
    3. We read 8 and write on that.
    """
    swarm.conflicts = 1

    ran = run(socket, "service", "scale", "-d", "web=4")

    assert (ran.status, ran.out) == (0, "web scaled to 4\n")
    versions = [each.version for each in swarm.asked(control_pb2.UpdateServiceRequest)]
    assert versions == [7, 8]


def test_who_is_always_slower_gives_up(swarm: FakeSwarm, socket: Path) -> None:
    swarm.refuse("UpdateService", Conflict("update out of sequence"))

    ran = run(socket, "service", "scale", "-d", "web=4")

    assert (ran.status, ran.err) == (1, "Error: update out of sequence\n")


def test_several_services_are_scaled(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_service(ServiceSpec(name="db", task=WEB.task), service_id="id-db")

    ran = run(socket, "service", "scale", "web=0", "db=3")

    assert ran.out.splitlines()[:2] == ["web scaled to 0", "db scaled to 3"]
    assert [spec.mode for spec in sent(swarm)] == [Replicated(replicas=0), Replicated(replicas=3)]
    assert ran.out.count("converged") == 2


@pytest.mark.parametrize("target", ["web", "web=", "=3", "web=-1", "web=x", "web=99999999999"])
def test_a_target_is_a_name_and_a_count(swarm: FakeSwarm, socket: Path, target: str) -> None:
    ran = run(socket, "service", "scale", target)

    assert ran.status == 1
    assert "web=5" in ran.err
    assert swarm.requests == []


def test_a_global_service_cannot_be_scaled(swarm: FakeSwarm, socket: Path) -> None:
    swarm.add_service(ServiceSpec(name="all", mode=Global(), task=WEB.task), service_id="id-all")

    ran = run(socket, "service", "scale", "all=3", "web=3")

    assert ran.status == 1
    assert "service all is global" in ran.err
    assert "web scaled to 3" in ran.out


def test_a_job_is_scaled_in_all(swarm: FakeSwarm, socket: Path) -> None:
    job = ServiceSpec(
        name="job",
        mode=ReplicatedJob(total=3, max_concurrent=2),
        task=TaskSpec(container=ContainerSpec(image="busybox")),
    )
    swarm.add_service(job, service_id="s9")

    assert run(socket, "service", "scale", "-d", "job=9").status == 0

    [request] = swarm.asked(control_pb2.UpdateServiceRequest)
    assert from_message(ServiceSpec, request.spec).mode == ReplicatedJob(total=9, max_concurrent=2)


@pytest.mark.parametrize(
    "words", [("scale", "-d", "auto=5"), ("update", "-d", "--replicas", "5", "auto")]
)
def test_what_is_autoscaled_is_not_scaled_by_hand(
    swarm: FakeSwarm, socket: Path, words: tuple[str, ...]
) -> None:
    wish = Autoscale(least=2, most=20, cpu_percent=60)
    spec = ServiceSpec(
        name="auto", autoscale=wish, task=TaskSpec(container=ContainerSpec(image="busybox"))
    )
    swarm.add_service(spec, service_id="s9")

    ran = run(socket, "service", *words)

    assert ran.status == 1
    assert "service auto is autoscaled between 2 and 20 replicas" in ran.err
    assert "--no-autoscale" in ran.err
    assert swarm.asked(control_pb2.UpdateServiceRequest) == []


def test_autoscaling_ends_and_the_number_is_set_at_once(swarm: FakeSwarm, socket: Path) -> None:
    wish = Autoscale(least=2, most=20, cpu_percent=60)
    spec = ServiceSpec(
        name="auto", autoscale=wish, task=TaskSpec(container=ContainerSpec(image="busybox"))
    )
    swarm.add_service(spec, service_id="s9")

    flags = ("--no-autoscale", "--replicas", "5")
    assert run(socket, "service", "update", "-d", *flags, "auto").status == 0

    [request] = swarm.asked(control_pb2.UpdateServiceRequest)
    changed = from_message(ServiceSpec, request.spec)
    assert (changed.autoscale, changed.mode) == (None, Replicated(replicas=5))
