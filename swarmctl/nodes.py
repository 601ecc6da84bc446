"""Turn the flags of `node update` into a node's next spec."""

from msgspec import Struct
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Availability, NodeSpec, Role, Taint
from swarmctl.edits import edited, read_all


class NodeFlags(Struct, frozen=True, kw_only=True):
    """`None` is a flag that was not given."""

    availability: str | None = None
    label_add: tuple[str, ...] = ()
    label_rm: tuple[str, ...] = ()
    role: str | None = None
    taint_add: tuple[str, ...] = ()
    taint_rm: tuple[str, ...] = ()
    drain_timeout: float | None = None


def updated(spec: NodeSpec, flags: NodeFlags) -> NodeSpec:
    """The next spec of a node that has `spec`."""
    for key in flags.label_rm:
        if key not in spec.labels:
            raise Invalid(f"--label-rm: the node has no label {key!r}", hint=_known(spec))
    labels = {key: value for key, value in spec.labels.items() if key not in flags.label_rm}
    for text in flags.label_add:
        key, _, value = text.partition("=")
        if not key or any(map(str.isspace, key)):
            raise Invalid(f"--label-add {text!r} is not KEY[=VALUE]", hint="like zone=east")
        labels[key] = value
    spec = replace(spec, labels=labels)
    if flags.availability is not None:
        spec = replace(spec, availability=Availability[flags.availability.upper()])
    if flags.role is not None:
        spec = replace(spec, role=Role[flags.role.upper()])
    if flags.drain_timeout is not None:
        spec = replace(spec, drain_timeout_s=flags.drain_timeout)
    if flags.taint_add or flags.taint_rm:
        spec = replace(spec, taints=_taints(spec.taints, flags))
    return spec


def _taints(old: tuple[Taint, ...], flags: NodeFlags) -> tuple[Taint, ...]:
    """A removal names a taint, or a key and so all its effects; one key and effect are one."""
    from swarm.wishes import parse_taint, print_taint

    kept = list(old)
    for text in flags.taint_rm:
        stay = [each for each in kept if text not in (each.key, print_taint(each))]
        if len(stay) == len(kept):
            known = ", ".join(map(print_taint, old)) or "none"
            raise Invalid(f"--taint-rm: the node has no taint {text!r}", hint=f"it has {known}")
        kept = stay
    added = read_all("--taint-add", parse_taint, flags.taint_add)
    return edited(kept, (), added, key=lambda each: (each.key, each.effect))


def _known(spec: NodeSpec) -> str:
    return f"it has {', '.join(sorted(spec.labels))}" if spec.labels else "it has none"
