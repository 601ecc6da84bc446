"""Name what swarmd tells its agent: who the node is, and where everything lies.

swarmd writes this as JSON and starts `python -m agent.main --config FILE`. Paths are
absolute; nothing here changes while the agent runs.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from runtime.spec import UserNamespace
from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.specs import GenericResource


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One node's agent. `identity` is the directory that holds the node's certificate.

    Without a swarm `node_id` is empty and there are no `managers`, which else are the addresses
    to try before any manager has named others. `advertise_host` is how others reach this node,
    and `data_path_addr` how its tasks are reached by those of others, if it is another address.
    With `user_namespace` containers have those ids of the host.
    """

    node_id: NodeId
    hostname: str
    identity: str
    managers: tuple[str, ...] = ()
    data_root: str
    run_root: str
    launcher_socket: str
    metrics_addr: str = ""
    cgroup_parent: str = "swarmd"
    user_namespace: UserNamespace | None = None
    advertise_host: str = ""
    data_path_addr: str = ""
    insecure_registries: tuple[str, ...] = ()
    engine_labels: dict[str, str] = {}
    generic_resources: tuple[GenericResource, ...] = ()
    log_level: str = "info"

    @property
    def is_alone(self) -> bool:
        """Whether this node is in no swarm."""
        return not self.node_id

    @property
    def data(self) -> Path:
        """What the agent keeps over a reboot."""
        return Path(self.data_root) / "agent"

    @property
    def containers(self) -> Path:
        """One directory per task: its layer, logs and anonymous volumes."""
        return self.data / "containers"

    @property
    def volumes(self) -> Path:
        """One directory per named volume."""
        return self.data / "volumes"

    @property
    def standalone(self) -> Path:
        """One directory per container that is no task's, named after its id."""
        return self.data / "standalone"

    @property
    def local_networks(self) -> Path:
        """One file per network of this node alone."""
        return self.data / "networks"

    @property
    def contents(self) -> Path:
        """One directory per task that has secrets or configs, with memory mounted on it."""
        return Path(self.run_root) / "contents"

    @property
    def networks(self) -> Path:
        """One network namespace per network, with its router in it."""
        return Path(self.run_root) / "netns"

    @property
    def encryption(self) -> Path:
        """The network namespace that encrypts what leaves it."""
        return Path(self.run_root) / "encryption"

    @property
    def connections(self) -> Path:
        """How each container is connected, for the next agent."""
        return Path(self.run_root) / "connections"

    @property
    def images(self) -> Path:
        """The image store."""
        return self.data / "images"

    @property
    def builds(self) -> Path:
        """What builds remember."""
        return self.data / "build"

    @property
    def managers_file(self) -> Path:
        """The managers that were last heard of."""
        return self.data / "managers.json"

    @property
    def socket(self) -> Path:
        """Where this node's images and volumes are served."""
        return Path(self.run_root) / "agent.sock"


def parse(text: bytes, *, name: str) -> Config:
    """Read a configuration; `Invalid` names the field that is wrong."""
    try:
        config = msgspec.json.decode(text, type=Config)
    except msgspec.DecodeError as err:
        raise Invalid(f"{name}: {err}", hint="swarmd writes this file; restart it") from err
    problems = tuple(
        f"{field}: {path!r} must be absolute"
        for field in ("identity", "data_root", "run_root", "launcher_socket")
        if not (path := getattr(config, field)).startswith("/")
    )
    if config.managers and config.is_alone:
        problems += ("managers: a node without an id has none",)
    if not config.managers and not config.is_alone:
        problems += ("managers: must name at least one",)
    if problems:
        raise Invalid(f"{name}: {problems[0]}", problems=problems)
    return config
