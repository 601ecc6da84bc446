"""Name what swarmd tells the part that speaks Docker's API: whom to ask, and where all is.

swarmd writes this as JSON and starts `python -m engine.main --config FILE`. Paths are absolute;
nothing here changes while the process runs. Whether the node is in a swarm is not said here, for
that does change: its identity is there or it is not.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from swarm.errors import Invalid


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One host's engine. `identity` is the directory that holds the node's certificate.

    `docker_socket` and `docker_addr` are where clients come in, empty where they do not;
    `metrics_addr` is the agent's. `user_namespace` is what `--userns-remap` was.
    """

    swarmd_socket: str
    agent_socket: str
    identity: str
    data_root: str
    run_root: str
    hostname: str
    docker_socket: str = ""
    docker_addr: str = ""
    metrics_addr: str = ""
    cgroup_parent: str = "swarmd"
    userns_remap: str = ""
    insecure_registries: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    log_level: str = "info"

    @property
    def certificates(self) -> Path:
        """This node's identity; see `swarm.io.identity`."""
        return Path(self.identity)


def parse(text: bytes, *, name: str) -> Config:
    """Read a configuration; `Invalid` names the fields that are wrong."""
    try:
        config = msgspec.json.decode(text, type=Config)
    except msgspec.DecodeError as err:
        raise Invalid(f"{name}: {err}", hint="swarmd writes this file; restart it") from err
    paths = ("swarmd_socket", "agent_socket", "identity", "data_root", "run_root")
    problems = tuple(
        f"{field}: {path!r} must be absolute"
        for field in paths
        if not (path := getattr(config, field)).startswith("/")
    )
    if problems:
        raise Invalid(f"{name}: {problems[0]}", problems=problems)
    return config
