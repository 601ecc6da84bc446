"""Operators who change their minds: services come, grow, change and go; nodes are drained.

Each command goes through the control functions of whichever manager leads, and is either
acknowledged, refused, or left in doubt. What was acknowledged last about a service must be
true in the end. A command that finds nobody who leads is repeated for a while.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from random import Random

from msgspec import structs

from manager.control import nodes, services
from manager.control.dependencies import check_dependencies
from manager.control.triggering import trigger
from manager.decisions import Plan, WriteLedger
from manager.rebalancing import Move, Moves, budget_of, rebalance, still_allowed
from manager.store import Commit, fenced
from swarm.errors import Refused, SwarmError
from swarm.ids import NodeId, ServiceId, make_id
from swarm.objects import Ledger, NodeDescription, Service
from swarm.specs import Availability, NodeSpec, Replicated, Role, ServiceSpec
from tests.sim.engine import Engine, Violated
from tests.sim.judge import Judge
from tests.sim.manager import Manager
from tests.sim.node import Node
from tests.sim.scenario import Happening
from tests.sim.wishes import Wishes, works

MOST_SERVICES = 4
ATTEMPTS = 6
RETRY_S = 0.5

Command = Callable[[Manager, Random], None]


class Operators:
    """Whoever sits at the keyboards."""

    def __init__(
        self, engine: Engine, managers: Mapping[str, Manager], judge: Judge, wishes: Wishes
    ) -> None:
        self._engine = engine
        self._managers = managers
        self._judge = judge
        self._wishes = wishes
        self._promised: dict[ServiceId, ServiceSpec | None] = {}
        self._made = 0
        self._issued = 0
        self._latest: dict[ServiceId, int] = {}
        self._runs: dict[ServiceId, int] = {}
        self._reverted: dict[ServiceId, int] = {}
        self._commands: dict[str, Command] = {
            "create": self._create,
            "scale": self._scale,
            "update": self._renew,
            "remove": self._remove,
            "change node": self._change_node,
            "promote": self._promote,
            "roll back": self._roll_back,
            "rebalance": self._rebalance,
            "evict": self._evict,
            "autoscale": self._autoscale,
            "trigger": self._trigger,
        }

    @property
    def names(self) -> frozenset[str]:
        """The commands there are."""
        return frozenset(self._commands)

    def act(self, happening: Happening, attempts: int = ATTEMPTS) -> None:
        """Issue a command, as soon as anyone leads."""
        if self._engine.is_calm or not attempts:
            return
        leader = self.leader()
        if leader is None:
            self._engine.after(RETRY_S, lambda: self.act(happening, attempts - 1))
            return
        try:
            self._commands[happening.what](leader, Random(happening.dice))
        except SwarmError as err:
            self._engine.tell("operator", f"{happening} is refused: {err.message}")

    # -- nodes ---------------------------------------------------------------------------

    def activate_all(self) -> None:
        """Have every node take tasks again; repeated until it is so."""
        leader = self.leader()
        idle = [
            node
            for node in self._judge.view.nodes.values()
            if node.spec.availability is not Availability.ACTIVE
        ]
        if leader is not None:
            for node in idle:
                if node.id in leader.view.nodes:
                    spec = structs.replace(node.spec, availability=Availability.ACTIVE)
                    at = leader.clock.epoch
                    self._send(leader, nodes.update(leader.view, node.id, 0, spec, now=at))
        if idle or leader is None:
            self._engine.after(0.5, self.activate_all)

    def mend_all(self) -> None:
        """Have every service use an image that works, and promoted; repeated for ever."""
        leader = self.leader()
        broken = [each for each in self._judge.view.services.values() if not works(each.spec)]
        for service_id in list(leader.view.services) if leader is not None else ():
            with suppress(Refused):
                assert leader is not None
                commit = services.promote(leader.view, service_id, now=leader.clock.epoch)
                self._engine.tell("operator", f"promotes {service_id[:6]}")
                self._send(leader, commit)
        for service in broken if leader is not None else ():
            if leader is not None and service.id in leader.view.services:
                spec = self._wishes.mended(leader.view.services[service.id].spec)
                self._update(leader, service.id, spec)
        self._engine.after(0.5, self.mend_all)

    def remove_gone(self) -> None:
        """Remove the nodes that are no more; repeated until it is so."""
        leader = self.leader()
        gone = [
            each
            for each in self._judge.nodes.values()
            if each.is_gone and each.id in self._judge.view.nodes
        ]
        if leader is not None:
            for node in gone:
                if node.id in leader.view.nodes:
                    self._engine.tell("operator", f"removes node {node.id}")
                    self._send(leader, nodes.remove(leader.view, node.id, force=True))
        if gone or leader is None:
            self._engine.after(0.5, self.remove_gone)

    def admit(self, node: Node, description: NodeDescription) -> None:
        """Let a host join; it starts its agent once it is admitted."""
        leader = self.leader()
        if node.is_gone:
            return
        if node.id in self._judge.view.nodes:
            node.start_agent()
            return
        if leader is not None and node.id not in leader.view.nodes:
            self._engine.tell("operator", f"lets {node.id} join")
            commit = nodes.admit(
                leader.view,
                node.id,
                role=Role.WORKER,
                hostname=description.hostname,
                availability=Availability.ACTIVE,
                now=leader.clock.epoch,
            )
            self._send(leader, commit)
        self._engine.after(0.5, lambda: self.admit(node, description))

    def _change_node(self, leader: Manager, dice: Random) -> None:
        node_id = NodeId(dice.choice(sorted(leader.view.nodes)))
        availability = dice.choice(
            (Availability.ACTIVE, Availability.ACTIVE, Availability.PAUSE, Availability.DRAIN)
        )
        labels = {"zone": dice.choice(("east", "west"))}
        spec = self._wishes.node(NodeSpec(availability=availability, labels=labels), dice)
        commit = nodes.update(leader.view, node_id, 0, spec, now=leader.clock.epoch)
        self._engine.tell("operator", f"sets {node_id} to {told(spec)}")
        self._send(leader, commit)

    # -- services ------------------------------------------------------------------------

    def _create(self, leader: Manager, dice: Random) -> None:
        if len(leader.view.services) >= MOST_SERVICES:
            self._renew(leader, dice)
            return
        self._made += 1
        service_id = ServiceId(make_id(dice))
        others = sorted(each.spec.name for each in leader.view.services.values())
        spec = self._wishes.service(f"svc{self._made}", dice, others)
        check_dependencies(leader.view, spec)
        commit = services.create(leader.view, spec, service_id, now=leader.clock.epoch)
        self._issue(leader, service_id, spec, commit)

    def _scale(self, leader: Manager, dice: Random) -> None:
        self._change(leader, dice, self._wishes.scaled)

    def _renew(self, leader: Manager, dice: Random) -> None:
        self._change(leader, dice, self._wishes.renewed)

    def _remove(self, leader: Manager, dice: Random) -> None:
        service_id = self._some_service(leader, dice)
        if service_id is not None:
            self._issue(leader, service_id, None, services.remove(leader.view, service_id))

    def _promote(self, leader: Manager, dice: Random) -> None:
        service_id = self._some_service(leader, dice)
        if service_id is not None:
            commit = services.promote(leader.view, service_id, now=leader.clock.epoch)
            self._engine.tell("operator", f"promotes {service_id[:6]}")
            self._send(leader, commit)

    def _roll_back(self, leader: Manager, dice: Random) -> None:
        service_id = self._some_service(leader, dice)
        if service_id is not None:
            at = leader.clock.epoch
            commit = services.rollback(leader.view, service_id, 0, None, now=at)
            spec = leader.view.services[service_id].previous_spec
            self._issue(leader, service_id, spec, commit)

    def _trigger(self, leader: Manager, dice: Random) -> None:
        """Start a run of a job by hand; it is in the ledger from then on."""
        scheduled = [each for each in by_name(leader) if each.spec.schedule is not None]
        if not scheduled:
            return
        service = dice.choice(scheduled)
        commit, number = trigger(leader.view, service.id, now=leader.clock.epoch)
        self._engine.tell("operator", f"starts run {number} of {service.spec.name}")

        def done(_: int) -> None:
            self._runs[service.id] = max(number, self._runs.get(service.id, 0))

        self._send(leader, commit, done)

    # -- what leaders do beside planning -------------------------------------------------

    def _rebalance(self, leader: Manager, dice: Random) -> None:
        """Have tasks moved to where they are fewer, in a wave."""
        if leader.term is not None:
            most = dice.choice((0, 1, 3))
            leader.decree(rebalance(leader.view, leader.term.fleet, max_moves=most).plan())

    def _evict(self, leader: Manager, dice: Random) -> None:
        """Have some tasks of a service moved though nothing gains by it, within its budget."""
        view = leader.view
        running = [
            each
            for each in by_name(leader)
            if isinstance(each.spec.mode, Replicated) and budget_of(view, each)
        ]
        if not running:
            return
        tasks = sorted(view.tasks_of(dice.choice(running).id).values(), key=lambda each: each.slot)
        chosen = dice.sample(tasks, min(len(tasks), dice.randint(1, 3)))
        moves = [
            Move(
                task_id=task.id,
                name=task.service_name,
                from_node=task.node_id,
                to_node=NodeId(""),
                reason="moved",
            )
            for task in chosen
            if task.node_id in view.nodes
        ]
        leader.decree(still_allowed(view, Moves(tuple(moves))).plan())

    def _autoscale(self, leader: Manager, dice: Random) -> None:
        """Have a service's use call for another number of replicas."""
        view = leader.view
        scaled = [each for each in by_name(leader) if each.spec.autoscale is not None]
        if not scaled:
            return
        service = dice.choice(scaled)
        assert service.spec.autoscale is not None
        replicas = dice.randint(service.spec.autoscale.least, service.spec.autoscale.most)
        ledger = view.ledgers.get(service.id, Ledger(service_id=service.id))
        if ledger.replicas != replicas:
            ledger = structs.replace(ledger, replicas=replicas, scaled_at=leader.clock.epoch)
            leader.decree(Plan(service_id=service.id, decisions=(WriteLedger(ledger),)))

    def _change(
        self, leader: Manager, dice: Random, change: Callable[[ServiceSpec, Random], ServiceSpec]
    ) -> None:
        service_id = self._some_service(leader, dice)
        if service_id is None:
            return
        old = leader.view.services[service_id].spec
        spec = change(old, dice)
        self._update(leader, service_id, spec)

    def _update(self, leader: Manager, service_id: ServiceId, spec: ServiceSpec) -> None:
        if spec != leader.view.services[service_id].spec:
            check_dependencies(leader.view, spec)
            version = leader.view.version(f"services/{service_id}")
            at = leader.clock.epoch
            commit = services.update(leader.view, service_id, version, spec, now=at)
            self._issue(leader, service_id, spec, commit)

    def _some_service(self, leader: Manager, dice: Random) -> ServiceId | None:
        """Any service; by name, because ids have no order that a shrunk run would keep."""
        known = by_name(leader)
        return dice.choice(known).id if known else None

    # -- promises ------------------------------------------------------------------------

    def check(self) -> None:
        """Object when something acknowledged is not so."""
        for service_id, promised in self._promised.items():
            if self._reverted.get(service_id, 0) != self._judge.reverted[service_id]:
                continue  # its leader has rolled it back since
            service = self._judge.view.services.get(service_id)
            if (service.spec if service else None) != promised:
                raise Violated(
                    "promise", f"acknowledged of {service_id}: {promised}, but it is {service}"
                )

        for service_id, number in self._runs.items():
            ledger = self._judge.view.ledgers.get(service_id)
            is_there = service_id in self._judge.view.services
            if is_there and (ledger is None or ledger.last_run < number):
                raise Violated("promise", f"run {number} of {service_id} was begun: {ledger}")

    def _issue(
        self, leader: Manager, service_id: ServiceId, spec: ServiceSpec | None, commit: Commit
    ) -> None:
        """Send a command; while its outcome is unknown nothing is promised of the service."""
        what = f"wants {told(spec)}" if spec is not None else "removes"
        self._engine.tell("operator", f"{what} ({service_id[:6]})")
        self._promised.pop(service_id, None)
        self._issued += 1
        number = self._latest[service_id] = self._issued
        reverted = self._judge.reverted[service_id]

        def done(_: int) -> None:
            if self._latest[service_id] == number:
                self._promised[service_id] = spec
                self._reverted[service_id] = reverted

        self._send(leader, commit, done)

    def _send(
        self, leader: Manager, commit: Commit, done: Callable[[int], None] = lambda _: None
    ) -> None:
        term = leader.term
        if term is None or not commit.operations:
            return
        leader.commit(fenced(commit, term.fence), done, lambda err: None)

    def leader(self) -> Manager | None:
        """Who leads, and can be talked to."""
        leading = [each for each in self._managers.values() if each.is_up and each.leads]
        return leading[0] if leading else None


def by_name(leader: Manager) -> list[Service]:
    """The services a leader knows."""
    return sorted(leader.view.services.values(), key=lambda each: each.spec.name)


def told(value: object, default: object = None) -> str:
    """What is special about a spec, in the shortest words."""
    fields = structs.asdict(value)  # type: ignore[arg-type]
    plain = structs.asdict(default if default is not None else type(value)())
    special = [
        f"{name}={_word(each, plain[name])}" for name, each in fields.items() if each != plain[name]
    ]
    return f"{type(value).__name__}({', '.join(special)})"


def _word(value: object, default: object) -> str:
    return told(value) if hasattr(value, "__struct_fields__") else f"{value!r}"
