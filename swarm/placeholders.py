"""Name what a template of a service may hold: `{{.Task.Slot}}`, `{{.Node.Hostname}}`.

A service's label is `{{.Service.Labels.zone}}`, or `{{index .Service.Labels "com.example.zone"}}`
when there are dots in its name, as in Docker's templates. Only the names listed here exist.
Nodes fill them in; whoever checks a spec only asks which of them nobody could.
"""

import re
from collections.abc import Mapping

PLACE = re.compile(r"\{\{(.*?)\}\}")
NAMES = (
    ".Service.ID",
    ".Service.Name",
    ".Node.ID",
    ".Node.Hostname",
    ".Node.Platform.OS",
    ".Node.Platform.Architecture",
    ".Task.ID",
    ".Task.Name",
    ".Task.Slot",
)


def label_names(labels: Mapping[str, str]) -> dict[str, str]:
    """The values of a service's labels, under each name that a template has for them."""
    found: dict[str, str] = {}
    for key, value in sorted(labels.items()):
        if "." not in key:
            found[f".Service.Labels.{key}"] = value
        found[f'index .Service.Labels "{key}"'] = value
    return found


def unknown_names(text: str, labels: Mapping[str, str]) -> tuple[str, ...]:
    """The names in `text` that no task of a service with these labels could fill in."""
    if "{{" not in text:
        return ()
    known = {*NAMES, *label_names(labels)}
    found = (each.strip() for each in PLACE.findall(text))
    return tuple(name for name in dict.fromkeys(found) if name not in known)
