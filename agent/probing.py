"""Join what a service and its image say about health.

As with Docker: a service that says nothing has the image's probe, one that names a test has
that, and each number is the service's, the image's, or the default. Without a test anywhere
there is no probe, whatever the numbers. Unlike there, who asks for probes more often than the
default of a start is heard while the container starts, too.
"""

from runtime.spec import Health
from swarm.images.config import ImageConfig
from swarm.specs import Healthcheck

SHELL = ("/bin/sh", "-c")
_DEFAULT = Health(args=())


def health(asked: Healthcheck, image: ImageConfig) -> Health | None:
    """How the runtime checks the container; None when nobody wants that."""
    own = image.healthcheck or Healthcheck()
    args = _args(asked.test or own.test, image.shell_argv or SHELL)
    if not args:
        return None
    interval_s = asked.interval_s or own.interval_s or _DEFAULT.interval_s
    return Health(
        args=args,
        interval_s=interval_s,
        timeout_s=asked.timeout_s or own.timeout_s or _DEFAULT.timeout_s,
        retries=asked.retries or own.retries or _DEFAULT.retries,
        start_period_s=asked.start_period_s or own.start_period_s or _DEFAULT.start_period_s,
        start_interval_s=(
            asked.start_interval_s
            or own.start_interval_s
            or min(interval_s, _DEFAULT.start_interval_s)
        ),
    )


def _args(test: tuple[str, ...], shell: tuple[str, ...]) -> tuple[str, ...]:
    match test:
        case ("CMD-SHELL", command, *_):
            return (*shell, command)
        case ("CMD", *words):
            return tuple(words)
        case _:
            return ()  # NONE, or what only a damaged image says
