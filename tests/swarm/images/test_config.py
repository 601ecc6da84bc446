"""Image configurations are read as builders write them."""

import json

import pytest

from swarm.errors import Invalid
from swarm.images.config import ImageConfig, parse_config, parse_time
from swarm.images.platform import Platform
from swarm.specs import Healthcheck

DIGEST = "sha256:" + "cd" * 32


def test_every_field_is_read() -> None:
    body = {
        "architecture": "arm64",
        "os": "linux",
        "variant": "v8",
        "created": "2024-05-01T10:00:00.123456789Z",
        "author": "someone",
        "config": {
            "Entrypoint": ["/entry"],
            "Cmd": ["a", "b"],
            "Env": ["PATH=/bin"],
            "WorkingDir": "/srv",
            "User": "1000:1000",
            "StopSignal": "SIGQUIT",
            "Volumes": {"/b": {}, "/a": {}},
            "ExposedPorts": {"80/tcp": {}},
            "Labels": {"k": "v"},
            "Healthcheck": {"Test": ["CMD", "true"], "Interval": 1_500_000_000, "Retries": 3},
            "Shell": ["/bin/bash", "-c"],
            "OnBuild": None,
        },
        "rootfs": {"type": "layers", "diff_ids": [DIGEST]},
        "history": [{"created_by": "x"}],
    }

    assert parse_config(json.dumps(body).encode()) == ImageConfig(
        entrypoint=("/entry",),
        cmd=("a", "b"),
        env=("PATH=/bin",),
        workdir="/srv",
        user="1000:1000",
        stop_signal="SIGQUIT",
        volumes=("/a", "/b"),
        exposed_ports=("80/tcp",),
        labels={"k": "v"},
        healthcheck=Healthcheck(test=("CMD", "true"), interval_s=1.5, retries=3),
        shell_argv=("/bin/bash", "-c"),
        diff_ids=(DIGEST,),
        platform=Platform("linux", "arm64", "v8"),
        created_at=1714557600.123457,
        author="someone",
    )


def test_null_means_empty() -> None:
    body = (
        b'{"config": {"Cmd": null, "Env": null, "Volumes": null, "Labels": null}, "rootfs": null}'
    )

    assert parse_config(body) == ImageConfig()


@pytest.mark.parametrize(
    ("body", "part"),
    [
        (b"nonsense", "not JSON"),
        (b'{"config": {"Cmd": "sh"}}', "$.config.Cmd"),
        (b'{"config": {"Env": [1]}}', "$.config.Env[0]"),
        (b'{"rootfs": {"diff_ids": ["sha256:1"]}}', "rootfs.diff_ids[0]"),
    ],
)
def test_a_broken_config_names_its_field(body: bytes, part: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_config(body)

    assert part in refusal.value.message


def test_an_unreadable_time_is_no_time() -> None:
    assert parse_time("yesterday") == 0.0
    assert parse_time("1970-01-01T00:01:00") == 60.0
