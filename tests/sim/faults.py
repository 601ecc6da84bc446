"""Let faults befall a cluster: each by its name, with dice of its own.

A fault that lasts ends by itself after a while, or when it becomes calm. What it befalls is
chosen when it happens, from what is there then; a fault that finds nothing to befall does
not happen.
"""

from collections.abc import Callable, Mapping
from random import Random

from manager import layout
from manager.store import LeaseId
from swarm.ids import NodeId
from tests.sim.engine import Engine
from tests.sim.etcd import Etcd, answered
from tests.sim.manager import Doom, Manager
from tests.sim.network import ANYONE, ETCD, Network
from tests.sim.node import Node
from tests.sim.operators import Operators
from tests.sim.scenario import Happening

Fault = Callable[[Random], None]


class Faults:
    """Whatever may go wrong. `join` makes another host."""

    def __init__(
        self,
        engine: Engine,
        etcd: Etcd,
        network: Network,
        managers: Mapping[str, Manager],
        nodes: Mapping[NodeId, Node],
        operators: Operators,
        join: Callable[[Random], None],
    ) -> None:
        self._engine = engine
        self._etcd = etcd
        self._network = network
        self._managers = managers
        self._nodes = nodes
        self._operators = operators
        self._acts: dict[str, Fault] = {
            "containers exit": self._end_containers,
            "agent dies": self._kill_agent,
            "host dies": self._kill_host,
            "node is cut off": self._cut_off,
            "node is not heard": lambda dice: self._cut_way(dice, self._node(dice).id, ANYONE),
            "node hears nothing": lambda dice: self._cut_way(dice, ANYONE, self._node(dice).id),
            "manager dies": self._kill_manager,
            "manager dies in a commit": self._doom_manager,
            "manager is cut from etcd": lambda dice: self._cut_way(
                dice, self._manager(dice).id, ETCD
            ),
            "manager hears nothing of etcd": lambda dice: self._cut_way(
                dice, ETCD, self._manager(dice).id
            ),
            "node cannot reach a manager": lambda dice: self._cut_way(
                dice, self._node(dice).id, self._manager(dice).id
            ),
            "etcd stops": lambda dice: self._lasting(dice, self._etcd, "is_down", ETCD, "is down"),
            "etcd is slow": lambda dice: self._lasting(
                dice, self._etcd, "is_slow", ETCD, "has a slow disk"
            ),
            "etcd's disk fails": lambda dice: self._lasting(
                dice, self._etcd, "is_failing", ETCD, "has a failing disk"
            ),
            "etcd forgets its history": self._compact,
            "lease is lost": self._end_lease,
            "manager's clock is set": self._set_managers_clock,
            "node's clock is set": self._set_nodes_clock,
            "registry fails": self._fail_registry,
            "disk is slow": self._slow_disk,
            "disk is full": self._fill_disk,
            "node leaves": self._leave,
            "node joins": join,
            "node is removed": self._remove,
        }

    @property
    def names(self) -> frozenset[str]:
        """The faults there are."""
        return frozenset(self._acts)

    def happen(self, happening: Happening) -> None:
        """Let a fault happen."""
        if not self._engine.is_calm:
            self._acts[happening.what](Random(happening.dice))

    # -- containers and hosts ------------------------------------------------------------

    def _end_containers(self, dice: Random) -> None:
        node = self._node(dice)
        running = sorted(each.task.id for each in node.running)
        for task_id in dice.sample(running, min(len(running), dice.choice((1, 1, 2, 10)))):
            node.fail(task_id, dice.choice((0, 1, 137)))

    def _kill_agent(self, dice: Random) -> None:
        node = self._node(dice)
        node.kill_agent()
        self._engine.after(dice.uniform(0.1, 6.0), lambda: revive_agent(node))

    def _kill_host(self, dice: Random) -> None:
        node = self._node(dice)
        if node.is_up:
            node.lose_power()
            self._engine.after(dice.uniform(0.5, 10.0), lambda: revive_agent(node))

    def _fail_registry(self, dice: Random) -> None:
        """Nobody can pull for a while."""
        self._last(dice, [(each, "is_failing") for each in self._nodes.values()], "registry")

    def _slow_disk(self, dice: Random) -> None:
        node = self._node(dice)
        self._lasting(dice, node, "is_slow", node.id, "has a slow disk")

    def _fill_disk(self, dice: Random) -> None:
        node = self._node(dice)
        self._lasting(dice, node, "is_failing", node.id, "has a full disk")

    def _leave(self, dice: Random) -> None:
        node = self._node(dice)
        if self._may_go():
            node.leave()
            if not node.is_up:
                node.is_gone = True
                self._engine.after(dice.uniform(0.5, 4.0), self._operators.remove_gone)

    def _remove(self, dice: Random) -> None:
        """Thrown out while it works; somebody turns it off later."""
        node = self._node(dice)
        if self._may_go():
            node.is_gone = True
            self._operators.remove_gone()
            self._engine.after(dice.uniform(0.1, 5.0), lambda: turn_off(node))

    # -- links ---------------------------------------------------------------------------

    def _cut_off(self, dice: Random) -> None:
        node = self._node(dice)
        keeps = dice.random() < 0.5
        cuts = [
            self._network.cut(node.id, ANYONE, keeps=keeps),
            self._network.cut(ANYONE, node.id, keeps=keeps),
        ]
        self._engine.tell(node.id, "is cut off")

        def mend() -> None:
            self._engine.tell(node.id, "is connected again")
            for cut in cuts:
                self._network.mend(cut)

        self._engine.after(dice.uniform(0.2, 10.0), mend)

    def _cut_way(self, dice: Random, source: str, target: str) -> None:
        cut = self._network.cut(source, target, keeps=dice.random() < 0.5)
        self._engine.tell("network", f"nothing gets from {source} to {target}")

        def mend() -> None:
            self._engine.tell("network", f"the way from {source} to {target} is free again")
            self._network.mend(cut)

        self._engine.after(dice.uniform(0.2, 10.0), mend)

    # -- managers and etcd ---------------------------------------------------------------

    def _kill_manager(self, dice: Random) -> None:
        manager = self._manager(dice)
        manager.kill()
        self._engine.after(dice.uniform(0.1, 8.0), lambda: revive_manager(manager))

    def _doom_manager(self, dice: Random) -> None:
        leading = [each for each in self._managers.values() if each.is_up and each.leads]
        manager = leading[0] if leading else self._manager(dice)
        manager.doom = dice.choice(list(Doom))
        self._engine.tell(manager.id, f"will die {manager.doom.name.lower().replace('_', ' ')}")
        self._engine.after(dice.uniform(2.0, 8.0), lambda: revive_manager(manager))

    def _compact(self, dice: Random) -> None:
        self._engine.tell(ETCD, "forgets its history")
        self._etcd.store.compact(self._etcd.store.revision)

    def _end_lease(self, dice: Random) -> None:
        """The leader's, or that of a manager's sessions."""
        store = self._etcd.store
        keys = [layout.LEADER, *(layout.manager_key(each.id) for each in self._managers.values())]
        key = dice.choice(keys)
        item = store.list_now(key).find(key)
        if item is not None and item.lease != LeaseId(0) and not self._etcd.is_down:
            self._engine.tell(ETCD, f"ends the lease of {key}")
            answered(store.revoke(item.lease))
            self._etcd.publish()

    def _set_managers_clock(self, dice: Random) -> None:
        manager = self._manager(dice)
        manager.clock.step(by := dice.choice((-20.0, -3.0, -0.5, 0.5, 3.0, 20.0)))
        self._engine.tell(manager.id, f"sets its clock by {by:+} s")

    def _set_nodes_clock(self, dice: Random) -> None:
        node = self._node(dice)
        node.clock.step(by := dice.choice((-3600.0, -5.0, 5.0, 3600.0)))
        self._engine.tell(node.id, f"sets its clock by {by:+} s")

    # -- what lasts ----------------------------------------------------------------------

    def _lasting(self, dice: Random, whom: object, what: str, name: str, words: str) -> None:
        self._engine.tell(name, words)
        self._last(dice, [(whom, what)], name)

    def _last(self, dice: Random, states: list[tuple[object, str]], name: str) -> None:
        for whom, what in states:
            setattr(whom, what, True)

        def end() -> None:
            self._engine.tell(name, "works again")
            for whom, what in states:
                setattr(whom, what, False)

        self._engine.after(dice.uniform(0.2, 6.0), end)

    def end(self) -> None:
        """All of it is over: what is down comes up, what is cut is mended."""
        self._network.mend_all()
        self._etcd.is_down = self._etcd.is_slow = self._etcd.is_failing = False
        for node in self._nodes.values():
            node.is_slow = node.is_failing = False
            if node.is_gone:
                turn_off(node)
            revive_agent(node)
        for manager in self._managers.values():
            manager.doom = None
            revive_manager(manager)

    def _node(self, dice: Random) -> Node:
        return dice.choice([each for each in self._nodes.values() if not each.is_gone])

    def _may_go(self) -> bool:
        """Whether a node may go for good: one has to stay."""
        return sum(not each.is_gone for each in self._nodes.values()) > 1

    def _manager(self, dice: Random) -> Manager:
        return dice.choice(list(self._managers.values()))


def revive_agent(node: Node) -> None:
    """Start an agent where none runs, unless the node is no more."""
    if not node.is_up and not node.is_gone:
        node.start_agent()


def revive_manager(manager: Manager) -> None:
    """Start a manager unless it runs."""
    if not manager.is_up:
        manager.start()


def turn_off(node: Node) -> None:
    """A host that was thrown out goes to the scrapyard."""
    if node.is_up or node.containers:
        node.lose_power()
