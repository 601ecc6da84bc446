"""Turn the flags of `node update` into a node's next spec."""

from msgspec import Struct
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Availability, NodeSpec, Role


class NodeFlags(Struct, frozen=True, kw_only=True):
    """`None` is a flag that was not given."""

    availability: str | None = None
    label_add: tuple[str, ...] = ()
    label_rm: tuple[str, ...] = ()
    role: str | None = None


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
    return spec


def _known(spec: NodeSpec) -> str:
    return f"it has {', '.join(sorted(spec.labels))}" if spec.labels else "it has none"
