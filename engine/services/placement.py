"""Translate where tasks may run.

Docker knows constraints, what to spread over, a bound for each node, and platforms. Affinities,
tolerations and the strategy are ours, and stay as they were unless the client speaks of them.
"""

from msgspec import structs

from engine.services.words import read_word, word
from engine.wire.services import (
    AffinityJson,
    PlacementJson,
    PlatformJson,
    PreferenceJson,
    SpreadJson,
    TolerationJson,
)
from swarm.errors import Invalid
from swarm.specs import Affinity, Placement, Platform, Strategy, TaintEffect, Toleration


def read_placement(path: str, asked: PlacementJson, before: Placement) -> Placement:
    """The placement that a client asks for."""
    return structs.replace(
        before,
        constraints=asked.constraints,
        max_replicas_per_node=asked.max_replicas,
        preferences=tuple(
            _preference(f"{path}.Preferences[{index}]", each)
            for index, each in enumerate(asked.preferences)
        ),
        platforms=_platforms(asked.platforms),
        affinities=before.affinities
        if asked.affinities is None
        else tuple(map(_affinity, asked.affinities)),
        tolerations=before.tolerations
        if asked.tolerations is None
        else tuple(
            _toleration(f"{path}.Tolerations[{index}]", each)
            for index, each in enumerate(asked.tolerations)
        ),
        strategy=before.strategy
        if asked.strategy is None
        else read_word(f"{path}.Strategy", asked.strategy, Strategy, Strategy.SPREAD),
    )


def write_placement(placement: Placement) -> PlacementJson:
    """A placement as Docker's clients read it."""
    return PlacementJson(
        constraints=placement.constraints,
        preferences=tuple(
            PreferenceJson(spread=SpreadJson(spread_descriptor=each))
            for each in placement.preferences
        ),
        max_replicas=placement.max_replicas_per_node,
        platforms=tuple(
            PlatformJson(architecture=each.arch, os=each.os) for each in placement.platforms
        ),
        affinities=tuple(
            AffinityJson(
                service=each.service,
                anti=each.anti,
                required=each.required,
                topology=each.topology,
            )
            for each in placement.affinities
        )
        or None,
        tolerations=tuple(
            TolerationJson(
                key=each.key,
                value=each.value,
                any_value=each.any_value,
                effects=tuple(map(word, each.effects)),
            )
            for each in placement.tolerations
        )
        or None,
        strategy=word(placement.strategy) if placement.strategy is not Strategy.SPREAD else None,
    )


def _preference(path: str, asked: PreferenceJson) -> str:
    if asked.spread is None or not asked.spread.spread_descriptor:
        raise Invalid(
            f"{path}: says nothing to spread over",
            hint='write it like {"Spread": {"SpreadDescriptor": "node.labels.zone"}}',
        )
    return asked.spread.spread_descriptor


def _platforms(asked: tuple[PlatformJson, ...]) -> tuple[Platform, ...]:
    """None of them where one admits every node."""
    if any(not each.architecture and not each.os for each in asked):
        return ()
    return tuple(Platform(os=each.os, arch=each.architecture) for each in asked)


def _affinity(asked: AffinityJson) -> Affinity:
    return Affinity(
        service=asked.service,
        anti=bool(asked.anti),
        required=asked.required is not False,
        topology=asked.topology or "node.id",
    )


def _toleration(path: str, asked: TolerationJson) -> Toleration:
    return Toleration(
        key=asked.key,
        value=asked.value,
        any_value=bool(asked.any_value),
        effects=tuple(
            read_word(f"{path}.Effects[{index}]", each, TaintEffect, TaintEffect.NO_SCHEDULE)
            for index, each in enumerate(asked.effects)
        ),
    )
