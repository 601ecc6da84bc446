"""What a service and its image say about health, together."""

import pytest

from agent.probing import health
from runtime.spec import Health
from swarm.images.config import ImageConfig
from swarm.specs import Healthcheck

PROBE = Healthcheck(test=("CMD", "probe", "-x"), interval_s=7.0, retries=9)


def image(probe: Healthcheck | None = PROBE, *, words: tuple[str, ...] = ()) -> ImageConfig:
    return ImageConfig(healthcheck=probe, shell_argv=words)


def test_a_service_that_says_nothing_has_the_images_probe() -> None:
    assert health(Healthcheck(), image()) == Health(args=("probe", "-x"), interval_s=7.0, retries=9)


def test_nobody_who_says_anything_is_no_probe() -> None:
    assert health(Healthcheck(), image(None)) is None


def test_numbers_without_a_test_are_no_probe() -> None:
    assert health(Healthcheck(interval_s=1.0), image(None)) is None


def test_a_test_of_the_service_keeps_the_images_numbers() -> None:
    found = health(Healthcheck(test=("CMD-SHELL", "a && b"), timeout_s=2.0), image())

    assert found == Health(
        args=("/bin/sh", "-c", "a && b"), interval_s=7.0, retries=9, timeout_s=2.0
    )


def test_a_shell_form_runs_in_the_images_shell() -> None:
    found = health(Healthcheck(test=("CMD-SHELL", "x")), image(words=("/bin/bash", "-lc")))

    assert found is not None
    assert found.args == ("/bin/bash", "-lc", "x")


@pytest.mark.parametrize(
    ("asked", "own"),
    [
        (Healthcheck(test=("NONE",)), PROBE),
        (Healthcheck(), Healthcheck(test=("NONE",))),
        (Healthcheck(), Healthcheck(test=("WHAT", "x"))),
        (Healthcheck(), Healthcheck(test=("CMD",))),
        (Healthcheck(), Healthcheck(test=("CMD-SHELL",))),
    ],
)
def test_a_probe_can_be_silenced(asked: Healthcheck, own: Healthcheck) -> None:
    assert health(asked, image(own)) is None


def test_the_defaults_are_dockers() -> None:
    found = health(Healthcheck(test=("CMD", "true")), image(None))

    assert found == Health(
        args=("true",), interval_s=30.0, timeout_s=30.0, retries=3, start_interval_s=5.0
    )


def test_who_asks_for_frequent_probes_gets_them_during_the_start_too() -> None:
    often = health(Healthcheck(test=("CMD", "true"), interval_s=0.3), image(None))
    told = health(
        Healthcheck(test=("CMD", "true"), interval_s=0.3, start_interval_s=2.0), image(None)
    )

    assert often is not None
    assert told is not None
    assert (often.start_interval_s, told.start_interval_s) == (0.3, 2.0)
