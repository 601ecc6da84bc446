"""Translate a node's spec between Docker's API and ours.

Role and availability must be said, as Docker has it. Taints and how long a drain waits are ours,
and stay as they were `before` unless a client speaks of them (decision 0037).
"""

from engine.services.words import nanoseconds, ordered, read_word, seconds, word
from engine.wire.nodes import NodeSpecJson, TaintJson
from swarm.errors import Invalid
from swarm.specs import Availability, NodeSpec, Role, Taint, TaintEffect


def read_node(asked: NodeSpecJson, before: NodeSpec) -> NodeSpec:
    """The node that a client asks for."""
    for name, value in (("Role", asked.role), ("Availability", asked.availability)):
        if not value:
            raise Invalid(f'{name}: invalid {name}: "{value}"', hint="send the whole spec")
    timeout = asked.drain_timeout
    return NodeSpec(
        name=asked.name,
        role=read_word("Role", asked.role, Role, Role.WORKER),
        availability=read_word(
            "Availability", asked.availability, Availability, Availability.ACTIVE
        ),
        labels=asked.labels or {},
        taints=before.taints
        if asked.taints is None
        else tuple(_taint(f"Taints[{index}]", each) for index, each in enumerate(asked.taints)),
        drain_timeout_s=before.drain_timeout_s if timeout is None else seconds(timeout),
    )


def write_node(spec: NodeSpec) -> NodeSpecJson:
    """A node's spec as Docker's clients read it."""
    return NodeSpecJson(
        name=spec.name,
        labels=ordered(spec.labels),
        role=spec.role.word,
        availability=spec.availability.word,
        taints=tuple(
            TaintJson(key=each.key, value=each.value, effect=word(each.effect))
            for each in spec.taints
        )
        or None,
        drain_timeout=nanoseconds(spec.drain_timeout_s) or None,
    )


def _taint(path: str, asked: TaintJson) -> Taint:
    effect = read_word(f"{path}.Effect", asked.effect, TaintEffect, TaintEffect.NO_SCHEDULE)
    return Taint(key=asked.key, value=asked.value, effect=effect)
