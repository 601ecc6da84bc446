"""Read and write what tasks wish of nodes, and what nodes say of themselves.

Constraints have a module of their own; these are all other wishes, each in the one spelling
that flags take, `inspect` prints and `parse_` reads back. Reading is strict, because a wish that
was misread places tasks where nobody looks for them. Names of services, labels and kinds of
resources are exact; words of ours (`soft`, effects) may be in any case.
"""

import re
from collections import Counter
from collections.abc import Iterable

from swarm.constraints import canonical, fold
from swarm.errors import Invalid
from swarm.specs import (
    Affinity,
    GenericResource,
    Platform,
    Taint,
    TaintEffect,
    Toleration,
)

_SERVICE = re.compile(r"[A-Za-z0-9](?:[-_]*[A-Za-z0-9]+)*")
_KEY = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_./-]*[A-Za-z0-9])?")
_VALUE = re.compile(r"[A-Za-z0-9_./-]*")
_KIND = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9_./:@-]+")
_PLATFORM_PART = re.compile(r"[A-Za-z0-9_.-]+")
_EFFECTS = {effect.name.lower().replace("_", "-"): effect for effect in TaintEffect}
_MOST = 2**31 - 1

_AFFINITY_HINT = (
    "write service==NAME or service!=NAME, and after it ,topology=node.labels.rack or ,soft"
)
_PREFERENCE_HINT = "write spread=node.labels.zone"
_TAINT_HINT = f"write KEY[=VALUE]:EFFECT with one of {', '.join(_EFFECTS)}"
_TOLERATION_HINT = f"write KEY[=VALUE][:EFFECT], :EFFECT or * with one of {', '.join(_EFFECTS)}"
_RESERVATION_HINT = "write KIND=COUNT, such as gpu=2"
_NODE_GENERIC_HINT = "write KIND=COUNT, or KIND=NAME once for each thing there is"
_PLATFORM_HINT = "write OS/ARCHITECTURE, such as linux/amd64"


def parse_affinity(text: str) -> Affinity:
    """`service==db`, `service!=web,topology=node.labels.rack`, `service==cache,soft`."""
    head, *options = (piece.strip() for piece in text.split(","))
    found = re.fullmatch(r"service\s*(==|!=)\s*(.*)", head, re.IGNORECASE)
    if found is None:
        raise Invalid(
            f"affinity {text!r} does not begin with service== or service!=", hint=_AFFINITY_HINT
        )
    service = found[2]
    if not _SERVICE.fullmatch(service):
        raise Invalid(
            f"affinity {text!r}: {service!r} is not the name of a service", hint=_AFFINITY_HINT
        )
    topology, required = "", True
    for option in options:
        key, equals, value = (each.strip() for each in option.partition("="))
        if key.casefold() == "soft" and not equals:
            required = False
        elif key.casefold() == "topology" and not topology:
            topology = _attribute(f"affinity {text!r}", value)
        else:
            raise Invalid(f"affinity {text!r} has no place for {option!r}", hint=_AFFINITY_HINT)
    return Affinity(
        service=service,
        anti=found[1] == "!=",
        required=required,
        topology=topology or "node.id",
    )


def print_affinity(wish: Affinity) -> str:
    """As `parse_affinity` reads it."""
    topology = f",topology={wish.topology}" if wish.topology != "node.id" else ""
    soft = "" if wish.required else ",soft"
    return f"service{'!=' if wish.anti else '=='}{wish.service}{topology}{soft}"


def parse_preference(text: str) -> str:
    """The attribute of `spread=node.labels.zone`."""
    strategy, equals, attribute = (each.strip() for each in text.partition("="))
    if strategy.casefold() != "spread" or not equals:
        raise Invalid(f"preference {text!r} does not begin with spread=", hint=_PREFERENCE_HINT)
    return _attribute(f"preference {text!r}", attribute)


def print_preference(attribute: str) -> str:
    """As `parse_preference` reads it."""
    return f"spread={attribute}"


def parse_taint(text: str) -> Taint:
    """`gpu:no-schedule`, `team=red:no-execute`."""
    rest, colon, effect = text.strip().rpartition(":")
    if not colon:
        raise Invalid(f"taint {text!r} has no effect", hint=_TAINT_HINT)
    key, _, value = rest.partition("=")
    what = f"taint {text!r}"
    _check(what, "key", _KEY, key, _TAINT_HINT)
    _check(what, "value", _VALUE, value, _TAINT_HINT)
    return Taint(key=key, value=value, effect=_effect(what, effect, _TAINT_HINT))


def print_taint(taint: Taint) -> str:
    """As `parse_taint` reads it."""
    value = f"={taint.value}" if taint.value else ""
    return f"{taint.key}{value}:{effect_word(taint.effect)}"


def parse_toleration(text: str) -> Toleration:
    """`team=red`, `gpu:no-schedule`, `:no-execute`, `*`."""
    stripped = text.strip()
    what = f"toleration {text!r}"
    if stripped == "*":
        return Toleration(any_value=True)
    rest, colon, effect = stripped.partition(":")
    effects = (_effect(what, effect, _TOLERATION_HINT),) if colon else ()
    if not rest and colon:
        return Toleration(any_value=True, effects=effects)
    key, equals, value = rest.partition("=")
    _check(what, "key", _KEY, key, _TOLERATION_HINT)
    _check(what, "value", _VALUE, value, _TOLERATION_HINT)
    return Toleration(key=key, value=value, any_value=not equals, effects=effects)


def print_toleration(toleration: Toleration) -> str:
    """As `parse_toleration` reads it; several effects, which no flag can say, are all named."""
    value = "" if toleration.any_value else f"={toleration.value}"
    effects = ",".join(map(effect_word, toleration.effects))
    printed = f"{toleration.key}{value}{':' if effects else ''}{effects}"
    return printed or "*"


def bears(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether one of these puts up with `taint`."""
    return any(
        each.key in ("", taint.key)
        and (each.any_value or each.value == taint.value)
        and (not each.effects or taint.effect in each.effects)
        for each in tolerations
    )


def unborne(
    tolerations: Iterable[Toleration], taints: Iterable[Taint], *effects: TaintEffect
) -> tuple[Taint, ...]:
    """The taints with one of these effects that nothing puts up with."""
    borne = tuple(tolerations)
    return tuple(each for each in taints if each.effect in effects and not bears(borne, each))


def effect_word(effect: TaintEffect) -> str:
    """The effect as users type it."""
    return effect.name.lower().replace("_", "-")


def parse_reservation(text: str) -> GenericResource:
    """A task's wish, `gpu=2`: which ones it gets is decided when it is placed."""
    kind, count = _pair(f"generic resource {text!r}", text, _RESERVATION_HINT)
    if not count.isascii() or not count.isdecimal() or not 1 <= int(count) <= _MOST:
        raise Invalid(
            f"generic resource {text!r}: {count!r} is not a number from 1 on",
            hint=_RESERVATION_HINT,
        )
    return GenericResource(kind=kind, count=int(count))


def print_reservation(wish: GenericResource) -> str:
    """As `parse_reservation` reads it."""
    return f"{wish.kind}={wish.count}"


def parse_node_generics(texts: Iterable[str]) -> tuple[GenericResource, ...]:
    """What a node has, `ssd=4` or `gpu=UUID1` `gpu=UUID2`, sorted by kind."""
    counts: dict[str, list[int]] = {}
    names: dict[str, list[str]] = {}
    for text in texts:
        what = f"generic resource {text!r}"
        kind, value = _pair(what, text, _NODE_GENERIC_HINT)
        if value.isascii() and value.isdecimal():
            counts.setdefault(kind, []).append(int(value))
        else:
            _check(what, "name", _NAME, value, _NODE_GENERIC_HINT)
            names.setdefault(kind, []).append(value)
    for kind in sorted(counts.keys() & names.keys()):
        raise Invalid(
            f"generic resource {kind} has both a count and names", hint=_NODE_GENERIC_HINT
        )
    for kind, given in sorted(counts.items()):
        if len(given) > 1 or given[0] > _MOST:
            raise Invalid(
                f"generic resource {kind} is counted {' and '.join(map(str, given))}",
                hint=f"say {kind}=COUNT once, up to {_MOST}",
            )
    for kind, each in sorted(names.items()):
        twice = [name for name, times in Counter(each).items() if times > 1]
        if twice:
            raise Invalid(f"generic resource {kind} has {twice[0]} twice", hint=_NODE_GENERIC_HINT)
    found = {kind: GenericResource(kind=kind, count=given[0]) for kind, given in counts.items()}
    found |= {kind: GenericResource(kind=kind, names=tuple(each)) for kind, each in names.items()}
    return tuple(found[kind] for kind in sorted(found))


def print_node_generics(have: Iterable[GenericResource]) -> tuple[str, ...]:
    """As `parse_node_generics` reads them."""
    found: list[str] = []
    for each in have:
        found += [f"{each.kind}={name}" for name in each.names] or [print_reservation(each)]
    return tuple(found)


def parse_platform(text: str) -> Platform:
    """`linux/amd64`; a variant, as in `linux/arm64/v8`, says nothing that nodes could answer."""
    pieces = text.strip().split("/")
    if len(pieces) not in (2, 3) or not all(map(_PLATFORM_PART.fullmatch, pieces)):
        raise Invalid(f"platform {text!r} is not an os and an architecture", hint=_PLATFORM_HINT)
    return Platform(os=pieces[0].lower(), arch=pieces[1].lower())


def print_platform(platform: Platform) -> str:
    """As `parse_platform` reads it; a half that admits all is `*`."""
    return f"{platform.os or '*'}/{platform.arch or '*'}"


def same_platform(wish: Platform, *, os: str, arch: str) -> bool:
    """Whether a node of this system and architecture runs what was built for `wish`."""
    return (not wish.os or wish.os.casefold() == os.casefold()) and (
        not wish.arch or fold("node.platform.arch", wish.arch) == fold("node.platform.arch", arch)
    )


def _attribute(what: str, text: str) -> str:
    try:
        return canonical(text)
    except Invalid as err:
        raise Invalid(f"{what}: {err.message}", hint=err.hint) from err


def _effect(what: str, text: str, hint: str) -> TaintEffect:
    found = _EFFECTS.get(text.strip().casefold())
    if found is None:
        raise Invalid(f"{what}: there is no effect {text!r}", hint=hint)
    return found


def _pair(what: str, text: str, hint: str) -> tuple[str, str]:
    kind, equals, value = (each.strip() for each in text.partition("="))
    if not equals or not value:
        raise Invalid(f"{what} says of what but not how many or which", hint=hint)
    _check(what, "kind", _KIND, kind, hint)
    return kind, value


def _check(what: str, part: str, form: re.Pattern[str], text: str, hint: str) -> None:
    if not form.fullmatch(text):
        problem = f"{part} {text!r} has unusual characters" if text else f"it has no {part}"
        raise Invalid(f"{what}: {problem}", hint=hint)
