"""Say how an image runs that is made of a container.

As its container does, unless whoever commits it says otherwise: in the words of Docker's `Config`,
where what he leaves out is the container's, and in instructions of a Dockerfile on top of that.
"""

import msgspec
from msgspec.structs import replace

from agent.build.changes import changed
from agent.build.image import HealthConfig, ImageDocument, RunConfig, nanoseconds
from agent.standalone import making
from agent.standalone.record import Record
from swarm.errors import Invalid
from swarm.specs import Healthcheck


def committed(record: Record, config_json: bytes, changes: tuple[str, ...]) -> RunConfig:
    """How the image runs; `Invalid` names what cannot be read."""
    own = running(record)
    asked = _decoded(config_json)
    return merged(changed(own if asked is None else asked, changes), own)


def running(record: Record) -> RunConfig:
    """How the container itself runs."""
    spec, image = record.spec, record.image
    asked = spec.container
    return RunConfig(
        hostname=asked.hostname or record.id[:12],
        domainname=spec.domainname,
        user=asked.user or image.user,
        exposed_ports=_set(making.exposed(spec, image)),
        env=making.variables(asked, image) or None,
        entrypoint=making.entrypoint(asked, image) or None,
        cmd=making.command(asked, image) or None,
        healthcheck=_checked(asked.health, image.healthcheck),
        volumes=_set(making.volumes(spec, image)),
        working_dir=asked.workdir or image.workdir,
        labels=record.labels or None,
        stop_signal=asked.stop_signal or image.stop_signal,
        shell=image.shell_argv or None,
    )


def merged(asked: RunConfig, own: RunConfig) -> RunConfig:
    """`asked`, and what is `own` where it is silent."""
    names = {each.partition("=")[0] for each in asked.env or ()}
    kept = tuple(each for each in own.env or () if each.partition("=")[0] not in names)
    has_program = bool(asked.entrypoint or asked.cmd)
    return replace(
        asked,
        hostname=asked.hostname or own.hostname,
        domainname=asked.domainname or own.domainname,
        user=asked.user or own.user,
        exposed_ports=(own.exposed_ports or {}) | (asked.exposed_ports or {}) or None,
        env=(*(asked.env or ()), *kept) or None,
        entrypoint=own.entrypoint if asked.entrypoint is None else asked.entrypoint,
        cmd=asked.cmd if has_program else own.cmd,
        healthcheck=asked.healthcheck or own.healthcheck,
        volumes=(own.volumes or {}) | (asked.volumes or {}) or None,
        working_dir=asked.working_dir or own.working_dir,
        labels=(own.labels or {}) | (asked.labels or {}) or None,
        stop_signal=asked.stop_signal or own.stop_signal,
        shell=asked.shell or own.shell,
    )


def document(
    base: bytes, run: RunConfig, record: Record, *, at: float, author: str, comment: str,
    diff_id: str,
) -> ImageDocument:  # fmt: skip
    """The image's configuration, one layer above that of its container's image."""
    try:
        begun = msgspec.json.decode(base, type=ImageDocument)
    except msgspec.MsgspecError as err:
        raise Invalid(f"the image's configuration cannot be read: {err}") from err
    said = " ".join(running(record).cmd or ())
    grown = begun.grown(run, created=at, created_by=said, author=author, diff_id=diff_id)
    *before, last = grown.deeds
    history = (*before, replace(last, comment=comment))
    return replace(grown, comment=comment, history=history)


def _decoded(config_json: bytes) -> RunConfig | None:
    """Clients write `null` for whatever they have nothing to say of."""
    if not config_json or config_json.strip() in (b"null", b"{}"):
        return None
    try:
        given = msgspec.json.decode(config_json, type=dict[str, object])
        kept = {name: value for name, value in given.items() if value is not None}
        return msgspec.convert(kept, type=RunConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"config: {err}") from err


def _set(names: tuple[str, ...]) -> dict[str, dict[str, str]] | None:
    return {name: {} for name in sorted(names)} or None


def _checked(asked: Healthcheck, image: Healthcheck | None) -> HealthConfig | None:
    check = asked if asked.test else image
    if check is None or not check.test:
        return None
    return HealthConfig(
        test=check.test,
        interval=nanoseconds(check.interval_s),
        timeout=nanoseconds(check.timeout_s),
        start_period=nanoseconds(check.start_period_s),
        start_interval=nanoseconds(check.start_interval_s),
        retries=check.retries,
    )
