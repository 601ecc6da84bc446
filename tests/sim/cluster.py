"""Put a cluster together, let faults loose on it for a while, and see that it recovers.

`run(scenario)` is the whole test. While faults last, each event is judged; once they stop, the
cluster has `PATIENCE_S` to become what its operators want.
"""

from random import Random

from manager import layout
from manager.store import Commit, Put
from swarm.codec import pack
from swarm.ids import ClusterId, NodeId
from swarm.objects import Cluster, NodeDescription
from swarm.objects import Node as NodeObject
from swarm.specs import ClusterSpec, NodeSpec, Resources
from tests.sim.addressing import NETWORKS
from tests.sim.engine import EPOCH, Engine, Violated
from tests.sim.etcd import Etcd
from tests.sim.faults import Faults
from tests.sim.judge import Judge
from tests.sim.manager import Manager
from tests.sim.network import ETCD, Network
from tests.sim.node import Node
from tests.sim.operators import Operators
from tests.sim.scenario import Happening, Scenario, draw
from tests.sim.wishes import Wishes

PATIENCE_S = 120.0
SETTLED_S = 3.0
MOST_NODES = 8
LOOK_S = 1.0


class Simulation:
    """One cluster, from its first commit on."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.engine = engine = Engine(scenario.seed, scenario.rates, scenario.quiet)
        self.judge = Judge(engine)
        self.wishes = Wishes(scenario.features)
        self.network = Network(engine)
        self.etcd = Etcd(engine, self.network, scenario.limits)
        self.etcd.before, self.etcd.committed = self.judge.before, self.judge.committed
        self.managers: dict[str, Manager] = {}
        for number in range(scenario.managers):
            name = f"m{number + 1}"
            self.managers[name] = Manager(
                engine, self.etcd, self.judge, name, most_starts=scenario.most_starts
            )
        self.nodes: dict[NodeId, Node] = {}
        for _ in range(scenario.nodes):
            self._host()
        self.operators = Operators(engine, self.managers, self.judge, self.wishes)
        self.faults = Faults(
            engine,
            self.etcd,
            self.network,
            self.managers,
            self.nodes,
            self.operators,
            self._join,
        )
        self._found()

    def run(self) -> None:
        """Trouble, then calm, then everything as wanted; raises `Violated` otherwise."""
        engine = self.engine
        for manager in self.managers.values():
            engine.after(engine.between(0.0, 1.0, "starts of managers"), manager.start)
        for node in self.nodes.values():
            engine.after(engine.between(0.0, 1.0, "starts of nodes"), node.start_agent)
        for happening in self.scenario.happenings:
            self._schedule(happening)
        self._look()
        engine.run(self.scenario.lasts_s)
        self._calm()
        self._converge()
        self.judge.check()
        self.operators.check()

    # -- the beginning and the end -------------------------------------------------------

    def _host(self) -> Node:
        name = f"n{len(self.nodes) + 1}"
        node = Node(
            self.engine,
            self.network,
            self.managers,
            name,
            description=NodeDescription(
                hostname=f"host-{name}",
                os="linux",
                arch="x86_64",
                resources=Resources(
                    cpu_millis=4000,
                    memory_bytes=1 << 32,
                    generic=self.wishes.has_of_its_own(),
                ),
            ),
            started=self.judge.started,
            acknowledged=self.judge.acknowledged,
            ended=self.judge.ended,
        )
        self.nodes[node.id] = self.judge.nodes[node.id] = node
        return node

    def _join(self, dice: Random) -> None:
        if len(self.nodes) < MOST_NODES:
            node = self._host()
            self.operators.admit(node, node.description)

    def _found(self) -> None:
        spec = ClusterSpec(task_history_limit=self.scenario.history)
        puts = [Put(layout.CLUSTER, pack(Cluster(id=ClusterId("sim"), spec=spec)))]
        for number, node in enumerate(self.nodes.values()):
            labels = {"zone": "east" if number % 2 else "west"}
            known = NodeObject(
                id=node.id,
                number=number + 1,
                spec=NodeSpec(labels=labels),
                description=node.description,
                created_at=EPOCH,
            )
            puts.append(Put(layout.node_key(node.id), pack(known)))
        if "networks" in self.scenario.features:
            puts += (Put(layout.network_key(each.id), pack(each)) for each in NETWORKS)
        self.etcd.store.apply(Commit((), tuple(puts)))
        self.etcd.publish()

    def _schedule(self, happening: Happening) -> None:
        is_command = happening.what in self.operators.names
        act = self.operators.act if is_command else self.faults.happen
        self.engine.after(happening.at, lambda: act(happening))

    def _look(self) -> None:
        """Have the judge see what waits, each second."""
        leader = self.operators.leader()
        is_cut_off = leader is None or self.network.is_cut(leader.id, ETCD)
        trouble = self.etcd.is_down or self.etcd.is_slow or self.etcd.is_failing or is_cut_off
        self.judge.look(leader, is_undisturbed=not trouble)
        self.engine.after(LOOK_S, self._look)

    def _calm(self) -> None:
        """End all faults: what is down comes up, what is cut is mended."""
        self.engine.is_calm = True
        self.engine.tell("faults", "stop")
        self.faults.end()
        self.operators.activate_all()
        self.operators.remove_gone()
        self.operators.mend_all()

    def _converge(self) -> None:
        """Run until everything is as wanted, and stays so for a while."""
        engine, since = self.engine, self.engine.now
        while True:
            engine.run(engine.now + 0.5)
            problem = self.judge.unfinished(self.operators.leader())
            if problem:
                since = engine.now
            elif engine.now - since >= SETTLED_S:
                return
            if engine.now > self.scenario.lasts_s + PATIENCE_S:
                raise Violated("convergence", problem)


def run(what: int | Scenario) -> Simulation:
    """Run a seed or a scenario; a failure carries the seed and the story."""
    simulation = Simulation(draw(what) if isinstance(what, int) else what)
    try:
        simulation.run()
    except Exception as err:
        seed = simulation.scenario.seed
        err.add_note(f"seed {seed}; replay it with: make sim SEED={seed}")
        err.add_note("\n".join(simulation.engine.story[-80:]))
        raise
    return simulation
