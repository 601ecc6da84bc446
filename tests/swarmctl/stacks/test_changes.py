"""A service is changed where its file changed, and keeps its digest where not."""

from msgspec.structs import replace

from swarm.specs import EndpointMode, FileReference, NetworkAttachment, ServiceSpec
from swarmctl.stacks.changes import (
    Change,
    Create,
    Keep,
    Resolve,
    decide,
    superfluous,
    with_ids,
)
from tests.swarmctl.stacks.reading import service

PINNED = "busybox:1@sha256:" + "a" * 64


def stored(spec: ServiceSpec, *, image: str = PINNED, force_update: int = 0) -> ServiceSpec:
    """A spec as a manager keeps it."""
    container = replace(spec.task.container, image=image)
    return replace(spec, task=replace(spec.task, container=container, force_update=force_update))


def test_what_is_not_there_is_created() -> None:
    spec = service("tty: true")

    assert decide(spec, None, Resolve.ALWAYS) == Create(spec, resolve=True)
    assert decide(spec, None, Resolve.NEVER) == Create(spec, resolve=False)


def test_an_unchanged_file_changes_nothing_and_its_digest_stays() -> None:
    spec = service("tty: true")
    present = stored(spec, force_update=3)

    assert decide(spec, present, Resolve.CHANGED) == Keep()
    assert decide(spec, present, Resolve.NEVER) == Keep()
    doubt = decide(spec, present, Resolve.ALWAYS)
    assert doubt == Change(stored(spec, image="busybox:1", force_update=3), True, is_doubtful=True)


def test_a_changed_file_keeps_the_digest_of_the_same_image() -> None:
    spec, present = service("tty: true"), stored(service("tty: false"), force_update=3)

    assert decide(spec, present, Resolve.CHANGED) == Change(stored(spec, force_update=3), False)


def test_another_image_is_looked_up_unless_it_never_is() -> None:
    spec, present = service("hostname: other"), stored(service("hostname: one"))
    other = replace(spec, labels={**spec.labels, "com.docker.stack.image": "busybox:2"})

    assert decide(other, present, Resolve.CHANGED) == Change(other, True)
    assert decide(other, present, Resolve.ALWAYS) == Change(other, True)
    assert decide(other, present, Resolve.NEVER) == Change(other, False)


def test_references_get_the_ids_of_what_there_is() -> None:
    spec = service("secrets: [a, b]", besides="secrets: {a: {file: x}, b: {file: y}}")

    task = with_ids(spec, secrets={"s_a": "1"}, configs={}, networks={"s_default": "n1"}).task

    assert task.container.secrets == (FileReference(id="1", name="s_a", target="a"),)
    assert task.networks == (NetworkAttachment(target="n1", aliases=("web",)),)
    assert not with_ids(spec, secrets={}, configs={}, networks={}).task.networks


def test_a_plan_of_networks_that_are_not_there_yet_says_nothing_of_names() -> None:
    spec = service("deploy: {endpoint_mode: dnsrr}")

    planned = with_ids(spec, secrets={}, configs={}, networks={})
    made = with_ids(spec, secrets={}, configs={}, networks={"s_default": "n1"})

    assert planned.endpoint.mode is EndpointMode.VIP
    assert made.endpoint.mode is EndpointMode.DNSRR


def test_what_the_file_has_no_more_is_superfluous() -> None:
    assert superfluous(["s_web", "s_old", "s_a"], [service("tty: true")]) == ("s_a", "s_old")
