"""Show networks as Docker's API does: those of this node, and those of the swarm.

Both have one shape. Of a network of the swarm Docker tells which containers of *this* node are in
it, and with `verbose` which services there are and where their tasks run.
"""

from collections.abc import Iterable, Mapping

from msgspec import Struct

from engine.replies import JsonObject
from engine.services.words import ordered
from engine.stored import nonzero
from engine.times import stamp
from swarm.api.v1 import containers_pb2, control_pb2, localnetworks_pb2, objects_pb2
from swarm.codec import from_message
from swarm.ids import NetworkId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkDriver, Port, Subnet
from swarm.standalone import container_id_of, endpoint_id_of

LOCAL, SWARM = "local", "swarm"
BUILT_IN_DRIVERS = {"bridge": "bridge", "host": "host", "none": "null"}

VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list"
MTU_OPTION = "com.docker.network.driver.mtu"
SHORT_MTU_OPTION = "mtu"
ENCRYPTED_OPTION = "encrypted"

_DEFAULT_IPAM = "default"


class Known(Struct, frozen=True, kw_only=True):
    """A network as it is found and filtered, whoever has it.

    `endpoints` are those of this node's containers, in our words.
    """

    network: Network
    driver: str
    scope: str
    version: int = 0
    is_used: bool = False
    endpoints: tuple[JsonObject, ...] = ()

    @property
    def is_built_in(self) -> bool:
        """Whether it is one that every node has by itself."""
        return self.scope == LOCAL and self.network.spec.name in BUILT_IN_DRIVERS


def local_network(message: localnetworks_pb2.LocalNetwork) -> Known:
    """A network of this node alone."""
    return Known(
        network=from_message(Network, message.network),
        driver=message.driver,
        scope=LOCAL,
        is_used=bool(message.users or message.endpoints),
        endpoints=tuple(
            {
                "ID": each.container_id,
                "Name": each.container_name,
                "EndpointID": each.endpoint_id,
                "MacAddress": each.mac_address,
                "Addresses": list(each.addresses),
            }
            for each in message.endpoints
        ),
    )


def swarm_network(view: control_pb2.NetworkView) -> Known:
    """A network of the swarm."""
    network = from_message(Network, view.network)
    return Known(
        network=network,
        driver=network.spec.driver.word,
        scope=SWARM,
        version=view.version,
        is_used=bool(view.services or view.tasks or view.guests),
    )


def network_json(known: Known) -> JsonObject:
    """A network, with the containers of this node that are in it as far as they are known."""
    network, spec = known.network, known.network.spec
    return {
        "Name": spec.name,
        "Id": network.id,
        "Created": stamp(network.created_at),
        "Scope": known.scope,
        "Driver": known.driver,
        "EnableIPv6": spec.ipv6,
        "IPAM": {
            "Driver": _DEFAULT_IPAM,
            "Options": None,
            "Config": [subnet_json(each) for each in network.subnets],
        },
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": spec.ingress,
        "ConfigFrom": {"Network": ""},
        "ConfigOnly": False,
        "Containers": {each["ID"]: _endpoint(each) for each in known.endpoints},
        "Options": options_of(network),
        "Labels": ordered(spec.labels),
    }


def summary_json(known: Known) -> JsonObject:
    """A network in a list, where nobody's containers are told."""
    return network_json(known) | {"Containers": {}}


def members_json(
    answer: control_pb2.InspectNetworkResponse, *, node_id: str, verbose: bool
) -> JsonObject:
    """Who is in a network of the swarm, beside what `network_json` tells of it."""
    network = from_message(Network, answer.network.network)
    tasks = [task for service in answer.services for task in service.tasks]
    here = [task for task in tasks if task.node_id == node_id]
    found: JsonObject = {
        "Containers": {
            container_id_of(TaskId(task.task_id)): {
                "Name": task.name,
                "EndpointID": endpoint_id_of(task.task_id, network.id),
                "MacAddress": "",
                **_addresses([with_prefix(network, each) for each in task.addresses]),
            }
            for task in here
            if task.addresses
        },
        "Peers": [
            {"Name": each.hostname or each.node_id, "IP": each.address} for each in answer.peers
        ],
    }
    if verbose:
        hosts = {each.node_id: each.address for each in answer.peers}
        found["Services"] = {
            each.name or each.service_id: _service(each, network.id, hosts)
            for each in answer.services
        }
        if answer.guests:
            found["Services"][""] = _guests(answer.guests, network.id, hosts)
    return found


def container_json(view: containers_pb2.ContainerView, network_id: str) -> JsonObject:
    """A container of this node that is in a network of the swarm."""
    endpoint = next(each for each in view.endpoints if each.network_id == network_id)
    return {
        "Name": view.name,
        "EndpointID": endpoint.endpoint_id,
        "MacAddress": endpoint.mac_address,
        **_addresses(endpoint.addresses),
    }


def attached_json(known: Known, addresses: Iterable[str]) -> JsonObject:
    """One of the networks that a task is in."""
    network, spec = known.network, known.network.spec
    ipam = {"Driver": {"Name": _DEFAULT_IPAM}, "Configs": [_pool(each) for each in network.subnets]}
    return {
        "Network": {
            "ID": network.id,
            "Version": {"Index": known.version},
            "CreatedAt": stamp(network.created_at),
            "UpdatedAt": stamp(network.updated_at),
            "Spec": {
                "Name": spec.name,
                "Labels": ordered(spec.labels),
                "DriverConfiguration": {"Name": known.driver},
                **nonzero(
                    IPv6Enabled=spec.ipv6,
                    Internal=spec.internal,
                    Attachable=spec.attachable,
                    Ingress=spec.ingress,
                ),
                "IPAMOptions": {
                    "Driver": {"Name": _DEFAULT_IPAM},
                    **nonzero(Configs=[_pool(each) for each in spec.subnets if each.subnet]),
                },
                "Scope": known.scope,
            },
            "DriverState": {"Name": known.driver, "Options": options_of(network)},
            "IPAMOptions": ipam,
        },
        "Addresses": [with_prefix(network, each) for each in addresses],
    }


def options_of(network: Network) -> dict[str, str]:
    """What the driver was told, or chose, in Docker's words."""
    spec = network.spec
    found = dict(ordered(spec.options))
    if spec.driver is NetworkDriver.OVERLAY and network.vni:
        found[VNI_OPTION] = str(network.vni)
    if spec.mtu:
        found[MTU_OPTION] = str(spec.mtu)
    if spec.encrypted:
        found[ENCRYPTED_OPTION] = ""
    return found


def with_prefix(network: Network, address: str) -> str:
    """`10.0.1.3/24`: Docker's clients expect the prefix."""
    for subnet in network.subnets:
        if (":" in address) == (":" in subnet.subnet):
            return f"{address}/{subnet.subnet.rpartition('/')[2]}"
    return address


def subnet_json(subnet: Subnet) -> JsonObject:
    """A range of addresses."""
    return nonzero(
        Subnet=subnet.subnet,
        IPRange=subnet.ip_range,
        Gateway=subnet.gateway,
        AuxiliaryAddresses=ordered(subnet.aux_addresses),
    )


def _pool(subnet: Subnet) -> JsonObject:
    """A range of addresses as networks of tasks have it, which Docker calls otherwise."""
    return nonzero(Subnet=subnet.subnet, Range=subnet.ip_range, Gateway=subnet.gateway)


def _endpoint(told: JsonObject) -> JsonObject:
    return {
        "Name": told["Name"],
        "EndpointID": told["EndpointID"],
        "MacAddress": told["MacAddress"],
        **_addresses(told["Addresses"]),
    }


def _addresses(found: Iterable[str]) -> dict[str, str]:
    addresses = list(found)
    return {
        "IPv4Address": next((each for each in addresses if ":" not in each), ""),
        "IPv6Address": next((each for each in addresses if ":" in each), ""),
    }


def _service(
    service: control_pb2.NetworkService, network_id: NetworkId, hosts: Mapping[str, str]
) -> JsonObject:
    addresses = list(service.virtual_addresses)
    return {
        "VIP": addresses[0] if addresses else "",
        "Ports": [_port(from_message(Port, each)) for each in service.ports],
        "LocalLBIndex": 0,
        "Tasks": [
            {
                "Name": task.name,
                "EndpointID": endpoint_id_of(task.task_id, network_id),
                "EndpointIP": task.addresses[0] if task.addresses else "",
                "Info": {"Host IP": hosts.get(task.node_id, "")},
            }
            for task in service.tasks
        ],
    }


def _guests(
    found: Iterable[objects_pb2.Guest], network_id: NetworkId, hosts: Mapping[str, str]
) -> JsonObject:
    """The containers of no task: Docker counts them among those of a service without a name."""
    return {
        "VIP": "<nil>",
        "Ports": [],
        "LocalLBIndex": 0,
        "Tasks": [
            {
                "Name": each.name,
                "EndpointID": endpoint_id_of(each.id, network_id),
                "EndpointIP": each.addresses[0] if each.addresses else "",
                "Info": {"Host IP": hosts.get(each.node_id, "")},
            }
            for each in found
        ],
    }


def _port(port: Port) -> str:
    return f"Target: {port.target}, Publish: {port.published}"
