"""Draw what operators ask for: services with some of the features that a run has."""

from collections.abc import Collection
from random import Random

from msgspec import structs

from swarm.specs import (
    ContainerSpec,
    Global,
    Healthcheck,
    Mode,
    Placement,
    Replicated,
    Resources,
    RestartCondition,
    RestartPolicy,
    ServiceSpec,
    TaskSpec,
    UpdatePolicy,
)
from tests.sim.node import CRASHING, ILL

MOST_REPLICAS = 8


class Wishes:
    """What operators of a run may wish for; `features` as in `scenario.FEATURES`."""

    def __init__(self, features: Collection[str]) -> None:
        self._features = features

    def service(self, name: str, dice: Random) -> ServiceSpec:
        """A new service."""
        return ServiceSpec(
            name=name,
            mode=self.mode(dice),
            task=self.task(0, dice),
            update=self.policy(dice),
            rollback=self.policy(dice),
        )

    def mode(self, dice: Random) -> Mode:
        """Of which kind a service is."""
        if self._draws("globals", dice, 0.4):
            return Global()
        return Replicated(replicas=dice.randint(0, 6))

    def renewed(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """The same service, of another version."""
        task = self.task(spec.task.force_update + 1, dice)
        if dice.random() < 0.3:
            spec = structs.replace(spec, update=self.policy(dice), rollback=self.policy(dice))
        return structs.replace(spec, task=task)

    def mended(self, spec: ServiceSpec) -> ServiceSpec:
        """The same service, with an image that works."""
        container = structs.replace(spec.task.container, image="app:2")
        return structs.replace(spec, task=structs.replace(spec.task, container=container))

    def scaled(self, spec: ServiceSpec, dice: Random) -> ServiceSpec:
        """The same service, of another size; the same spec where it has none."""
        if isinstance(spec.mode, Replicated):
            replicas = dice.randint(0, MOST_REPLICAS)
            return structs.replace(spec, mode=Replicated(replicas=replicas))
        return spec

    def policy(self, dice: Random) -> UpdatePolicy:
        """How a new version is rolled out."""
        return UpdatePolicy(
            parallelism=dice.choice((0, 1, 1, 2)), delay_s=dice.choice((0.0, 0.0, 1.0))
        )

    def task(self, force_update: int, dice: Random) -> TaskSpec:
        """What its tasks are."""
        condition = RestartCondition.ANY
        if self._draws("restarts", dice, 0.4):
            condition = RestartCondition.ON_FAILURE
        return TaskSpec(
            container=self._container(dice),
            reservations=self._reservations(dice),
            restart=RestartPolicy(condition=condition, delay_s=dice.choice((0.0, 0.0, 0.5, 2.0))),
            placement=Placement(
                constraints=("node.labels.zone==east",)
                if self._draws("constraints", dice, 0.4)
                else (),
            ),
            force_update=force_update,
        )

    def _container(self, dice: Random) -> ContainerSpec:
        kind = "app"
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
        if not self._draws("reservations", dice, 0.8):
            return Resources()
        return Resources(
            cpu_millis=dice.choice((0, 200, 500, 900)),
            memory_bytes=dice.choice((0, 0, 1 << 28, 1 << 30)),
        )

    def _draws(self, feature: str, dice: Random, probability: float) -> bool:
        """Whether this one has a feature, if the run does."""
        draws = dice.random() < probability
        return draws and feature in self._features


def works(spec: ServiceSpec) -> bool:
    """Whether its containers run, as far as the image goes."""
    image = spec.task.container.image
    return CRASHING not in image and ILL not in image
