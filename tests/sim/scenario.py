"""Draw a whole run from a seed, as a list of happenings that can be cut short.

A scenario says everything that distinguishes one run from another: how many machines there
are, what operators do and when, which faults befall whom, and how often requests and
containers fail. Each happening brings dice of its own, so leaving one out does not change
what the others do. Every seed has only some of the features and faults: those that all runs
have together hide what two of them do alone.
"""

from collections.abc import Mapping
from random import Random

from msgspec import Struct

from manager.groups import OWN_ETCD
from manager.store import Limits


class Happening(Struct, frozen=True, kw_only=True):
    """Something that befalls the cluster: a command or a fault, by name, of its own dice."""

    number: int
    at: float
    what: str
    dice: int

    def __str__(self) -> str:
        return f"#{self.number} {self.what}"


class Scenario(Struct, frozen=True, kw_only=True):
    """One run. `quiet` are faults of `rates` that do not happen, by name and number."""

    seed: int
    managers: int
    nodes: int
    lasts_s: float
    happenings: tuple[Happening, ...]
    features: frozenset[str]
    rates: Mapping[str, float]
    quiet: frozenset[tuple[str, int]] = frozenset()
    operations: int = OWN_ETCD.operations
    history: int = 5
    most_starts: int = 1000

    @property
    def limits(self) -> Limits:
        """What the store takes in one commit."""
        return Limits(operations=self.operations, bytes=OWN_ETCD.bytes)


COMMANDS: dict[str, int] = {
    "create": 25,
    "scale": 20,
    "update": 25,
    "remove": 8,
    "change node": 15,
}
"""What operators do, and how often beside each other."""

OPTIONAL_COMMANDS: dict[str, int] = {
    "promote": 10,
    "roll back": 10,
    "rebalance": 15,
    "evict": 10,
    "autoscale": 15,
    "trigger": 10,
}
"""The same, of commands that only some runs have."""

FEATURES: tuple[str, ...] = (
    "affinities",
    "autoscaling",
    "binpack",
    "canaries",
    "checks",
    "constraints",
    "dependencies",
    "generic",
    "globals",
    "jobs",
    "limits",
    "ports",
    "preferences",
    "priorities",
    "reservations",
    "restarts",
    "schedules",
    "start first",
    "taints",
)
"""What services may have."""

LATER_FEATURES: tuple[str, ...] = ("networks",)
"""The same; drawn apart, so that seeds without them stay the runs that they were."""

FAULTS: dict[str, int] = {
    "containers exit": 4,
    "agent dies": 2,
    "host dies": 2,
    "node is cut off": 3,
    "node is not heard": 1,
    "node hears nothing": 1,
    "manager dies": 3,
    "manager dies in a commit": 3,
    "manager is cut from etcd": 2,
    "manager hears nothing of etcd": 1,
    "node cannot reach a manager": 1,
    "etcd stops": 2,
    "etcd is slow": 2,
    "etcd's disk fails": 1,
    "etcd forgets its history": 2,
    "lease is lost": 2,
    "manager's clock is set": 1,
    "node's clock is set": 1,
    "registry fails": 2,
    "disk is slow": 1,
    "disk is full": 1,
    "node leaves": 1,
    "node joins": 1,
    "node is removed": 1,
}
"""What befalls the cluster, and how often beside each other."""

RATES: dict[str, float] = {
    "request is lost": 0.01,
    "answer is lost": 0.01,
    "request is given up and done late": 0.004,
    "conflict": 0.02,
    "disk error": 0.5,
    "message is slow": 0.02,
    "status comes twice": 0.05,
    "preparing fails": 0.02,
    "preparing is slow": 0.05,
    "start fails": 0.02,
    "container crashes at once": 0.04,
    "container crashes later": 0.05,
    "container is done": 0.05,
    "container ignores signals": 0.1,
    "container hangs when killed": 0.03,
    "check never passes": 0.05,
    "check fails later": 0.05,
}
"""How often small things go wrong, where a run has them."""

USUAL_S = 25.0
LONG_S = 190.0
"""How long faults last: usually, and where there is a schedule that fires each minute."""


def draw(seed: int) -> Scenario:
    """The run of a seed."""
    random = Random(f"scenario/{seed}")
    share = random.choice((0.2, 0.4, 0.6))
    features = frozenset(each for each in FEATURES if random.random() < share)
    for each in LATER_FEATURES:
        if Random(f"{each}/{seed}").random() < 0.4:
            features |= {each}
    lasts_s = LONG_S if {"jobs", "schedules"} <= features else USUAL_S
    pace = lasts_s / USUAL_S
    commands = _some(random, OPTIONAL_COMMANDS, 0.5) | COMMANDS
    faults = _some(random, FAULTS, 0.5)
    drawn = [(at, "create") for at in (0.9, 1.5)]
    drawn += _times(random, commands, 1.0, lasts_s, 0.1 * pace, 2.0 * pace)
    if faults:
        drawn += _times(random, faults, 2.0, lasts_s, 0.2 * pace, 3.0 * pace)
    return Scenario(
        seed=seed,
        managers=random.randint(1, 3),
        nodes=random.randint(1, 5),
        lasts_s=lasts_s,
        happenings=tuple(
            Happening(number=number, at=at, what=what, dice=random.getrandbits(32))
            for number, (at, what) in enumerate(sorted(drawn), 1)
        ),
        features=features,
        rates={
            name: rate * random.choice((0.3, 1.0, 1.0, 3.0))
            for name, rate in RATES.items()
            if random.random() < 0.5
        },
        operations=random.choice((16, 40, OWN_ETCD.operations, OWN_ETCD.operations)),
        history=random.choice((0, 1, 2, 5)),
        most_starts=random.choice((2, 1000, 1000)),
    )


def _some(random: Random, weights: Mapping[str, int], probability: float) -> dict[str, int]:
    return {name: weight for name, weight in weights.items() if random.random() < probability}


def _times(
    random: Random, weights: Mapping[str, int], at: float, until: float, least: float, most: float
) -> list[tuple[float, str]]:
    """Moments from `at` on, and what happens then."""
    names, found = list(weights), list[tuple[float, str]]()
    while (at := at + random.uniform(least, most)) < until:
        found.append((at, random.choices(names, list(weights.values()))[0]))
    return found
