"""Write the configuration document of an image that is made here."""

from datetime import UTC, datetime

import msgspec

from swarm.images.config import ImageConfig


def encode_config(config: ImageConfig, *, message: str) -> bytes:
    """The OCI image configuration of `config`, whose history is one line: `message`."""
    created = datetime.fromtimestamp(config.created_at, UTC).isoformat().replace("+00:00", "Z")
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
    }
    document: dict[str, object] = {
        "created": created,
        "architecture": config.platform.architecture,
        "os": config.platform.os,
        "config": {key: value for key, value in run.items() if value},
        "rootfs": {"type": "layers", "diff_ids": list(config.diff_ids)},
        "history": [{"created": created, "comment": message}],
    }
    if config.platform.variant:
        document["variant"] = config.platform.variant
    if message:
        document["comment"] = message
    return msgspec.json.encode(document)
