"""Say who may ask what over the network, where a certificate tells who asks.

A certificate of a manager may do everything, for whoever holds one may do everything already. A
worker speaks for itself alone, and a container that is made here would be root here: so it learns
that there is somebody, and which version he speaks. What is not listed is refused.
"""

from swarm.peers import Peer, Standing

FOR_WORKERS = frozenset(
    {("GET", "/_ping"), ("HEAD", "/_ping"), ("GET", "/version"), ("GET", "/info")}
)


def objection(peer: Peer, method: str, path: str) -> str | None:
    """Why `peer` may not ask for `path`, which has no version, or None when it may."""
    if peer.standing is Standing.MANAGER:
        return None
    if peer.standing is Standing.WORKER and (method, path) in FOR_WORKERS:
        return None
    caller = str(peer) if peer.is_joining else f"{peer} is a {peer.standing.value} and"
    return f"{caller} may not {method} {path}, which takes the certificate of a manager"
