"""Listen with mutual TLS, and hold what handshakes and checks need at hand.

The anchors follow from the swarm's root and its tokens, and are made once for each of them: a
rotated token is refused from the moment its commit is in the view. The identity is looked at
again at every handshake, since swarmd renews it under our feet.
"""

from collections.abc import Callable, Sequence

import grpc
import grpc.aio

from manager.ca.authority import Authority
from manager.ca.vault import anchors_of, authority_of
from manager.control import clusters
from manager.io.mirror import Mirror
from swarm.addresses import format_address, parse_address
from swarm.errors import Unavailable
from swarm.ids import NodeId
from swarm.io.identity import IdentityFiles
from swarm.io.tls import SERVER_OPTIONS, Serving, server_credentials
from swarm.objects import Sealed
from swarm.peers import Anchors
from swarm.sealing import DataKey
from swarm.specs import Role

# The root's certificate, and both tokens as the store has them.
_Origin = tuple[bytes, Sealed | None, Sealed | None]


class Trusted:
    """Whom this manager believes, and by which certificate it is believed."""

    def __init__(self, mirror: Mirror, files: IdentityFiles, data_key: DataKey) -> None:
        self._mirror = mirror
        self._files = files
        self._data_key = data_key
        self._made: tuple[_Origin, Anchors] | None = None

    def anchors(self) -> Anchors:
        """Whose signatures count now."""
        cluster = clusters.present(self._mirror.view)
        origin = cluster.root_certificate, cluster.worker_token, cluster.manager_token
        made = self._made
        if made is None or made[0] != origin:
            self._made = made = origin, anchors_of(cluster, self._data_key)
        return made[1]

    def serving(self) -> Serving:
        """What the next handshake shows and accepts; called on a thread of gRPC's."""
        return Serving(identity=self._files.current(), client_roots=self.anchors().pem)

    def authority(self) -> Authority:
        """The CA, opened for a signature."""
        return authority_of(clusters.present(self._mirror.view), self._data_key)

    def role_of(self, node_id: NodeId) -> Role | None:
        """The role that the swarm wants a node to have; None when it is not a node."""
        if not self._mirror.is_loaded:
            raise Unavailable("this manager is starting", hint="try again")
        node = self._mirror.view.nodes.get(node_id)
        return node.spec.role if node is not None else None


def make_server(interceptors: Sequence[grpc.aio.ServerInterceptor]) -> grpc.aio.Server:
    """A server that takes as many streams as there are agents."""
    return grpc.aio.server(interceptors=list(interceptors), options=list(SERVER_OPTIONS))


def bind(server: grpc.aio.Server, address: str, fetch: Callable[[], Serving]) -> int:
    """Listen at `address`; returns the port. `Unavailable` when someone else does."""
    host, port = parse_address(address)
    try:
        return server.add_secure_port(format_address(host, port), server_credentials(fetch))
    except RuntimeError as err:
        raise Unavailable(
            f"cannot listen at {address}: {err}", hint="choose another with --listen-addr"
        ) from err
