"""Name every path and port of one node, so that many nodes fit on one machine.

Ports next to the listening one are derived from it: etcd serves its clients (this host only)
two above and its peers three above. The manager's metrics are one above the agent's.
"""

from pathlib import Path

from msgspec import Struct, field

from runtime.spec import UserNamespace
from swarm.addresses import format_address, moved, parse_address
from swarm.ids import ClusterId, NodeId
from swarm.specs import GenericResource, Role

NO_SOCKET = "none"
DOCKER_PORT = 2376  # Docker's own for TLS


class Settings(Struct, frozen=True, kw_only=True):
    """What the command line of swarmd may change.

    `user_namespace` is what `userns_remap` came to on this host. An empty `docker_socket` is the
    one in the run root, and an empty `docker_addr` none at all.
    """

    data_root: str = "/var/lib/swarmd"
    run_root: str = "/run/swarmd"
    listen_addr: str = "0.0.0.0:2377"
    advertise_addr: str = ""
    data_path_addr: str = ""
    metrics_addr: str = "127.0.0.1:9323"
    hostname: str = ""
    cgroup_parent: str = "swarmd"
    userns_remap: str = ""
    user_namespace: UserNamespace | None = None
    docker_socket: str = ""
    docker_addr: str = ""
    insecure_registries: tuple[str, ...] = ()
    labels: dict[str, str] = field(default_factory=dict[str, str])
    generic_resources: tuple[GenericResource, ...] = ()
    log_level: str = "info"

    @property
    def data(self) -> Path:
        """What outlives a reboot."""
        return Path(self.data_root)

    @property
    def run(self) -> Path:
        """Sockets, and what describes running containers."""
        return Path(self.run_root)

    @property
    def socket(self) -> Path:
        """Where swarmctl talks to this node."""
        return self.run / "swarmd.sock"

    @property
    def agent_socket(self) -> Path:
        """Where the agent serves this node's images."""
        return self.run / "agent.sock"

    @property
    def launcher_socket(self) -> Path:
        """Where the agent asks for containers."""
        return self.run / "launcher.sock"

    @property
    def docker_door(self) -> Path | None:
        """Where Docker's clients come in on this host; None where they do not."""
        if self.docker_socket == NO_SOCKET:
            return None
        return Path(self.docker_socket) if self.docker_socket else self.run / "docker.sock"

    @property
    def certificates(self) -> Path:
        """This node's identity; see `swarm.io.identity`."""
        return self.data / "certificates"

    @property
    def identity_file(self) -> Path:
        """Key, certificate and root in one file."""
        return self.certificates / "node.pem"

    @property
    def data_key_file(self) -> Path:
        """Managers only: what opens the secrets in etcd."""
        return self.data / "data.key"

    @property
    def etcd_dir(self) -> Path:
        """Managers only: the swarm's state."""
        return self.data / "etcd"

    @property
    def etcd_log(self) -> Path:
        """What etcd complains about."""
        return self.data / "etcd.log"

    @property
    def children_file(self) -> Path:
        """Processes that are to end when swarmd crashes."""
        return self.run / "children.json"

    @property
    def membership_file(self) -> Path:
        """The commit point of init, join and leave."""
        return self.data / "node.json"


class Membership(Struct, frozen=True, kw_only=True):
    """The swarm that this node belongs to. `is_leaving` survives a crash in mid-leave.

    Other nodes send what is for our tasks to `data_path_addr`, or to the advertised address when
    that is empty.
    """

    node_id: NodeId
    cluster_id: ClusterId
    role: Role
    listen_addr: str
    advertise_addr: str
    managers: tuple[str, ...] = ()
    data_path_addr: str = ""
    is_leaving: bool = False

    @property
    def etcd_client_url(self) -> str:
        """Where this manager's etcd serves it, on loopback only."""
        _, port = parse_address(self.listen_addr)
        return f"https://{format_address('127.0.0.1', port + 2)}"

    @property
    def etcd_peer_url(self) -> str:
        """Where this manager's etcd meets its peers."""
        host, _ = parse_address(self.advertise_addr)
        _, port = parse_address(self.listen_addr)
        return f"https://{format_address(host, port + 3)}"


def manager_metrics_addr(settings: Settings) -> str:
    """The manager's metrics live one port above the agent's."""
    return moved(settings.metrics_addr, 1)
