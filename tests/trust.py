"""Build swarms for tests: a CA, its nodes and its joiners, and a real server on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import grpc
import grpc.aio
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from manager.ca.issuing import issue, node_id_of, requested_by
from manager.ca.vault import anchors_of, authority_of, found, rotate, token_of
from swarm.access import ALLOWED
from swarm.api.v1 import (
    control_pb2,
    control_pb2_grpc,
    dispatch_pb2,
    dispatch_pb2_grpc,
    trust_pb2,
    trust_pb2_grpc,
)
from swarm.certificates import Identity, at, bind, certificate_pem, key_pem, make_key
from swarm.ids import ClusterId, NodeId
from swarm.io.rpc import ErrorInterceptor, RoleInterceptor, peer
from swarm.io.tls import SERVER_OPTIONS, Serving, server_credentials
from swarm.sealing import make_data_key
from swarm.specs import ClusterSpec, Role
from swarm.tokens import anchor_of, join_certificate

DAY_S = 86400.0


class Swarm:
    """A swarm's CA. Rotation and renewal replace what `serving` hands out."""

    def __init__(self, now: float, *, seed: int = 1, name: str = "swarm1") -> None:
        self.now = now
        self.random = Random(seed)
        self.data_key = make_data_key(self.random)
        self.founded = found(
            ClusterId(name), ClusterSpec(), data_key=self.data_key, now=now, random=self.random
        )
        self.cluster = self.founded.cluster
        self.anchors = anchors_of(self.cluster, self.data_key)
        self.server = self.node(Role.MANAGER, "manager1")
        self.roles: dict[str, Role] = {}

    def node(
        self, role: Role = Role.WORKER, node_id: str = "node1", *, expiry_s: float = 90 * DAY_S
    ) -> Identity:
        key = make_key(self.random)
        authority = authority_of(self.cluster, self.data_key)
        certificate = issue(
            authority,
            key.public_key(),
            node_id=NodeId(node_id),
            role=role,
            expiry_s=expiry_s,
            now=self.now,
            random=self.random,
        )
        return bind(key, certificate, self.cluster.root_certificate)

    def token(self, role: Role = Role.WORKER) -> str:
        return token_of(self.cluster, role, self.data_key).text

    def joiner(self, role: Role = Role.WORKER) -> Identity:
        anchor = anchor_of(token_of(self.cluster, role, self.data_key))
        key = make_key(self.random)
        leaf = join_certificate(anchor, key.public_key(), now=self.now)
        return Identity(key=key_pem(key), certificate=leaf, root=self.cluster.root_certificate)

    def rotate(self, role: Role = Role.WORKER) -> None:
        self.cluster = rotate(
            self.cluster, role, data_key=self.data_key, now=self.now, random=self.random
        )
        self.anchors = anchors_of(self.cluster, self.data_key)

    def serving(self) -> Serving:
        return Serving(identity=self.server, client_roots=self.anchors.pem)


def forge(
    issuer_key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate,
    *,
    now: float,
    ou: str,
    cn: str = "manager1",
    organization: str = "swarm1",
    is_authority: bool = False,
) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    """What someone with `issuer_key` can write: any subject at all."""
    key = make_key(Random(99))
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, ou),
            x509.NameAttribute(NameOID.COMMON_NAME, cn),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(at(now - 60))
        .not_valid_after(at(now + DAY_S))
        .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(ou)]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return key, certificate_pem(certificate)


class TrustService(trust_pb2_grpc.TrustServicer):
    """Enrolls and renews with the real CA; `nodes` is who was let in."""

    def __init__(self, swarm: Swarm) -> None:
        self.swarm = swarm
        self.nodes: list[str] = []

    async def Enroll(self, request, context):  # noqa: N802
        key = requested_by(peer(), request.csr)
        node_id = node_id_of(key)
        certificate = self._issue(key, node_id, peer().role)
        self.nodes.append(node_id)
        self.swarm.roles[node_id] = peer().role
        return trust_pb2.EnrollResponse(
            node_id=node_id,
            certificate=certificate,
            root_certificate=self.swarm.cluster.root_certificate,
            managers=["10.0.0.1:2377"],
            cluster_id=self.swarm.cluster.id,
        )

    async def Renew(self, request, context):  # noqa: N802
        from manager.ca.issuing import read_request

        certificate = self._issue(read_request(request.csr), peer().node_id, peer().role)
        return trust_pb2.RenewResponse(
            certificate=certificate, root_certificate=self.swarm.cluster.root_certificate
        )

    def _issue(self, key: ec.EllipticCurvePublicKey, node_id: str, role: Role) -> bytes:
        return issue(
            authority_of(self.swarm.cluster, self.swarm.data_key),
            key,
            node_id=NodeId(node_id),
            role=role,
            expiry_s=90 * DAY_S,
            now=self.swarm.now,
            random=self.swarm.random,
        )


class ControlService(control_pb2_grpc.ControlServicer):
    """Answers one call."""

    async def ListNodes(self, request, context):  # noqa: N802
        return control_pb2.ListNodesResponse()


class DispatcherService(dispatch_pb2_grpc.DispatcherServicer):
    """Echoes: each message is answered with the caller's node id."""

    async def Session(self, request_iterator, context):  # noqa: N802
        async for _ in request_iterator:
            welcome = dispatch_pb2.Welcome(session_id=peer().node_id)
            yield dispatch_pb2.ManagerMessage(welcome=welcome)


@asynccontextmanager
async def serving(
    swarm: Swarm, *, now: Callable[[], float] | None = None
) -> AsyncIterator[tuple[str, TrustService]]:
    """A manager's port on loopback: its address, and the service behind Trust."""
    trust = TrustService(swarm)
    roles = RoleInterceptor(
        access=ALLOWED,
        anchors=lambda: swarm.anchors,
        role_of=swarm.roles.get,
        now=now or (lambda: swarm.now),
    )
    server = grpc.aio.server(
        interceptors=[ErrorInterceptor(structlog.get_logger()), roles], options=SERVER_OPTIONS
    )
    trust_pb2_grpc.add_TrustServicer_to_server(trust, server)
    for add, service in (
        (control_pb2_grpc.add_ControlServicer_to_server, ControlService),
        (dispatch_pb2_grpc.add_DispatcherServicer_to_server, DispatcherService),
    ):
        service.__abstractmethods__ = frozenset()  # a test serves a few methods of many
        add(service(), server)
    port = server.add_secure_port("127.0.0.1:0", server_credentials(swarm.serving))
    await server.start()
    try:
        yield f"127.0.0.1:{port}", trust
    finally:
        await server.stop(0)
