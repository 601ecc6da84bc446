"""Say who may call what on a manager's port. What is not listed is refused.

An invitation is good for one call. A worker speaks for itself: it opens its session and
renews its own certificate, and never reads or writes the cluster; whose id it is, its
certificate says, so no request on these methods needs to carry one.
"""

from collections.abc import Mapping

from swarm.peers import Peer, Standing
from swarm.specs import Role

Access = Mapping[str, frozenset[Standing]]

MANAGERS = frozenset({Standing.MANAGER})
NODES = frozenset({Standing.MANAGER, Standing.WORKER})
JOINERS = frozenset({Standing.JOINING_MANAGER, Standing.JOINING_WORKER})

_CONTROL = (
    "GetCluster",
    "UpdateCluster",
    "GetJoinToken",
    "ListNodes",
    "UpdateNode",
    "RemoveNode",
    "CreateService",
    "UpdateService",
    "RemoveService",
    "ListServices",
    "ListTasks",
    "RollbackService",
    "PromoteService",
    "TriggerService",
    "ListRevisions",
    "PlanService",
    "ExplainPlacement",
    "Rebalance",
    "CreateSecret",
    "UpdateSecret",
    "RemoveSecret",
    "ListSecrets",
    "CreateConfig",
    "UpdateConfig",
    "RemoveConfig",
    "ListConfigs",
    "CreateNetwork",
    "ListNetworks",
    "InspectNetwork",
    "RemoveNetwork",
    "PruneNetworks",
    "ConnectNetwork",
    "DisconnectNetwork",
    "CheckNetwork",
    "WatchService",
    "WatchEvents",
    "ReadLogs",
    "Exec",
    "Attach",
    "InspectTask",
    "ListProcesses",
    "PauseTask",
    "WatchStats",
)

ALLOWED: Access = {
    "/swarm.api.v1.Trust/Enroll": JOINERS,
    "/swarm.api.v1.Trust/Renew": NODES,
    "/swarm.api.v1.Dispatcher/Session": NODES,
    "/swarm.api.v1.Dispatcher/PublishLogs": NODES,
    "/swarm.api.v1.Dispatcher/Converse": NODES,
    "/swarm.api.v1.Dispatcher/AttachGuest": NODES,
    "/swarm.api.v1.Dispatcher/ReleaseGuest": NODES,
    **{f"/swarm.api.v1.Control/{method}": MANAGERS for method in _CONTROL},
}


def objection(peer: Peer, method: str, access: Access) -> str | None:
    """Why `peer` may not call `method`, or None when it may."""
    allowed = access.get(method)
    name = method.rpartition(".")[2].replace("/", ".")
    if allowed is None:
        return f"{name} may be called by nobody"
    if peer.standing in allowed:
        return None
    wanted = " or ".join(sorted(f"a {each.value}" for each in allowed))
    caller = str(peer) if peer.is_joining else f"{peer} is a {peer.standing.value} and"
    return f"{caller} may not call {name}, which takes {wanted}"


def remedy(peer: Peer) -> str:
    """What the refused caller does instead."""
    if peer.is_joining:
        return "a join token is good for joining only"
    return "run this command on a manager" if peer.role is Role.WORKER else ""
