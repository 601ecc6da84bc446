"""Read what an image says about how it wants to run.

Builders write `null` for anything empty and durations in nanoseconds; here empty is empty and
durations are seconds. Fields that only builders use are left alone.
"""

from datetime import UTC, datetime
from typing import TypeVar

import msgspec
from msgspec import Struct, field, structs

from swarm.errors import Invalid
from swarm.images.digest import is_digest
from swarm.images.platform import Platform
from swarm.specs import Healthcheck

_NANOSECONDS = 1_000_000_000

S = TypeVar("S", bound=Struct)


class ImageConfig(Struct, frozen=True, kw_only=True):
    """How an image wants to run. `env` is `K=V`; ports are `80/tcp`; empty means unset."""

    entrypoint: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    workdir: str = ""
    user: str = ""
    stop_signal: str = ""
    volumes: tuple[str, ...] = ()
    exposed_ports: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])
    healthcheck: Healthcheck | None = None
    shell_argv: tuple[str, ...] = ()
    onbuild: tuple[str, ...] = ()
    diff_ids: tuple[str, ...] = ()
    platform: Platform = field(default_factory=Platform)
    created_at: float = 0.0
    author: str = ""


class _Health(Struct, rename="pascal"):
    test: tuple[str, ...] | None = None
    interval: int | None = None
    timeout: int | None = None
    start_period: int | None = None
    start_interval: int | None = None
    retries: int | None = None


class _Run(Struct, rename="pascal"):
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] | None = None
    working_dir: str | None = None
    user: str | None = None
    stop_signal: str | None = None
    volumes: dict[str, object] | None = None
    exposed_ports: dict[str, object] | None = None
    labels: dict[str, str] | None = None
    healthcheck: _Health | None = None
    shell: tuple[str, ...] | None = None
    on_build: tuple[str, ...] | None = None


class _RootFs(Struct):
    diff_ids: tuple[str, ...] | None = None


class _Config(Struct):
    architecture: str | None = None
    os: str | None = None
    variant: str | None = None
    created: str | None = None
    author: str | None = None
    config: _Run | None = None
    rootfs: _RootFs | None = None


def parse_config(body: bytes) -> ImageConfig:
    """Read an image configuration; `Invalid` names the field that is wrong."""
    raw = _decode(body, _Config)
    return structs.replace(
        _running(raw.config or _Run()),
        diff_ids=_diff_ids(raw.rootfs),
        platform=Platform(raw.os or "linux", raw.architecture or "", raw.variant or ""),
        created_at=parse_time(raw.created or ""),
        author=raw.author or "",
    )


def _decode(body: bytes, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as err:
        raise Invalid(f"image config: {err}") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise Invalid(f"image config: not JSON: {err}") from err


def _running(run: _Run) -> ImageConfig:
    return ImageConfig(
        entrypoint=run.entrypoint or (),
        cmd=run.cmd or (),
        env=run.env or (),
        workdir=run.working_dir or "",
        user=run.user or "",
        stop_signal=run.stop_signal or "",
        volumes=tuple(sorted(run.volumes or ())),
        exposed_ports=tuple(sorted(run.exposed_ports or ())),
        labels=run.labels or {},
        healthcheck=_healthcheck(run.healthcheck),
        shell_argv=run.shell or (),
        onbuild=run.on_build or (),
    )


def parse_time(text: str) -> float:
    """Seconds since the epoch of an RFC 3339 time; 0.0 when there is none or it is unreadable."""
    try:
        parsed = msgspec.convert(text, datetime)
    except msgspec.ValidationError:
        return 0.0
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def _healthcheck(raw: _Health | None) -> Healthcheck | None:
    if raw is None:
        return None
    return Healthcheck(
        test=raw.test or (),
        interval_s=(raw.interval or 0) / _NANOSECONDS,
        timeout_s=(raw.timeout or 0) / _NANOSECONDS,
        start_period_s=(raw.start_period or 0) / _NANOSECONDS,
        start_interval_s=(raw.start_interval or 0) / _NANOSECONDS,
        retries=raw.retries or 0,
    )


def _diff_ids(raw: _RootFs | None) -> tuple[str, ...]:
    diff_ids = (raw.diff_ids if raw else None) or ()
    for number, diff_id in enumerate(diff_ids):
        if not is_digest(diff_id):
            raise Invalid(f"image config: rootfs.diff_ids[{number}]: {diff_id!r} is not sha256")
    return diff_ids
