"""Flags of health checks change what they name."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Healthcheck
from swarmctl.health import HealthFlags, with_health

OLD = Healthcheck(test=("CMD", "probe"), interval_s=7.0)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (HealthFlags(), OLD),
        (
            HealthFlags(health_cmd="curl localhost || exit 1"),
            Healthcheck(test=("CMD-SHELL", "curl localhost || exit 1"), interval_s=7.0),
        ),
        (HealthFlags(health_cmd=""), Healthcheck(interval_s=7.0)),
        (HealthFlags(health_interval=0.0), Healthcheck(test=("CMD", "probe"))),
        (
            HealthFlags(health_retries=1, health_start_period=60.0),
            Healthcheck(test=("CMD", "probe"), interval_s=7.0, retries=1, start_period_s=60.0),
        ),
        (HealthFlags(no_healthcheck=True), Healthcheck(test=("NONE",))),
    ],
)
def test_flags_change_what_they_name(flags: HealthFlags, expected: Healthcheck) -> None:
    assert with_health(OLD, flags) == expected


def test_any_other_flag_ends_a_silence() -> None:
    silent = Healthcheck(test=("NONE",))

    assert with_health(silent, HealthFlags(health_timeout=1.0)) == Healthcheck(timeout_s=1.0)


def test_silence_contradicts_every_other_flag() -> None:
    with pytest.raises(Invalid, match="--no-healthcheck conflicts"):
        with_health(OLD, HealthFlags(no_healthcheck=True, health_retries=1))
