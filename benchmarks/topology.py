"""Print what it costs a manager to give addresses, and to tell nodes of their networks.

usage: python -m benchmarks.topology [--changes N] [--sessions N]

One network with 500 services of two tasks each. A change is one task's report that it fails or
runs again: `follow` is what putting its record together costs, `tell` what all sessions
together cost to have it on the wire, and `bytes` what one of them is sent. `open` is a new
session's complete topology, and `give` one task's address. Milliseconds of this process's own
time: one thread does it all.
"""

import argparse
import time

from manager import layout
from manager.dispatch.assignments import Assignments
from manager.dispatch.networks import Networks
from manager.dispatch.topology import Surroundings
from manager.io.wire import write_agent
from manager.networks.addresses import Addresses
from manager.store import Change
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import (
    Attachment,
    Network,
    Node,
    NodeDescription,
    Observation,
    Service,
    ServiceEndpoint,
    Session,
    Task,
    VirtualAddress,
)
from swarm.specs import NetworkAttachment, NetworkSpec, ServiceSpec, Subnet, TaskSpec
from swarm.states import HealthState, TaskState

NET = NetworkId("net")
SERVICES = 500
NODES = 4


def address(number: int) -> str:
    """One of the network's addresses."""
    return f"10.0.{number // 250}.{number % 250 + 2}"


def cluster(sessions: int) -> ClusterView:
    """A swarm with one network that everything is in."""
    subnet = Subnet(subnet="10.0.0.0/16", gateway="10.0.0.1")
    network = Network(id=NET, spec=NetworkSpec(name="net"), vni=4097, subnets=(subnet,))
    values: list[tuple[str, bytes]] = [(layout.network_key(NET), pack(network))]
    for number in range(sessions):
        node = Node(
            id=NodeId(f"n{number}"),
            number=number + 1,
            description=NodeDescription(hostname=f"host-{number}", addr=f"192.0.2.{number}"),
        )
        values.append((layout.node_key(node.id), pack(node)))
        values.append((layout.session_key(node.id), pack(Session(node_id=node.id))))
    spec = TaskSpec(networks=(NetworkAttachment(target=NET),))
    for number in range(SERVICES):
        service_id = ServiceId(f"s{number}")
        service = Service(id=service_id, spec=ServiceSpec(name=f"service-{number}", task=spec))
        own = VirtualAddress(network_id=NET, addresses=(address(number),))
        endpoint = ServiceEndpoint(service_id=service_id, virtual_addresses=(own,))
        values.append((layout.service_key(service_id), pack(service)))
        values.append((layout.endpoint_key(service_id), pack(endpoint)))
        for slot in (1, 2):
            task = Task(
                id=TaskId(f"task{number:019d}{slot}"),
                service_id=service_id,
                service_name=service.spec.name,
                slot=slot,
                node_id=NodeId(f"n{(2 * number + slot) % sessions}"),
                attachments=(
                    Attachment(network_id=NET, addresses=(address(SERVICES + 2 * number + slot),)),
                ),
            )
            values.append((layout.task_key(service_id, task.id), pack(task)))
            values.append((layout.observed_key(task.node_id, task.id), report(task, well=True)))
    view = ClusterView()
    view.replace([Change(key, value, 1) for key, value in values], 1, now=1.0)
    return view


def report(task: Task, *, well: bool) -> bytes:
    """What its node says of a task."""
    health = HealthState.HEALTHY if well else HealthState.UNHEALTHY
    return pack(Observation(task_id=task.id, state=TaskState.RUNNING, at=1.0, health=health))


def measure(changes: int, sessions: int) -> dict[str, float]:
    """Each figure, by name."""
    view = cluster(sessions)
    networks = Networks.of(view)
    lines = [Assignments(node_id, None, Surroundings(node_id, networks)) for node_id in view.nodes]
    found: dict[str, float] = {}
    began = time.process_time()
    for line in lines:
        snapshot = line.open(view, "")
        assert snapshot is not None
        found["open bytes"] = len(write_agent(snapshot).SerializeToString())
    found["open ms"] = (time.process_time() - began) / len(lines) * 1000
    tasks, revision = list(view.tasks.values()), 1
    followed = told = 0.0
    for number in range(changes):
        task, revision = tasks[number * 37 % len(tasks)], revision + 1
        is_well = number // len(tasks) % 2 == 1
        change = Change(
            layout.observed_key(task.node_id, task.id), report(task, well=is_well), revision
        )
        applied = view.apply([change], revision, now=2.0)
        began = time.process_time()
        networks.take(view, applied)
        followed += time.process_time() - began
        began = time.process_time()
        for line in lines:
            diff = line.diff(view, ())
            assert diff is not None
            found["bytes"] = len(write_agent(diff).SerializeToString())
        told += time.process_time() - began
    found["follow ms"] = followed / changes * 1000
    found["tell ms"] = told / changes * 1000
    found["give ms"] = giving(view, changes)
    return found


def giving(view: ClusterView, changes: int) -> float:
    """What one address costs in one plan."""
    addresses = Addresses.of(view)
    addresses.begin()
    began = time.process_time()
    for _ in range(changes):
        assert isinstance(addresses.attach({NET: ()}, "web"), tuple)
    return (time.process_time() - began) / changes * 1000


def main() -> None:
    """Measure as the command line says, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=5000)
    parser.add_argument("--sessions", type=int, default=NODES)
    given = parser.parse_args()
    for name, figure in measure(given.changes, given.sessions).items():
        print(f"{name:>12} {figure:12.4f}")


if __name__ == "__main__":
    main()
