"""Name what belongs to a stack, and mark it.

Everything of a stack is called `STACK_NAME` and has a label that says so; that label alone tells
what belongs to it. What is external, or has a name of its own, is called as it is.
"""

import re
from collections.abc import Mapping

from swarm.errors import Invalid

NAMESPACE = "com.docker.stack.namespace"
IMAGE = "com.docker.stack.image"

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*", re.IGNORECASE)


def check_stack(name: str) -> str:
    """`name`, if a stack may be called that."""
    if not _NAME.fullmatch(name):
        raise Invalid(
            f"a stack cannot be called {name!r}",
            hint="use letters, digits, - and _, and begin with a letter or a digit",
        )
    return name


def scoped(stack: str, name: str) -> str:
    """What `name` is called in the swarm."""
    return f"{stack}_{name}"


def marked(stack: str, labels: Mapping[str, str]) -> dict[str, str]:
    """The labels of something that belongs to the stack."""
    return {**labels, NAMESPACE: stack}
