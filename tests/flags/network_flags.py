"""Flags of networks: what the manager makes of them, and what the command prints."""

from collections.abc import Callable
from typing import Any

from manager import layout
from manager.control import connecting, networks
from manager.store import Put
from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import daemon_pb2, localnetworks_pb2, objects_pb2, specs_pb2
from swarm.codec import from_message, unpack
from swarm.ids import ClusterId, NetworkId, TaskId
from swarm.objects import Cluster, Network, Task
from swarm.specs import ClusterSpec, NetworkDriver, NetworkSpec
from swarm.states import TaskState
from tests.flags.asking import asks, formatted, has, is_asked, listing, prints
from tests.flags.lab import Lab
from tests.flags.table import PLAN, REQUEST, Proof, Row, refused
from tests.manager.world import World

_SUBNET = "--subnet 10.20.0.0/24"


def _furnish(lab: Lab) -> None:
    """A network with a service in it, and one that nobody uses."""
    lab.swarm.networks = [
        pb.NetworkView(
            network=objects_pb2.Network(id="a" * 25, spec=specs_pb2.NetworkSpec(name="back")),
            services=["web"],
        ),
        pb.NetworkView(
            network=objects_pb2.Network(
                id="b" * 25, spec=specs_pb2.NetworkSpec(name="idle", labels={"team": "red"})
            )
        ),
    ]
    lab.swarm.members = {
        "back": pb.InspectNetworkResponse(services=[pb.NetworkService(name="web")])
    }
    lab.swarm.reports = [pb.NetworkReport(node_id="n1", hostname="alpha")]


def _network(spec: NetworkSpec, cluster: ClusterSpec | None = None) -> Network:
    """What a manager makes of a spec."""
    world = World()
    world.write((layout.CLUSTER, Cluster(id=ClusterId("c"), spec=cluster or ClusterSpec())))
    return networks.create(world.view, spec, NetworkId("n"), now=1.0)[0]


def _made(flag: str, words: str, shown: Callable[[Network], object], expected: object,
          besides: str = "") -> Row:  # fmt: skip
    """A flag of `network create`, as the manager keeps the network."""

    def of(request: Any) -> object:
        return shown(_network(from_message(NetworkSpec, request.spec)))

    rest = f"{besides} new"
    return asks("network create", flag, words, pb.CreateNetworkRequest, of, expected, rest=rest)


def _pooled(flag: str, words: str, shown: Callable[[ClusterSpec], object], expected: object) -> Row:
    """A flag of `init`, as it tells in a network's first subnet."""

    def of(request: Any) -> object:
        return shown(from_message(ClusterSpec, request.spec))

    return asks("init", flag, words, daemon_pb2.InitRequest, of, expected, where=PLAN)


def _subnet(cluster: ClusterSpec) -> str:
    return _network(NetworkSpec(name="new"), cluster).subnets[0].subnet


def _aliases(request: Any) -> tuple[str, ...]:
    """What the task is called in the network once it is connected."""
    world = World()
    side = world.network("side")
    network = world.view.networks[side]
    spec = from_message(NetworkSpec, specs_pb2.NetworkSpec(name="side", attachable=True))
    world.write((layout.network_key(side), Network(id=side, spec=spec, subnets=network.subnets)))
    node, web = world.node("n1"), world.service("web")
    task = Task(id=TaskId("t"), service_id=web, service_name="web", slot=1, node_id=node)
    world.task(task)
    world.report(task, TaskState.RUNNING)
    commit = connecting.connect(world.view, side, task.id, tuple(request.aliases), now=1.0)
    puts = [each for each in commit.operations if isinstance(each, Put)]
    [stored] = [each.value for each in puts if each.key.startswith(layout.TASKS)]
    return unpack(Task, stored).attachments[-1].aliases


def _gone(lab: Lab, flag: str) -> None:
    """Without it, what is not there is an error."""
    _furnish(lab)
    assert lab.run("network", "rm", flag, "nix").status == 0
    assert lab.run("network", "rm", "nix").status == 1


def _unasked(lab: Lab, flag: str) -> None:
    """Without it somebody has to say yes."""
    _furnish(lab)
    ran = lab.run("network", "prune", flag)
    assert "idle" in ran.out
    ran = lab.run("network", "prune", stdin=b"n\n")
    assert "Are you sure" in ran.err
    assert not lab.swarm.asked(pb.PruneNetworksRequest)


_NOT_OF_TASKS = {
    "--driver-opt": "a=b",
    "--gw-priority": "1",
    "--ip": "10.0.0.9",
    "--ip6": "fd00::9",
    "--link": "db",
    "--link-local-ip": "169.254.1.1",
}

ROWS: tuple[Row, ...] = (
    _made("--attachable", "--attachable", lambda n: n.spec.attachable, True),
    _made(
        "--aux-address",
        "--aux-address router=10.20.0.1",
        lambda n: n.subnets[0].gateway,
        "10.20.0.2",
        _SUBNET,
    ),
    _made("--driver", "-d bridge", lambda n: n.spec.driver, NetworkDriver.BRIDGE),
    _made("--gateway", "--gateway 10.20.0.9", lambda n: n.subnets[0].gateway, "10.20.0.9", _SUBNET),
    _made("--ingress", "--ingress", lambda n: n.subnets[0].subnet, "10.255.0.0/16"),
    _made("--internal", "--internal", lambda n: n.spec.internal, True),
    _made(
        "--ip-range",
        "--ip-range 10.20.0.128/25",
        lambda n: n.subnets[0].ip_range,
        "10.20.0.128/25",
        _SUBNET,
    ),
    refused("network create", "--ipam-driver", "network create --ipam-driver x n", "gives addr"),
    _made("--ipv6", "--ipv6", lambda n: len(n.subnets), 2),
    _made("--label", "--label a=b", lambda n: n.spec.labels, {"a": "b"}),
    _made("--opt", "-o encrypted -o mtu=1300", lambda n: (n.spec.encrypted, n.spec.mtu),
          (True, 1300)),
    asks(
        "network create", "--scope", "--scope local",
        localnetworks_pb2.CreateLocalNetworkRequest, is_asked, True, rest="n",
    ),
    _made("--subnet", _SUBNET, lambda n: n.subnets[0].subnet, "10.20.0.0/24"),
    *listing("network ls", "label=team=red", 1, given=_furnish),
    prints("network ls", "--no-trunc", "--no-trunc", has("a" * 25), True, given=_furnish),
    formatted("network inspect", "-f x{{.Name}}", "back", given=_furnish),
    prints("network inspect", "--verbose", "-v", has('"Services"'), True, rest="back",
           given=_furnish),
    Row("network rm", "--force", Proof(REQUEST, _gone)),
    Row("network prune", "--force", Proof(REQUEST, _unasked)),
    asks(
        "network prune",
        "--filter",
        "--filter label=a --filter label!=b",
        pb.PruneNetworksRequest,
        lambda r: (list(r.labels), list(r.not_labels)),
        (["a"], ["b"]),
        rest="-f",
        given=_furnish,
    ),
    asks(
        "network connect",
        "--alias",
        "--alias db",
        pb.ConnectNetworkRequest,
        _aliases,
        ("db",),
        rest="back web.1",
    ),
    *(
        refused(
            "network connect", flag, f"network connect {flag} {value} back web.1", "gives addresses"
        )
        for flag, value in _NOT_OF_TASKS.items()
    ),
    asks(
        "network disconnect",
        "--force",
        "-f",
        pb.DisconnectNetworkRequest,
        lambda r: r.force,
        True,
        rest="back web.1",
    ),
    formatted("network check", "-f x{{.Hostname}}", "back", given=_furnish),
    _pooled(
        "--default-addr-pool",
        "--default-addr-pool 172.20.0.0/16",
        _subnet,
        "172.20.0.0/24",
    ),
    _pooled(
        "--default-addr-pool-mask-length",
        "--default-addr-pool-mask-length 26",
        _subnet,
        "10.0.0.0/26",
    ),
    _pooled("--data-path-port", "--data-path-port 7789", lambda s: s.data_path_port, 7789),
)  # fmt: skip
