"""Say which of the swarm's networks a task is in, and in which order.

A service that publishes ports on every node has its tasks in the ingress network, too, and that
one comes first: a task's first network is its way out. `host`, `none` and `bridge` are every
node's own, so nobody is attached to them here.
"""

from collections.abc import Iterable, Mapping

from swarm.ids import NetworkId
from swarm.objects import Network, SpecVersion
from swarm.specs import BRIDGE, HOST, NONE, Port, PublishMode, TaskSpec

BUILT_IN = frozenset({HOST, NONE, BRIDGE})


def networks_of(
    task: TaskSpec, ports: Iterable[Port], ingress: NetworkId | None
) -> Mapping[NetworkId, tuple[str, ...]]:
    """The networks of such tasks, in order, each with the aliases there.

    `ingress` is that network's id; without one, nobody is in it.
    """
    found: dict[NetworkId, tuple[str, ...]] = {}
    if not task.networks and not ports:  # nearly all there are, in a swarm without networks
        return found
    if ingress is not None and publishes_everywhere(task, ports):
        found[ingress] = ()
    for each in task.networks:
        if each.target not in BUILT_IN:
            network_id = NetworkId(each.target)
            found[network_id] = tuple(dict.fromkeys((*found.get(network_id, ()), *each.aliases)))
    return found


def publishes_everywhere(task: TaskSpec, ports: Iterable[Port]) -> bool:
    """Whether every node answers for such tasks; one with its node's network does so itself."""
    return not task.is_on_host and any(each.mode is PublishMode.INGRESS for each in ports)


def networks_of_version(
    version: SpecVersion, ingress: NetworkId | None
) -> Mapping[NetworkId, tuple[str, ...]]:
    """`networks_of` the tasks of a version."""
    return networks_of(version.task, version.ports, ingress)


def ingress_of(networks: Iterable[Network]) -> NetworkId | None:
    """The network that carries what is published everywhere, if there is one."""
    return min((each.id for each in networks if each.spec.ingress), default=None)
