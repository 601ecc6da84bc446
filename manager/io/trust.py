"""Make nodes: give joiners their first certificate and nodes their next one.

A joiner's node object is written before its certificate is signed, so there is never a
certificate without a node; a joiner whose answer was lost asks again with the same key and
is given the same node. Who leads writes; any other manager says where to ask.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

from manager.ca.authority import Authority
from manager.ca.issuing import issue, node_id_of, read_request, requested_by
from manager.control import clusters
from manager.control.nodes import admit
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.io.services import Services
from manager.store import Commit
from swarm.addresses import parse_address, require_ip
from swarm.api.v1 import trust_pb2, trust_pb2_grpc
from swarm.errors import Invalid, Refused, Unavailable
from swarm.ids import NodeId
from swarm.io.rpc import peer
from swarm.specs import Availability, Role

LONGEST_HOSTNAME = 253


class Trust(trust_pb2_grpc.TrustServicer):
    """`swarm.api.v1.Trust`. `authority` opens the CA's key for one signature."""

    def __init__(
        self,
        mirror: Mirror,
        leader: Leader,
        services: Services,
        *,
        authority: Callable[[], Authority],
        random: Random,
    ) -> None:
        self._mirror = mirror
        self._leader = leader
        self._services = services
        self._authority = authority
        self._random = random
        self._turn = asyncio.Lock()

    async def Enroll(
        self, request: trust_pb2.EnrollRequest, context: Any
    ) -> trust_pb2.EnrollResponse:
        """Make the caller, who was invited, a node."""
        caller, view = peer(), self._mirror.view
        key = requested_by(caller, request.csr)
        node_id, availability = node_id_of(key), _availability(request.availability)
        await self._must_lead()

        def decide() -> Commit:
            return admit(
                view,
                node_id,
                role=caller.role,
                hostname=request.hostname[:LONGEST_HOSTNAME],
                availability=availability,
                now=self._mirror.clock(),
            )

        async with self._turn:  # those who join at once would all take the same number
            await self._services.commit(decide)
        cluster, authority = clusters.present(view), self._authority()
        return trust_pb2.EnrollResponse(
            node_id=node_id,
            certificate=self._sign(authority, node_id, caller.role, request.csr),
            root_certificate=authority.pem,
            managers=sorted(view.managers.values()),
            cluster_id=cluster.id,
        )

    async def Renew(self, request: trust_pb2.RenewRequest, context: Any) -> trust_pb2.RenewResponse:
        """Give the calling node its next certificate, in the role that it has by now."""
        caller, authority = peer(), self._authority()
        node = self._mirror.view.nodes.get(caller.node_id)
        if node is None:
            raise Refused(f"node {caller.node_id} was removed from the swarm")
        certificate = self._sign(authority, node.id, node.spec.role, request.csr)
        return trust_pb2.RenewResponse(certificate=certificate, root_certificate=authority.pem)

    def _sign(self, authority: Authority, node_id: NodeId, role: Role, csr: bytes) -> bytes:
        cluster = clusters.present(self._mirror.view)
        return issue(
            authority,
            read_request(csr),
            node_id=node_id,
            role=role,
            expiry_s=cluster.spec.cert_expiry_s,
            now=self._mirror.clock(),
            random=self._random,
            addresses=self._addresses(node_id) if role is Role.MANAGER else (),
        )

    def _addresses(self, node_id: NodeId) -> tuple[str, ...]:
        """Where the other managers' etcd finds this one's: they check it in the certificate."""
        address = self._mirror.view.managers.get(node_id, "")
        try:
            return (require_ip(parse_address(address)[0]),)
        except Invalid:
            return ()

    async def _must_lead(self) -> None:
        await self._leader.settled()
        if (holder := self._leader.holder) is not None:
            raise Unavailable(
                f"this manager does not lead the swarm; {holder.address} does",
                hint=f"join at {holder.address}",
            )


def _availability(number: int) -> Availability:
    try:
        return Availability(number)
    except ValueError as err:
        raise Invalid(f"availability: there is no availability {number}") from err
