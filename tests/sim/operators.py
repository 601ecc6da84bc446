"""Operators who change their minds: services come, grow, change and go; nodes are drained.

Each command goes through the control functions of whichever manager leads, and is either
acknowledged, refused, or left in doubt. What was acknowledged last about a service must be
true in the end.
"""

from collections.abc import Callable, Mapping

from msgspec import structs

from manager.control import nodes, services
from manager.store import Commit, fenced
from swarm.errors import SwarmError
from swarm.ids import NodeId, ServiceId, make_id
from swarm.specs import (
    Availability,
    Global,
    NodeSpec,
    Placement,
    Replicated,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdatePolicy,
)
from tests.sim.engine import Engine, Violated
from tests.sim.judge import Judge
from tests.sim.manager import Manager

MOST_SERVICES = 4


class Operators:
    """Whoever sits at the keyboards."""

    def __init__(self, engine: Engine, managers: Mapping[str, Manager], judge: Judge) -> None:
        self._engine = engine
        self._managers = managers
        self._judge = judge
        self._promised: dict[ServiceId, ServiceSpec | None] = {}
        self._made = 0
        self._issued = 0
        self._latest: dict[ServiceId, int] = {}

    def act(self) -> None:
        """Do something, if anyone leads."""
        leader = self._leader()
        if leader is None:
            return
        view, random = leader.view, self._engine.random
        known = sorted(view.services)
        choice = random.random()
        if not known or (choice < 0.25 and len(known) < MOST_SERVICES):
            self._create(leader)
        elif choice < 0.5:
            self._scale(leader, random.choice(known))
        elif choice < 0.7:
            self._renew(leader, random.choice(known))
        elif choice < 0.8:
            service_id = random.choice(known)
            self._issue(leader, service_id, None, services.remove(view, service_id))
        else:
            self._change_node(leader, random.choice(sorted(view.nodes)))

    def activate_all(self) -> None:
        """Have every node take tasks again; repeated until it is so."""
        leader = self._leader()
        idle = [
            node
            for node in self._judge.view.nodes.values()
            if node.spec.availability is not Availability.ACTIVE
        ]
        if leader is not None:
            for node in idle:
                if node.id in leader.view.nodes:
                    spec = structs.replace(node.spec, availability=Availability.ACTIVE)
                    self._send(leader, nodes.update(leader.view, node.id, 0, spec, now=0.0))
        if idle or leader is None:
            self._engine.after(0.5, self.activate_all)

    def check(self) -> None:
        """Object when something acknowledged is not so."""
        for service_id, promised in self._promised.items():
            service = self._judge.view.services.get(service_id)
            if (service.spec if service else None) != promised:
                raise Violated(f"acknowledged of {service_id}: {promised}, but it is {service}")

    # -- commands ------------------------------------------------------------------------

    def _create(self, leader: Manager) -> None:
        random = self._engine.random
        self._made += 1
        service_id = ServiceId(make_id(random))
        is_global = random.random() < 0.25
        spec = ServiceSpec(
            name=f"svc{self._made}",
            mode=Global() if is_global else Replicated(replicas=random.randint(0, 6)),
            task=self._task(0),
            update=UpdatePolicy(
                parallelism=random.choice((0, 1, 1, 2)), delay_s=random.choice((0.0, 0.0, 1.0))
            ),
        )
        try:
            commit = services.create(leader.view, spec, service_id, now=self._engine.epoch)
        except SwarmError:
            return
        self._issue(leader, service_id, spec, commit)

    def _scale(self, leader: Manager, service_id: ServiceId) -> None:
        service = leader.view.services[service_id]
        if isinstance(service.spec.mode, Replicated):
            mode = Replicated(replicas=self._engine.random.randint(0, 8))
            self._update(leader, service_id, structs.replace(service.spec, mode=mode))

    def _renew(self, leader: Manager, service_id: ServiceId) -> None:
        spec = leader.view.services[service_id].spec
        task = self._task(spec.task.force_update + 1)
        self._update(leader, service_id, structs.replace(spec, task=task))

    def _update(self, leader: Manager, service_id: ServiceId, spec: ServiceSpec) -> None:
        version = leader.view.version(f"services/{service_id}")
        commit = services.update(leader.view, service_id, version, spec, now=self._engine.epoch)
        self._issue(leader, service_id, spec, commit)

    def _task(self, force_update: int) -> TaskSpec:
        random = self._engine.random
        condition = RestartCondition.ON_FAILURE if random.random() < 0.2 else RestartCondition.ANY
        constraints = ("node.labels.zone==east",) if random.random() < 0.2 else ()
        return TaskSpec(
            reservations=Resources(cpu_millis=random.choice((0, 200, 500, 900))),
            restart=RestartPolicy(condition=condition, delay_s=random.choice((0.0, 0.0, 0.5, 2.0))),
            placement=Placement(constraints=constraints),
            force_update=force_update,
        )

    def _change_node(self, leader: Manager, node_id: NodeId) -> None:
        random = self._engine.random
        availability = random.choice((Availability.ACTIVE, Availability.PAUSE, Availability.DRAIN))
        labels = {"zone": random.choice(("east", "west"))}
        spec = NodeSpec(availability=availability, labels=labels)
        commit = nodes.update(leader.view, node_id, 0, spec, now=self._engine.epoch)
        self._engine.tell("operator", f"sets {node_id} to {availability.word}, {labels['zone']}")
        self._send(leader, commit)

    def _issue(
        self, leader: Manager, service_id: ServiceId, spec: ServiceSpec | None, commit: Commit
    ) -> None:
        """Send a command; while its outcome is unknown nothing is promised of the service."""
        what = f"wants {spec.name}: {spec.mode}" if spec is not None else "removes"
        self._engine.tell("operator", f"{what} ({service_id[:6]})")
        self._promised.pop(service_id, None)
        self._issued += 1
        number = self._latest[service_id] = self._issued

        def done(_: int) -> None:
            if self._latest[service_id] == number:
                self._promised[service_id] = spec

        self._send(leader, commit, done)

    def _send(
        self, leader: Manager, commit: Commit, done: Callable[[int], None] = lambda _: None
    ) -> None:
        term = leader.term
        if term is None or not commit.operations:
            return
        leader.commit(fenced(commit, term.fence), done, lambda err: None)

    def _leader(self) -> Manager | None:
        leading = [each for each in self._managers.values() if each.is_up and each.leads]
        return leading[0] if leading else None
