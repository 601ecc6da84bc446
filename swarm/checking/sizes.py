"""Judge how large a spec is: the kernel, the store and every listing bear only so much.

A text that the kernel refuses would fail on each node for ever, and a spec is stored again with
each of its revisions and told to each node that runs a task of it. What is larger is a file:
configs and secrets are made for them.
"""

from collections.abc import Iterator

from msgspec import msgpack

from swarm.checking.basics import Problem
from swarm.quantities import format_memory
from swarm.specs import ServiceSpec

LONGEST_TEXT_BYTES = 128 << 10
"""MAX_ARG_STRLEN of execve(2), with the NUL that ends it."""
LARGEST_SPEC_BYTES = 1 << 20


def sizes(spec: ServiceSpec) -> Iterator[Problem]:
    """Each text that is given to execve, and the whole."""
    container = spec.task.container
    for kind in ("command", "args", "env"):
        for index, text in enumerate(getattr(container, kind)):
            size = len(text.encode(errors="surrogatepass"))
            if size >= LONGEST_TEXT_BYTES:
                yield (
                    f"task.container.{kind}[{index}]",
                    f"has {size} bytes, and the kernel takes less than {LONGEST_TEXT_BYTES}; "
                    "put it into a config",
                )
    total = _size(spec)
    if total > LARGEST_SPEC_BYTES:
        yield (
            _largest(spec),
            f"the whole service would have {format_memory(total)}, and "
            f"{format_memory(LARGEST_SPEC_BYTES)} is the most; put what is large into configs",
        )


def _largest(spec: ServiceSpec) -> str:
    """The path of what is largest of what may grow."""
    container = spec.task.container
    parts = {
        f"task.container.{name}": getattr(container, name) for name in container.__struct_fields__
    }
    parts |= {"labels": spec.labels, "task.placement.constraints": spec.task.placement.constraints}
    return max(parts, key=lambda path: _size(parts[path]))


def _size(value: object) -> int:
    try:
        return len(msgpack.encode(value))
    except UnicodeEncodeError:  # no text, and refused as such where it is sent
        return 0
