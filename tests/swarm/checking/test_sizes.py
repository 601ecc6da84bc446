"""What is too large is refused before it is stored."""

from msgspec.structs import replace

from swarm.checking.sizes import LARGEST_SPEC_BYTES, LONGEST_TEXT_BYTES
from swarm.checks import check_service
from swarm.specs import ContainerSpec, ServiceSpec, TaskSpec
from swarmctl.blame import blamed


def service(**fields: object) -> ServiceSpec:
    container = replace(ContainerSpec(image="busybox:1"), **fields)
    return ServiceSpec(name="web", task=TaskSpec(container=container))


def test_a_text_that_execve_takes_is_sound() -> None:
    assert check_service(service(env=("A=" + "x" * (LONGEST_TEXT_BYTES - 3),))) == ()


def test_a_text_that_no_kernel_takes_is_refused() -> None:
    """It would be stored, and then fail on each node for ever: argument list too long."""
    [problem] = check_service(service(args=("a", "x" * LONGEST_TEXT_BYTES)))

    assert problem.startswith("task.container.args[1]: has 131072 bytes")
    assert "config" in problem


def test_a_spec_that_is_too_large_blames_its_largest_part() -> None:
    env = tuple(f"A{n}={'x' * 100_000}" for n in range(11))

    [problem] = check_service(service(env=env, labels={"small": "x"}))
    [other] = check_service(
        replace(service(), labels={f"l{n}": "x" * 100_000 for n in range(11)}),
    )

    assert blamed(problem, is_update=False).startswith("--env: the whole service would have 1.0")
    assert blamed(other, is_update=True).startswith("--label-add: the whole service")


def test_thousands_of_labels_are_no_problem() -> None:
    spec = replace(service(), labels={f"label-{n}": "value" for n in range(5000)})

    assert check_service(spec) == ()
    assert LARGEST_SPEC_BYTES == 1 << 20
