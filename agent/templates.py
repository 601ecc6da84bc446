"""Fill in what is different for each task: `{{.Task.Slot}}`, `{{.Node.Hostname}}`.

The names are those of `swarm.placeholders`. Anything else between double braces is refused
rather than passed on: a path or a host name with braces in it is never what somebody wanted.
"""

import re
from collections.abc import Mapping

from msgspec import Struct

from swarm.errors import Invalid
from swarm.ids import NodeId
from swarm.objects import Task
from swarm.placeholders import PLACE, label_names


class Host(Struct, frozen=True, kw_only=True):
    """The node as templates and containers see it."""

    node_id: NodeId
    hostname: str
    os: str = "linux"
    arch: str = ""


def task_name(task: Task) -> str:
    """`web.3.<id>`; a global service's tasks carry the node instead of a slot."""
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"


def names(task: Task, labels: Mapping[str, str], host: Host) -> dict[str, str]:
    """Every name that a template of this task may use; `labels` are its service's."""
    return label_names(labels) | {
        ".Service.ID": task.service_id,
        ".Service.Name": task.service_name,
        ".Node.ID": host.node_id,
        ".Node.Hostname": host.hostname,
        ".Node.Platform.OS": host.os,
        ".Node.Platform.Architecture": host.arch,
        ".Task.ID": task.id,
        ".Task.Name": task_name(task),
        ".Task.Slot": str(task.slot),
    }


def expand(text: str, values: Mapping[str, str], *, path: str) -> str:
    """Fill `text` in; `Invalid` names `path` and the unknown name."""
    if "{{" not in text:
        return text

    def value(found: re.Match[str]) -> str:
        name = found[1].strip()
        if name not in values:
            raise Invalid(
                f"{path}: there is no {{{{{name}}}}}", hint=f"use one of {', '.join(values)}"
            )
        return values[name]

    return PLACE.sub(value, text)
