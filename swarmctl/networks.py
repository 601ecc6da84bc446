"""Show networks: as rows, in full, and with what one node found of another.

The networks that every node has by itself are listed with the others, since commands and flags
take their names: they are of no swarm, have no id but their name, and nothing to look into.
"""

from collections.abc import Iterable, Iterator, Mapping

from swarm import ids
from swarm.api.v1 import control_pb2, localnetworks_pb2, objects_pb2, specs_pb2
from swarm.checking.networks import BUILT_IN
from swarm.specs import BRIDGE
from swarmctl.filters import Test, has_label, is_true
from swarmctl.pipes import Value
from swarmctl.rows import Detail, printed_ports, state_word
from swarmctl.spec_details import Object, nonzero, ordered
from swarmctl.tables import Listing
from swarmctl.times import rfc3339, stamp

View = control_pb2.NetworkView

VNI_OPTION = "com.docker.network.driver.overlay.vxlanid_list"
MTU_OPTION = "com.docker.network.driver.mtu"

NETWORKS = Listing(
    columns=("ID", "Name", "Driver", "Scope"),
    headings={
        "ID": "NETWORK ID",
        "Name": "NAME",
        "Driver": "DRIVER",
        "Scope": "SCOPE",
        "IPv4": "IPV4",
        "IPv6": "IPV6",
        "Internal": "INTERNAL",
        "Labels": "LABELS",
        "CreatedAt": "CREATED AT",
        "Subnet": "SUBNET",
    },
)
NETWORK_TESTS: Mapping[str, Test[View]] = {
    "driver": lambda view, text: driver(view) == text,
    "id": lambda view, text: view.network.id.startswith(text),
    "label": lambda view, text: has_label(view.network.spec.labels, text),
    "name": lambda view, text: text in view.network.spec.name,
    "scope": lambda view, text: scope(view) == text,
    "type": lambda view, text: text == ("builtin" if is_built_in(view) else "custom"),
    "dangling": lambda view, text: is_dangling(view) == is_true(text),
}


def built_in() -> Iterator[View]:
    """What every node has by itself."""
    for name in BUILT_IN:
        spec = specs_pb2.NetworkSpec(name=name)
        yield View(network=objects_pb2.Network(id=name, spec=spec))


def is_built_in(view: View) -> bool:
    """Whether it is one that every node has by itself."""
    return view.network.id in BUILT_IN


def is_dangling(view: View) -> bool:
    """Whether nothing uses it that could."""
    is_kept = is_built_in(view) or view.network.spec.ingress
    return not (is_kept or view.services or view.tasks)


def driver(view: View) -> str:
    """`overlay`, `bridge`, `host` or `null`, which Docker calls that of `none`."""
    if is_built_in(view):
        return {"none": "null"}.get(view.network.id, view.network.id)
    return specs_pb2.NetworkDriver.Name(view.network.spec.driver).rpartition("_")[2].lower()


def scope(view: View) -> str:
    """Where the network is known; those of one host have longer ids."""
    is_local = is_built_in(view) or len(view.network.id) != ids.LENGTH
    return "local" if is_local else "swarm"


def local_view(network: localnetworks_pb2.LocalNetwork) -> View:
    """A network of one host as one among others; containers count as tasks."""
    return View(network=network.network, tasks=len(network.users))


def local_detail(found: localnetworks_pb2.LocalNetwork) -> Object:
    """A network of one host as `network inspect` prints it, with its containers."""
    answer = control_pb2.InspectNetworkResponse(network=local_view(found))
    endpoints: Object = {
        each.container_id: {
            "Name": each.container_name,
            "EndpointID": each.endpoint_id,
            "MacAddress": each.mac_address,
            "IPv4Address": next((a for a in each.addresses if ":" not in a), ""),
            "IPv6Address": next((a for a in each.addresses if ":" in a), ""),
        }
        for each in found.endpoints
    }
    shown = network_detail(answer)
    return {name: each for name, each in shown.items() if name != "Peers"} | {
        "Containers": endpoints
    }


def network_rows(views: Iterable[View], detail: Detail) -> Iterator[dict[str, str]]:
    """Lines of `network ls`."""
    for view in views:
        network = view.network
        yield {
            "ID": detail.id(network.id),
            "Name": network.spec.name,
            "Driver": driver(view),
            "Scope": scope(view),
            "IPv4": _word(bool(network.subnets) or network.id == BRIDGE),
            "IPv6": _word(network.spec.ipv6),
            "Internal": _word(network.spec.internal),
            "Labels": ",".join(f"{k}={v}" for k, v in sorted(network.spec.labels.items())),
            "CreatedAt": stamp(network.created_at) if network.created_at else "",
            "Subnet": ",".join(each.subnet for each in network.subnets),
        }


def network_detail(
    answer: control_pb2.InspectNetworkResponse, *, is_verbose: bool = False
) -> Object:
    """A network as `network inspect` prints it; its services are told when it is to be verbose."""
    view, network = answer.network, answer.network.network
    spec = network.spec
    found: Object = {
        "Name": spec.name,
        "Id": network.id,
        "Created": rfc3339(network.created_at),
        "Scope": scope(view),
        "Driver": driver(view),
        "EnableIPv4": bool(network.subnets),
        "EnableIPv6": spec.ipv6,
        "IPAM": {
            "Driver": "default",
            "Options": None,
            "Config": [_subnet(each) for each in network.subnets],
        },
        "Internal": spec.internal,
        "Attachable": spec.attachable,
        "Ingress": spec.ingress,
        "Containers": {
            task.task_id: _container(task, network)
            for service in answer.services
            for task in service.tasks
        }
        | {each.id: _guest(each, network) for each in answer.guests},
        "Options": _options(network),
        "Labels": ordered(spec.labels),
        "Peers": [_peer(each) for each in answer.peers],
    }
    if is_verbose:
        found["Services"] = {_name(each): _service(each, answer.peers) for each in answer.services}
        found["Capacity"] = answer.capacity
    return found


def built_in_detail(view: View) -> Object:
    """What there is to say of a network that every node has by itself."""
    return {
        "Name": view.network.spec.name,
        "Id": view.network.id,
        "Scope": scope(view),
        "Driver": driver(view),
        "EnableIPv6": False,
        "Internal": False,
        "Attachable": False,
        "Ingress": False,
        "Containers": {},
        "Options": {},
        "Labels": {},
    }


def attached(network: objects_pb2.Network, addresses: Iterable[str]) -> Object:
    """One of the networks that a task is in, as `NetworksAttachments` has it."""
    spec = network.spec
    view = View(network=network)
    return {
        "Network": {
            "ID": network.id,
            "Spec": {
                "Name": spec.name,
                "Labels": ordered(spec.labels),
                "DriverConfiguration": {"Name": driver(view)},
                **nonzero(Ingress=spec.ingress, Internal=spec.internal, Attachable=spec.attachable),
                "Scope": scope(view),
            },
            "IPAMOptions": {"Configs": [_subnet(each) for each in network.subnets]},
        },
        "Addresses": [with_prefix(each, network) for each in addresses],
    }


def with_prefix(address: str, network: objects_pb2.Network) -> str:
    """`10.0.1.3/24`, as Docker writes the addresses of tasks."""
    for subnet in network.subnets:
        if (":" in address) == (":" in subnet.subnet):
            return f"{address}/{subnet.subnet.rpartition('/')[2]}"
    return address


def _word(truth: bool) -> str:
    return "true" if truth else "false"


def _name(service: control_pb2.NetworkService) -> str:
    return service.name or service.service_id


def _subnet(subnet: specs_pb2.Subnet) -> Object:
    return nonzero(
        Subnet=subnet.subnet,
        IPRange=subnet.ip_range,
        Gateway=subnet.gateway,
        AuxiliaryAddresses=ordered(subnet.aux_addresses),
    )


def _options(network: objects_pb2.Network) -> Object:
    spec = network.spec
    found: Object = {VNI_OPTION: str(network.vni)} if network.vni else {}
    if spec.mtu:
        found[MTU_OPTION] = str(spec.mtu)
    if spec.encrypted:
        found["encrypted"] = ""
    return found | ordered(spec.options)


def _guest(guest: objects_pb2.Guest, network: objects_pb2.Network) -> Value:
    """A container of one host, and no task."""
    task = control_pb2.NetworkTask(
        task_id=guest.id, name=guest.name, addresses=guest.addresses, aliases=guest.aliases
    )
    return _container(task, network)


def _container(task: control_pb2.NetworkTask, network: objects_pb2.Network) -> Value:
    v6 = [each for each in task.addresses if ":" in each]
    v4 = [each for each in task.addresses if ":" not in each]
    return {
        "Name": task.name,
        "EndpointID": f"{network.id}.{task.task_id}",
        "IPv4Address": with_prefix(v4[0], network) if v4 else "",
        "IPv6Address": with_prefix(v6[0], network) if v6 else "",
        "Node": task.node_hostname or task.node_id,
    }


def _peer(peer: control_pb2.NetworkPeer) -> Value:
    state = objects_pb2.NodeState.Name(peer.state).removeprefix("NODE_STATE_").lower()
    return {
        "Name": peer.hostname or peer.node_id,
        "IP": peer.address,
        "ID": peer.node_id,
        "Number": peer.number,
        "State": state,
        "Tasks": peer.tasks,
    }


def _service(
    service: control_pb2.NetworkService, peers: Iterable[control_pb2.NetworkPeer]
) -> Value:
    addresses = {each.node_id: each.address for each in peers}
    tasks: list[Value] = [_task(each, addresses) for each in service.tasks]
    return {
        "ID": service.service_id,
        "VIP": service.virtual_addresses[0] if service.virtual_addresses else "",
        "VIPs": list(service.virtual_addresses),
        "Mode": specs_pb2.EndpointMode.Name(service.mode).rpartition("_")[2].lower(),
        "Ports": printed_ports(service.ports),
        "Aliases": list(service.aliases),
        "Serving": sum(each.is_serving for each in service.tasks),
        "Tasks": tasks,
    }


def _task(task: control_pb2.NetworkTask, addresses: Mapping[str, str]) -> Value:
    return {
        "Name": task.name,
        "EndpointID": task.task_id,
        "EndpointIP": task.addresses[0] if task.addresses else "",
        "EndpointIPs": list(task.addresses),
        "Aliases": list(task.aliases),
        "State": state_word(task.state),
        "Serving": task.is_serving,
        **nonzero(Reason=task.why_not),
        "Info": {
            "Host IP": addresses.get(task.node_id, ""),
            "Node": task.node_hostname or task.node_id,
        },
    }
