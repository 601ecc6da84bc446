"""Let in over the network who holds the certificate of a node of this swarm.

The identity on disk is looked at for each connection and each request: a renewed one counts from
the next connection on and breaks off none, and a node that has left its swarm has none and lets
nobody in. TLS says only that the root has signed what a client shows, and that the client has the
key; what he may ask is judged at each request, since he may have been removed meanwhile.
"""

import ssl
from collections.abc import Callable

from engine.access import objection
from engine.io.roster import Roster
from swarm.certificates import Identity, load_certificate, subject_of
from swarm.errors import Refused
from swarm.io.identity import IdentityFiles
from swarm.peers import Peer, check_dates, identify_node

_ROOM = 256


class Gate:
    """The door for clients on other hosts. `now` is seconds since the epoch."""

    def __init__(
        self, identity: IdentityFiles, roster: Roster, *, now: Callable[[], float]
    ) -> None:
        self._files = identity
        self._roster = roster
        self._now = now
        self._identity: Identity | None = None
        self._context: ssl.SSLContext | None = None
        self._peers: dict[bytes, Peer] = {}

    def context(self) -> ssl.SSLContext:
        """The TLS of a connection that begins now. Raises `Refused` without a swarm."""
        self._look()
        if self._context is None:
            self._context = self._make()
        return self._context

    async def objection(self, certificate: bytes, method: str, path: str) -> str | None:
        """Why whoever has shown `certificate` (DER) may not ask for `path`, or None.

        Raises `Unavailable` while nobody knows whether it is still a node's.
        """
        try:
            identity = self._look()
            peer = self._identify(certificate, identity)
            check_dates(peer, now=self._now())
            peer = await self._roster.judge(peer, own_role=subject_of(identity).role)
        except Refused as err:
            return f"{err.message} ({err.hint})" if err.hint else err.message
        return objection(peer, method, path)

    def _look(self) -> Identity:
        found = self._files.current()
        if found is not self._identity:
            self._identity, self._context = found, None
            self._peers.clear()
        return found

    def _identify(self, certificate: bytes, identity: Identity) -> Peer:
        found = self._peers.get(certificate)
        if found is None:
            pem = ssl.DER_cert_to_PEM_cert(certificate).encode()
            found = identify_node(pem, load_certificate(identity.root))
            if len(self._peers) >= _ROOM:
                self._peers.clear()
            self._peers[certificate] = found
        return found

    def _make(self) -> ssl.SSLContext:
        assert self._identity is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self._files.bundle)
        context.load_verify_locations(cadata=self._identity.root.decode())
        return context
