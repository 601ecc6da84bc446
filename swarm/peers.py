"""Tell who is calling from the certificate that TLS has checked.

TLS only says that *some* trusted certificate signed the caller's, and a join token is a
trusted signing key: whoever holds one can write any subject it likes, `swarm-manager`
included. So a role is never read before the signer is known: only the root makes nodes, and
what an anchor signed is a joiner of that anchor's role, whatever it claims. Every call is
judged anew against the anchors of the moment, so a rotated token is void on open connections.
"""

from enum import Enum

from cryptography import x509
from msgspec import Struct
from msgspec.structs import replace

from swarm.certificates import (
    certificate_pem,
    cluster_of,
    is_issued_by,
    load_certificate,
    public_bytes,
    read_subject,
    validity,
)
from swarm.errors import Refused
from swarm.ids import NodeId
from swarm.specs import Role


class Standing(Enum):
    """What a caller is: a node in its role, or someone invited to become one."""

    MANAGER = "manager"
    WORKER = "worker"
    JOINING_MANAGER = "joining manager"
    JOINING_WORKER = "joining worker"


class Peer(Struct, frozen=True, kw_only=True):
    """A caller. `node_id` is empty while it joins; `public_key` is DER."""

    standing: Standing
    node_id: NodeId = NodeId("")
    public_key: bytes
    not_before: float
    not_after: float

    @property
    def role(self) -> Role:
        """The role that the caller has, or is invited to."""
        is_manager = self.standing in (Standing.MANAGER, Standing.JOINING_MANAGER)
        return Role.MANAGER if is_manager else Role.WORKER

    @property
    def is_joining(self) -> bool:
        """Whether it has no node's certificate yet."""
        return self.standing in (Standing.JOINING_MANAGER, Standing.JOINING_WORKER)

    def __str__(self) -> str:
        return f"a {self.standing.value}" if self.is_joining else f"node {self.node_id}"


class Anchors(Struct, frozen=True, kw_only=True):
    """Whose signatures a manager accepts from callers, and what each of them means."""

    root: x509.Certificate
    worker: x509.Certificate
    manager: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The trust store that the TLS handshake checks callers against."""
        return b"".join(certificate_pem(each) for each in (self.root, self.worker, self.manager))


def identify(pem: bytes, anchors: Anchors) -> Peer:
    """Who the holder of this certificate is; `Refused` when no anchor of ours made it so.

    The caller's possession of the key is TLS's to prove, the dates are `check_dates`'.
    """
    certificate = _load(pem)
    if is_issued_by(certificate, anchors.root):
        return _node(certificate, anchors.root)
    for anchor, standing in (
        (anchors.worker, Standing.JOINING_WORKER),
        (anchors.manager, Standing.JOINING_MANAGER),
    ):
        if is_issued_by(certificate, anchor):
            return _peer(certificate, standing, NodeId(""))
    raise Refused(
        "the certificate is of another swarm or of a join token that was rotated",
        hint="`swarmctl join-token worker` on a manager shows the current token",
    )


def identify_node(pem: bytes, root: x509.Certificate) -> Peer:
    """The same for those who let in nodes alone: a join token's holder is nobody to them."""
    certificate = _load(pem)
    if not is_issued_by(certificate, root):
        raise Refused(
            "the certificate is not a node's of this swarm",
            hint="show one that its root has signed: <data root>/certificates/node.pem is one",
        )
    return _node(certificate, root)


def check_dates(peer: Peer, *, now: float) -> None:
    """`Refused` outside the certificate's life: an open connection may outlive it."""
    if now > peer.not_after:
        raise Refused(
            f"the certificate of {peer} expired {now - peer.not_after:.0f} s ago",
            hint="run `swarmctl leave --force` on that node and join again",
        )
    if now < peer.not_before:
        raise Refused(
            f"the certificate of {peer} begins in {peer.not_before - now:.0f} s",
            hint="set the clocks of both hosts",
        )


def limited(peer: Peer, wanted: Role | None) -> Peer:
    """The node as the cluster wants it now: a demoted manager's certificate is worth a worker's.

    None means that it was removed. A promoted worker stays one until its new certificate is here.
    """
    if wanted is None:
        raise Refused(
            f"{peer} is not part of this swarm",
            hint="if it was removed, run `swarmctl leave --force` on it and join again",
        )
    if wanted is Role.WORKER and peer.standing is Standing.MANAGER:
        return replace(peer, standing=Standing.WORKER)
    return peer


class Recognition:
    """`identify` with a memory: an agent calls again and again with one certificate.

    The memory belongs to its anchors and is dropped with them.
    """

    def __init__(self, room: int = 4096) -> None:
        self._room = room
        self._anchors: Anchors | None = None
        self._peers: dict[bytes, Peer] = {}

    def identify(self, pem: bytes, anchors: Anchors) -> Peer:
        """Like `identify`."""
        if anchors is not self._anchors:
            self._anchors, self._peers = anchors, {}
        found = self._peers.get(pem)
        if found is None:
            found = identify(pem, anchors)
            if len(self._peers) >= self._room:
                self._peers.clear()
            self._peers[pem] = found
        return found

    def __len__(self) -> int:
        return len(self._peers)


def _load(pem: bytes) -> x509.Certificate:
    certificate = load_certificate(pem)
    if _is_authority(certificate):
        raise Refused("an authority's certificate is not a caller's")
    return certificate


def _node(certificate: x509.Certificate, root: x509.Certificate) -> Peer:
    subject = read_subject(certificate)
    if subject.cluster_id != cluster_of(root):
        raise Refused(f"node {subject.node_id} belongs to swarm {subject.cluster_id}")
    standing = Standing.MANAGER if subject.role is Role.MANAGER else Standing.WORKER
    return _peer(certificate, standing, subject.node_id)


def _peer(certificate: x509.Certificate, standing: Standing, node_id: NodeId) -> Peer:
    not_before, not_after = validity(certificate)
    return Peer(
        standing=standing,
        node_id=node_id,
        public_key=public_bytes(certificate.public_key()),
        not_before=not_before,
        not_after=not_after,
    )


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False
