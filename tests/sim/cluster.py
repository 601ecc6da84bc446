"""Put a cluster together, let faults loose on it for a while, and see that it recovers.

`run(seed)` is the whole test: one seed draws the size of the cluster, the operators' commands
and every fault. While faults last, each event is judged; once they stop, the cluster has
`PATIENCE_S` to become what its operators want.
"""

from manager import layout
from manager.store import Commit, Put
from swarm.codec import pack
from swarm.objects import Cluster
from swarm.objects import Node as NodeObject
from swarm.specs import NodeSpec
from tests.sim.engine import EPOCH, Engine, Violated
from tests.sim.etcd import Etcd
from tests.sim.judge import Judge
from tests.sim.manager import Manager
from tests.sim.network import Network
from tests.sim.node import Node
from tests.sim.operators import Operators

TROUBLE_S = 25.0
PATIENCE_S = 120.0
SETTLED_S = 3.0


class Simulation:
    """One cluster, from its first commit on."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.engine = engine = Engine(seed)
        self.judge = Judge(engine)
        self.etcd = Etcd(engine)
        self.etcd.before, self.etcd.committed = self.judge.before, self.judge.committed
        self.network = Network(engine)
        self.managers: dict[str, Manager] = {}
        for number in range(engine.random.randint(1, 3)):
            name = f"m{number + 1}"
            self.managers[name] = Manager(engine, self.etcd, name)
        self.nodes = {}
        for number in range(engine.random.randint(1, 5)):
            node = Node(
                engine,
                self.network,
                self.managers,
                f"n{number + 1}",
                started=self.judge.started,
                acknowledged=self.judge.acknowledged,
            )
            self.nodes[node.id] = self.judge.nodes[node.id] = node
        self.operators = Operators(engine, self.managers, self.judge)
        self._found()

    def run(self) -> None:
        """Trouble, then calm, then everything as wanted; raises `Violated` otherwise."""
        engine = self.engine
        for manager in self.managers.values():
            engine.after(engine.between(0.0, 1.0), manager.start)
        for node in self.nodes.values():
            engine.after(engine.between(0.0, 1.0), node.start_agent)
        self._act()
        self._trouble()
        engine.run(TROUBLE_S)
        self._calm()
        self._converge()
        self.judge.check()
        self.operators.check()

    # -- the beginning and the end -------------------------------------------------------

    def _found(self) -> None:
        puts = [Put(layout.CLUSTER, pack(Cluster(id="sim")))]
        for number, node in enumerate(self.nodes.values()):
            labels = {"zone": "east" if number % 2 else "west"}
            known = NodeObject(
                id=node.id,
                spec=NodeSpec(labels=labels),
                description=node.description,
                created_at=EPOCH,
            )
            puts.append(Put(layout.node_key(node.id), pack(known)))
        self.etcd.store.apply(Commit((), tuple(puts)))
        self.etcd.publish()

    def _calm(self) -> None:
        """End all faults: what is down comes up, what is cut is mended."""
        self.engine.is_calm = True
        self.engine.tell("faults", "stop")
        self.etcd.is_down = False
        for node in self.nodes.values():
            self.network.mend(node.id)
            if not node.is_up:
                node.start_agent()
        for manager in self.managers.values():
            if not manager.is_up:
                manager.start()
        self.operators.activate_all()

    def _converge(self) -> None:
        """Run until everything is as wanted, and stays so for a while."""
        engine, since = self.engine, self.engine.now
        while True:
            engine.run(engine.now + 0.5)
            problem = self.judge.unfinished()
            if problem:
                since = engine.now
            elif engine.now - since >= SETTLED_S:
                return
            if engine.now > TROUBLE_S + PATIENCE_S:
                raise Violated(f"it does not converge: {problem}")

    # -- operators and faults ------------------------------------------------------------

    def _act(self) -> None:
        if not self.engine.is_calm:
            self.operators.act()
            self.engine.after(self.engine.between(0.1, 2.0), self._act)

    def _trouble(self) -> None:
        """Something goes wrong, again and again."""
        engine = self.engine
        if engine.is_calm:
            return
        engine.after(engine.between(0.2, 3.0), self._trouble)
        node = engine.random.choice(list(self.nodes.values()))
        manager = engine.random.choice(list(self.managers.values()))
        match engine.random.randint(0, 9):
            case 0 | 1:
                running = sorted(each.task.id for each in node.running)
                if running:
                    code = engine.random.choice((0, 1, 137))
                    node.fail(engine.random.choice(running), code)
            case 2 if node.is_up:
                node.kill_agent()
                engine.after(engine.between(0.1, 6.0), lambda: _revive_agent(node))
            case 3 if node.is_up:
                node.lose_power()
                engine.after(engine.between(0.5, 10.0), lambda: _revive_agent(node))
            case 4 | 5:
                engine.tell(node.id, "is cut off")
                self.network.cut(node.id)
                engine.after(engine.between(0.2, 10.0), lambda: self._mend(node))
            case 6 | 7 if manager.is_up:
                manager.kill()
                engine.after(engine.between(0.1, 8.0), lambda: _revive_manager(manager))
            case 8:
                self._stop_etcd(engine.between(0.2, 6.0))
            case 9:
                engine.tell("etcd", "forgets its history")
                self.etcd.store.compact(self.etcd.store.revision)
            case _:
                pass

    def _mend(self, node: Node) -> None:
        if self.network.is_cut(node.id):
            self.engine.tell(node.id, "is connected again")
            self.network.mend(node.id)

    def _stop_etcd(self, seconds: float) -> None:
        if self.etcd.is_down:
            return
        self.engine.tell("etcd", f"is down for {seconds:.1f} s")
        self.etcd.is_down = True

        def rise() -> None:
            self.etcd.is_down = False
            self.engine.tell("etcd", "is up")

        self.engine.after(seconds, rise)


def _revive_agent(node: Node) -> None:
    if not node.is_up:
        node.start_agent()


def _revive_manager(manager: Manager) -> None:
    if not manager.is_up:
        manager.start()


def run(seed: int) -> Simulation:
    """Run one seed; a failure carries the seed and the story."""
    simulation = Simulation(seed)
    try:
        simulation.run()
    except Exception as err:
        err.add_note(f"seed {seed}; replay it with: python -m tests.sim --seed {seed}")
        err.add_note("\n".join(simulation.engine.story[-80:]))
        raise
    return simulation
