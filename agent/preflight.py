"""Tell beforehand why this node could not run a task.

Only what is certain is said: a path with a template in it is not judged before the template
is filled in, and an image that is not here may still be pulled, which the asker decides.
"""

from collections.abc import Callable

from agent.rights import Fences, absent_devices, unfit
from agent.volumes import absent, sources
from swarm.specs import TaskSpec


def problems(
    spec: TaskSpec,
    *,
    is_there: Callable[[str], bool],
    has_image: bool,
    fences: Fences,
    why_not_a_device: Callable[[str], str],
) -> tuple[str, ...]:
    """Every problem with its path in the spec; none when the task would run."""
    found = [] if has_image else ["container.image: not on this node"]
    found += [
        f"{source.field}: {absent(source)}"
        for source in sources(spec.container.mounts)
        if not is_there(source.path)
    ]
    found += absent_devices(spec.container.devices, why_not_a_device)
    found += unfit(spec, fences)
    return tuple(found)
