"""Say in which groups below the container's own `exec` is to run a program.

`--cgroup PATH` means all hierarchies, `--cgroup CONTROLLER[,...]:PATH` those of cgroup v1 that
have these controllers. They must exist: whoever divides a container's group makes them.
"""

import msgspec

from runtime.cgroups.layout import Layout
from runtime.plan import Plan
from runtime.steps import ContainerStep, JoinCgroup
from swarm.errors import Invalid


def subgroups(asked: tuple[str, ...], layout: Layout) -> dict[str, str]:
    """By the root of each hierarchy, the path below the container's group. Raises `Invalid`."""
    found: dict[str, str] = {}
    for text in asked:
        controllers, colon, path = text.rpartition(":")
        names = [each for each in path.split("/") if each not in ("", ".")]
        if ".." in names:
            raise Invalid(f"--cgroup: must not contain .., is {text}")
        for root in _roots(controllers, layout) if colon else layout.hierarchies:
            found[root] = "/".join(names)
    return found


def _roots(controllers: str, layout: Layout) -> list[str]:
    found: list[str] = []
    for name in controllers.split(","):
        root = layout.v1.get(name)
        if root is None:
            raise Invalid(
                f"--cgroup: no hierarchy of {name or 'nothing'} here",
                hint="leave the controller out to mean all of them",
            )
        found.append(root)
    return found


def redirected(plan: Plan, group: str, by_root: dict[str, str]) -> Plan:
    """`plan` with its process in the subgroups of `group`, where one is asked for."""

    def step(each: ContainerStep) -> ContainerStep:
        if not isinstance(each, JoinCgroup):
            return each
        below = by_root.get(each.path.removesuffix(f"/{group}"), "")
        return JoinCgroup(f"{each.path}/{below}") if below else each

    return msgspec.structs.replace(plan, container=tuple(map(step, plan.container)))
