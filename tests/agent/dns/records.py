"""Builders of records, with defaults."""

from agent.dns.asking import Asker
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkSpec, Subnet
from swarm.topology import Endpoint, Topology, VirtualService, topology_of


def network(network_id: str = "n1", name: str = "", subnet: str = "", **spec: bool) -> Network:
    return Network(
        id=NetworkId(network_id),
        spec=NetworkSpec(name=name or f"net-{network_id}", **spec),
        subnets=(Subnet(subnet=subnet),) if subnet else (),
    )


def service(
    name: str = "web",
    *addresses: str,
    network_id: str = "n1",
    service_id: str = "",
    aliases: tuple[str, ...] = (),
) -> VirtualService:
    return VirtualService(
        network_id=NetworkId(network_id),
        service_id=ServiceId(service_id or f"s-{name}"),
        service_name=name,
        addresses=addresses,
        aliases=aliases,
    )


def endpoint(
    task: str,
    *addresses: str,
    name: str = "web",
    network_id: str = "n1",
    slot: int = 1,
    aliases: tuple[str, ...] = (),
    is_serving: bool = True,
) -> Endpoint:
    return Endpoint(
        network_id=NetworkId(network_id),
        task_id=TaskId(task),
        task_name=f"{name}.{slot}.{task}" if name else task,
        service_id=ServiceId(f"s-{name}" if name else ""),
        service_name=name,
        slot=slot,
        addresses=addresses,
        aliases=aliases,
        is_serving=is_serving,
    )


def asker(
    *networks: str, task: str = "me", hostname: str = "", servers: tuple[str, ...] = ()
) -> Asker:
    return Asker(
        task_id=TaskId(task),
        networks=tuple(NetworkId(each) for each in networks or ("n1",)),
        hostname=hostname,
        servers=servers,
    )


def topology(
    *records: Network | Endpoint | VirtualService,
    removed: tuple[str, ...] = (),
    is_complete: bool = False,
) -> Topology:
    return topology_of(records, removed=removed, is_complete=is_complete)
