"""Turn the flags of health checks into a probe.

`--health-cmd` is given to a shell, and an empty one means the image's again; `--no-healthcheck`
silences the image's and admits no other flag.
"""

from msgspec import Struct
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Healthcheck

_NONE = ("NONE",)


class HealthFlags(Struct, frozen=True, kw_only=True):
    """What the command line says of health; `None` where it says nothing."""

    health_cmd: str | None = None
    health_interval: float | None = None
    health_retries: int | None = None
    health_start_interval: float | None = None
    health_start_period: float | None = None
    health_timeout: float | None = None
    no_healthcheck: bool = False


def with_health(health: Healthcheck, flags: HealthFlags) -> Healthcheck:
    """The probe of a service that had `health`."""
    if flags == HealthFlags():
        return health
    if flags.no_healthcheck:
        if flags != HealthFlags(no_healthcheck=True):
            raise Invalid(
                "--no-healthcheck conflicts with --health-* options", hint="leave one of them out"
            )
        return Healthcheck(test=_NONE)
    test = () if health.test == _NONE else health.test
    if flags.health_cmd is not None:
        test = ("CMD-SHELL", flags.health_cmd) if flags.health_cmd else ()
    given = {
        "interval_s": flags.health_interval,
        "retries": flags.health_retries,
        "start_interval_s": flags.health_start_interval,
        "start_period_s": flags.health_start_period,
        "timeout_s": flags.health_timeout,
    }
    changed = {name: value for name, value in given.items() if value is not None}
    return replace(health, test=test, **changed)
