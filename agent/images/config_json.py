"""Write the configuration document of an image that is made here.

What its parent's document says that we have no word for stays; what is of the parent alone
does not. The history has a line for each layer, whatever the parent told of its own.
"""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from swarm.images.config import ImageConfig, Step
from swarm.specs import Healthcheck

_NANOSECONDS = 1_000_000_000
_OF_THE_PARENT = ("container", "container_config", "id", "parent", "comment", "docker_version")


class _Empty(Struct):
    empty_layer: bool = False


def encode_config(
    config: ImageConfig, *, steps: tuple[Step, ...], comment: str = "", parent: bytes = b""
) -> bytes:
    """The OCI image configuration of `config`; `steps` came after the history of `parent`."""
    document: dict[str, object] = msgspec.json.decode(parent) if parent else {}
    for name in _OF_THE_PARENT:
        document.pop(name, None)
    document |= {
        "created": _time(config.created_at),
        "architecture": config.platform.architecture,
        "os": config.platform.os,
        "config": _run(config, _object(document.get("config"))),
        "rootfs": {"type": "layers", "diff_ids": list(config.diff_ids)},
    }
    layers = len(config.diff_ids) - sum(not step.is_empty for step in steps)
    document["history"] = _told(document.get("history"), layers) + [_line(each) for each in steps]
    for name, text in (
        ("variant", config.platform.variant),
        ("author", config.author),
        ("comment", comment),
    ):
        if text:
            document[name] = text
    return msgspec.json.encode(document)


def _object(value: object) -> dict[str, object]:
    return msgspec.convert(value or {}, dict[str, object])


def _run(config: ImageConfig, before: dict[str, object]) -> dict[str, object]:
    run: dict[str, object] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": list(config.env),
        "WorkingDir": config.workdir,
        "User": config.user,
        "StopSignal": config.stop_signal,
        "Volumes": {path: {} for path in config.volumes},
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Labels": config.labels,
        "Healthcheck": _healthcheck(config.healthcheck),
        "Shell": list(config.shell_argv),
        "OnBuild": list(config.onbuild),
    }
    others = {name: value for name, value in before.items() if name not in run}
    return others | {name: value for name, value in run.items() if value}


def _healthcheck(check: Healthcheck | None) -> dict[str, object]:
    if check is None:
        return {}
    told: dict[str, object] = {
        "Test": list(check.test),
        "Interval": round(check.interval_s * _NANOSECONDS),
        "Timeout": round(check.timeout_s * _NANOSECONDS),
        "StartPeriod": round(check.start_period_s * _NANOSECONDS),
        "StartInterval": round(check.start_interval_s * _NANOSECONDS),
        "Retries": check.retries,
    }
    return {name: value for name, value in told.items() if value}


def _told(history: object, layers: int) -> list[object]:
    """A parent's history, filled up where it does not tell of all its `layers`."""
    lines: list[object] = msgspec.convert(history or [], list[object])
    telling = sum(not msgspec.convert(line, _Empty).empty_layer for line in lines)
    untold: list[object] = [{"created": _time(0.0)} for _ in range(layers - telling)]
    return untold + lines


def _line(step: Step) -> dict[str, object]:
    line: dict[str, object] = {"created": _time(step.created_at)}
    for name, text in (
        ("created_by", step.created_by),
        ("author", step.author),
        ("comment", step.comment),
    ):
        if text:
            line[name] = text
    if step.is_empty:
        line["empty_layer"] = True
    return line


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
