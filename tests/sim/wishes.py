"""Draw what operators ask for: services with some of the features that a run has."""

from collections.abc import Collection, Sequence
from random import Random

from msgspec import structs

from swarm.specs import (
    Affinity,
    Autoscale,
    Catchup,
    Concurrency,
    ContainerSpec,
    Dependency,
    DependencyCondition,
    EndpointMode,
    EndpointSpec,
    FailureAction,
    GenericResource,
    Global,
    GlobalJob,
    Healthcheck,
    Mode,
    NodeSpec,
    Placement,
    Port,
    Protocol,
    PublishMode,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    Schedule,
    ServiceSpec,
    Strategy,
    Taint,
    TaintEffect,
    TaskSpec,
    Toleration,
    UpdateOrder,
    UpdatePolicy,
)
from tests.networks import attached
from tests.sim.node import CRASHING, FINITE, ILL, image_works

MOST_REPLICAS = 8
EACH_MINUTE = "* * * * *"


class Wishes:
    """What operators of a run may wish for; `features` as in `scenario.FEATURES`."""

    def __init__(self, features: Collection[str]) -> None:
        self._features = features

    def service(self, name: str, dice: Random, others: Sequence[str]) -> ServiceSpec:
        """A new service, which may look at `others`."""
        mode = self._mode(dice)
        spec = ServiceSpec(
            name=name,
            mode=mode,
            update=self._policy(dice),
            rollback=self._policy(dice),
            endpoint=self._endpoint(dice),
            schedule=self._schedule(dice, mode),
            autoscale=self._autoscale(dice, mode),
            max_unavailable=dice.choice((0, 0, 1, 2)),
        )
        spec = structs.replace(spec, task=self._task(spec, 0, dice, others))
        return self._within_networks(self._published(spec, dice), dice)

    def renewed(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """The same service, of another version."""
        near = spec.task.placement.affinities
        others = [each.service for each in (*spec.task.depends_on, *near)]
        task = self._task(spec, spec.task.force_update + 1, dice, others)
        if dice.random() < 0.3:
            spec = structs.replace(spec, update=self._policy(dice), rollback=self._policy(dice))
            spec = structs.replace(spec, autoscale=self._autoscale(dice, spec.mode))
        return self._within_networks(structs.replace(spec, task=task), dice)

    def mended(self, spec: ServiceSpec) -> ServiceSpec:
        """The same service, with an image that works."""
        image = f"{FINITE if spec.is_job else 'app'}:2"
        container = structs.replace(spec.task.container, image=image)
        return structs.replace(spec, task=structs.replace(spec.task, container=container))

    def scaled(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """The same service, of another size; the same spec where it has none."""
        match spec.mode:
            case Replicated():
                return structs.replace(spec, mode=Replicated(replicas=dice.randint(0, 8)))
            case ReplicatedJob():
                mode = structs.replace(spec.mode, total=dice.randint(1, MOST_REPLICAS))
                return structs.replace(spec, mode=mode)
            case _:
                return spec

    def node(self, spec: NodeSpec, dice: Random) -> NodeSpec:
        """A node's next taints and time to drain."""
        taints: tuple[Taint, ...] = ()
        if self._draws("taints", dice, 0.4):
            taints = (Taint(key="dedicated", value="db", effect=dice.choice(list(TaintEffect))),)
        timeout_s = dice.choice((0.0, 0.0, 1.0, 4.0))
        return structs.replace(spec, taints=taints, drain_timeout_s=timeout_s)

    def has_of_its_own(self) -> tuple[GenericResource, ...]:
        """What a node has to give to one task each."""
        if "generic" not in self._features:
            return ()
        return (
            GenericResource(kind="disk", count=3),
            GenericResource(kind="gpu", names=("gpu-a", "gpu-b")),
        )

    # -- parts ---------------------------------------------------------------------------

    def _mode(self, dice: Random) -> Mode:
        if self._draws("jobs", dice, 0.5):
            if dice.random() < 0.25:
                return GlobalJob()
            return ReplicatedJob(
                max_concurrent=dice.choice((0, 0, 1, 2)), total=dice.randint(1, MOST_REPLICAS)
            )
        if self._draws("globals", dice, 0.4):
            return Global()
        return Replicated(replicas=dice.randint(0, 6))

    def _schedule(self, dice: Random, mode: Mode) -> Schedule | None:
        is_scheduled = self._draws("schedules", dice, 0.7)
        catchup, concurrency = dice.choice(list(Catchup)), dice.choice(list(Concurrency))
        if not is_scheduled or not isinstance(mode, ReplicatedJob | GlobalJob):
            return None
        return Schedule(expression=EACH_MINUTE, catchup=catchup, concurrency=concurrency)

    def _autoscale(self, dice: Random, mode: Mode) -> Autoscale | None:
        is_scaled, least = self._draws("autoscaling", dice, 0.6), dice.randint(1, 3)
        most = least + dice.randint(0, 4)
        if not is_scaled or not isinstance(mode, Replicated):
            return None
        return Autoscale(least=least, most=most, cpu_percent=50.0)

    def _policy(self, dice: Random) -> UpdatePolicy:
        """How a new version is rolled out."""
        policy = UpdatePolicy(
            parallelism=dice.choice((0, 1, 1, 2, 3)),
            delay_s=dice.choice((0.0, 0.0, 1.0)),
            monitor_s=dice.choice((0.0, 0.3, 2.0)),
            max_failure_ratio=dice.choice((0.0, 0.0, 0.3, 1.0)),
            failure_action=dice.choice(list(FailureAction)),
        )
        if self._draws("start first", dice, 0.7):
            policy = structs.replace(policy, order=UpdateOrder.START_FIRST)
        if self._draws("canaries", dice, 0.5):
            policy = structs.replace(policy, canary=dice.choice((1, 2)))
        return policy

    def _task(
        self, spec: ServiceSpec, force_update: int, dice: Random, others: Sequence[str]
    ) -> TaskSpec:
        return TaskSpec(
            container=self._container(dice, is_job=spec.is_job),
            reservations=self._reservations(dice),
            restart=self._restart(dice, is_job=spec.is_job),
            placement=self._placement(dice, others),
            depends_on=self._dependencies(dice, others),
            priority=dice.choice((0, 10, 50)) if self._draws("priorities", dice, 1.0) else 0,
            force_update=force_update,
            networks=attached("host") if _is_on_nodes(spec) else (),
        )

    def _container(self, dice: Random, *, is_job: bool) -> ContainerSpec:
        kind = FINITE if is_job else "app"
        if dice.random() < 0.1:
            kind = CRASHING
        health = Healthcheck()
        if self._draws("checks", dice, 0.5):
            health = Healthcheck(test=("CMD", "true"))
            if dice.random() < 0.2:
                kind = ILL
        return ContainerSpec(
            image=f"{kind}:1", health=health, stop_grace_s=dice.choice((0.5, 2.0, 10.0))
        )

    def _reservations(self, dice: Random) -> Resources:
        generic: tuple[GenericResource, ...] = ()
        if self._draws("generic", dice, 0.4):
            generic = (GenericResource(kind=dice.choice(("gpu", "disk")), count=1),)
        if not self._draws("reservations", dice, 0.8):
            return Resources(generic=generic)
        return Resources(
            cpu_millis=dice.choice((0, 200, 500, 900)),
            memory_bytes=dice.choice((0, 0, 1 << 28, 1 << 30)),
            generic=generic,
        )

    def _restart(self, dice: Random, *, is_job: bool) -> RestartPolicy:
        policy = RestartPolicy(delay_s=dice.choice((0.0, 0.0, 0.5, 2.0)))
        condition = dice.choice((RestartCondition.ON_FAILURE, RestartCondition.NONE))
        if not self._draws("restarts", dice, 0.4):
            condition = RestartCondition.ON_FAILURE if is_job else RestartCondition.ANY
        elif condition is RestartCondition.NONE and not is_job:
            condition = RestartCondition.ON_FAILURE
        most = dice.choice((0, 0, 3)) if is_job else 0
        return structs.replace(policy, condition=condition, max_attempts=most)

    def _placement(self, dice: Random, others: Sequence[str]) -> Placement:
        constraints = ("node.labels.zone==east",)
        affinity = Affinity(
            service=dice.choice(others) if others else "nobody",
            anti=dice.random() < 0.5,
            required=dice.random() < 0.5,
        )
        return Placement(
            constraints=constraints if self._draws("constraints", dice, 0.4) else (),
            max_replicas_per_node=dice.choice((1, 2)) if self._draws("limits", dice, 0.4) else 0,
            preferences=("node.labels.zone",) if self._draws("preferences", dice, 0.5) else (),
            affinities=(affinity,) if self._draws("affinities", dice, 0.4) else (),
            tolerations=(Toleration(key="dedicated", any_value=True),)
            if self._draws("taints", dice, 0.4)
            else (),
            strategy=Strategy.BINPACK if self._draws("binpack", dice, 0.5) else Strategy.SPREAD,
        )

    def _dependencies(self, dice: Random, others: Sequence[str]) -> tuple[Dependency, ...]:
        if not others or not self._draws("dependencies", dice, 0.4):
            return ()
        conditions = (DependencyCondition.RUNNING, DependencyCondition.COMPLETE)
        return (Dependency(service=dice.choice(others), condition=dice.choice(conditions)),)

    def _endpoint(self, dice: Random) -> EndpointSpec:
        if not self._draws("ports", dice, 0.5):
            return EndpointSpec()
        number = dice.choice((8080, 8081))
        return EndpointSpec(ports=(Port(target=number, published=number, mode=PublishMode.HOST),))

    def _published(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """Ports that every node has, and how its name is answered; they stay what they are."""
        if "networks" not in self._features or spec.endpoint.ports:
            return spec
        ports = (Port(target=80), Port(target=53, protocol=Protocol.UDP))
        endpoint = EndpointSpec(
            mode=dice.choice((EndpointMode.VIP, EndpointMode.VIP, EndpointMode.DNSRR)),
            ports=ports[: dice.choice((0, 0, 1, 2))],
        )
        return structs.replace(spec, endpoint=endpoint)

    def _within_networks(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """Tasks that do not have their nodes' network are in some of the swarm's."""
        if "networks" not in self._features or spec.task.is_on_host:
            return spec
        names = dice.choice(((), ("back",), ("back",), ("front",), ("front", "back")))
        return structs.replace(spec, task=structs.replace(spec.task, networks=attached(*names)))

    def _draws(self, feature: str, dice: Random, probability: float) -> bool:
        """Whether this one has a feature, if the run does."""
        draws = dice.random() < probability
        return draws and feature in self._features


def works(spec: ServiceSpec) -> bool:
    """Whether its containers run, as far as the image goes."""
    return image_works(spec.task.container.image)


def _is_on_nodes(spec: ServiceSpec) -> bool:
    """Whether it publishes ports of the nodes that its tasks are on."""
    return any(each.mode is PublishMode.HOST for each in spec.endpoint.ports)
