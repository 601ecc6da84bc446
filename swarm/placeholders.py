"""Name what a template of a service may hold: `{{.Task.Slot}}`, `{{.Node.Hostname}}`.

A service's label is `{{.Service.Labels.zone}}`, or `{{index .Service.Labels "com.example.zone"}}`
when there are dots in its name, as in Docker's templates. Only the names listed here exist.
Nodes fill them in; whoever checks a spec only asks which of them nobody could.
"""

import re
from collections.abc import Iterator, Mapping

PLACE = re.compile(r"\{\{(.*?)\}\}")
PLACE_IN_FILE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
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

_FOR_SOME = re.compile(
    r"""(?:env|secret|config|index \.Service\.Labels) "[^"]*"|\.Service\.Labels\.[^\s.]+"""
)
"""Names in files that one service has and another has not."""


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


def broken_templates(text: str) -> Iterator[str]:
    """What is wrong with each template of a file that no task of any service could fill in.

    It is told by its line, not by its text: the file may be a secret.
    """
    for found in PLACE_IN_FILE.finditer(text):
        name = " ".join(found[1].split())
        if name not in NAMES and not _FOR_SOME.fullmatch(name):
            yield f"{_place(text, found.start())} is none that there is"
    if (opened := _unclosed(text)) is not None:
        yield f"{_place(text, opened)} is never closed"


def _place(text: str, at: int) -> str:
    line = text.count("\n", 0, at) + 1
    return f"the template on line {line}"


def _unclosed(text: str) -> int | None:
    last = text.rfind("{{")
    return None if last < 0 or "}}" in text[last:] else last
