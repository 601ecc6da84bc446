"""Read placement constraints: `node.labels.zone == east`, `node.role != manager`.

Values compare without regard to case, and so do the attributes' own names; the name of a
label is exact, because labels that differ only in case are different labels. A label that a
node does not have equals the empty value: `!=` holds for it and `==` does not. There are no
globs: `*` is an ordinary character. Machine names have one spelling (`amd64` is `x86_64`).
Some wishes of a task are constraints that nobody wrote: `constraints_of` knows them.
"""

import re
from functools import lru_cache

from msgspec import Struct

from swarm.errors import Invalid
from swarm.objects import Node
from swarm.specs import TaskSpec

_ATTRIBUTES = (
    "node.id",
    "node.hostname",
    "node.role",
    "node.platform.os",
    "node.platform.arch",
    "node.userns",
)
_LABELS = ("node.labels.", "engine.labels.")
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64", "386": "i386", "i686": "i386"}
_LABEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")
_VALUE = re.compile(r"[A-Za-z0-9:_\s.*()?+\[\]\\^$|/@-]+")
_ROLES = ("worker", "manager")
_USERNS = ("host", "remapped")

_NAMES = (
    "node.id, node.hostname, node.role, node.platform.os, node.platform.arch, node.userns, "
    "node.labels.NAME or engine.labels.NAME"
)
_ATTRIBUTE_HINT = f"use {_NAMES}"
_HINT = f"write ATTRIBUTE==VALUE or ATTRIBUTE!=VALUE with {_NAMES}"


class Constraint(Struct, frozen=True, kw_only=True):
    """`attribute` is canonical and `value` folded; `negated` is `!=`."""

    attribute: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        return f"{self.attribute}{'!=' if self.negated else '=='}{self.value}"

    def admits(self, node: Node) -> bool:
        """Whether a task with this constraint may be on `node`."""
        return (attribute_of(node, self.attribute) == self.value) is not self.negated


OWN_IDS = Constraint(attribute="node.userns", value="host")
"""Containers have the host's own ids; on other nodes `swarmd --userns-remap` gave them others."""


def parse(text: str) -> Constraint:
    """Read one constraint; `Invalid` says which half is wrong."""
    found = re.search(r"==|!=", text)
    if found is None:
        raise Invalid(f"constraint {text!r} has neither == nor !=", hint=_HINT)
    attribute = _attribute(text, text[: found.start()].strip())
    value = text[found.end() :].strip()
    if not _VALUE.fullmatch(value):
        problem = f"value {value!r} has unusual characters" if value else "the value is empty"
        raise Invalid(f"constraint {text!r}: {problem}", hint=_HINT)
    folded = fold(attribute, value)
    if attribute == "node.role" and folded not in _ROLES:
        raise Invalid(
            f"constraint {text!r}: there is no role {value!r}", hint="use worker or manager"
        )
    if attribute == "node.userns" and folded not in _USERNS:
        raise Invalid(f"constraint {text!r}: {value!r} is neither", hint="use host or remapped")
    return Constraint(attribute=attribute, value=folded, negated=found.group() == "!=")


def constraints_of(spec: TaskSpec) -> tuple[Constraint, ...]:
    """Those that its operator wrote, and those that follow from what else it asks for."""
    found = parse_stored(spec.placement.constraints)
    container = spec.container
    needs_own_ids = container.privileged or spec.is_on_host
    if needs_own_ids and not container.host_user_namespace:
        return (*found, OWN_IDS)
    return found


@lru_cache(maxsize=1024)
def parse_stored(texts: tuple[str, ...]) -> tuple[Constraint, ...]:
    """Read constraints that were accepted once; one that cannot be read admits no node.

    Refusing belongs before a spec is stored. After it, a spec that nobody can read must not
    stop the planning of everything else.
    """
    return tuple(map(_parse_or_refuse, texts))


def attribute_of(node: Node, attribute: str) -> str:
    """What `node` has for a canonical attribute, folded as values are; empty when it has not."""
    for prefix in _LABELS:
        if attribute.startswith(prefix):
            labels = (
                node.spec.labels if prefix == "node.labels." else node.description.engine_labels
            )
            return labels.get(attribute.removeprefix(prefix), "").casefold()
    match attribute:
        case "node.id":
            return node.id.casefold()
        case "node.hostname":
            return node.description.hostname.casefold()
        case "node.role":
            return node.spec.role.word
        case "node.platform.os":
            return node.description.os.casefold()
        case "node.userns":
            return "remapped" if node.description.remaps_ids else "host"
        case _:
            return fold("node.platform.arch", node.description.arch)


def fold(attribute: str, value: str) -> str:
    """A value in the one spelling that nodes and wishes are compared in."""
    folded = value.casefold()
    return _ARCHITECTURES.get(folded, folded) if attribute == "node.platform.arch" else folded


def canonical(attribute: str) -> str:
    """The one spelling of an attribute that nodes have; `Invalid` when they have no such."""
    for prefix in _LABELS:
        if attribute.casefold().startswith(prefix):
            name = attribute[len(prefix) :]
            if not _LABEL_NAME.fullmatch(name):
                raise Invalid(f"label name {name!r} is malformed", hint=_ATTRIBUTE_HINT)
            return prefix + name
    if attribute.casefold() not in _ATTRIBUTES:
        raise Invalid(f"nodes have no attribute {attribute!r}", hint=_ATTRIBUTE_HINT)
    return attribute.casefold()


def spread_over(attribute: str) -> str:
    """What tasks are spread over: an attribute, or a label of nodes by its bare name.

    Docker's users write bare names there, and mean labels. What begins as an attribute does, and is
    none, is `Invalid`: it would spread nothing.
    """
    is_bare = not attribute.casefold().startswith(("node.", "engine."))
    if is_bare and _LABEL_NAME.fullmatch(attribute):
        return f"node.labels.{attribute}"
    return canonical(attribute)


def _attribute(text: str, attribute: str) -> str:
    try:
        return canonical(attribute)
    except Invalid as err:
        raise Invalid(f"constraint {text!r}: {err.message}", hint=_HINT) from err


def _parse_or_refuse(text: str) -> Constraint:
    try:
        return parse(text)
    except Invalid:
        return Constraint(attribute="node.id", value=text)
