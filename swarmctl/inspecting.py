"""Print inspected objects: as one JSON array, line by line through a template, or for people."""

import json
from collections.abc import Collection, Sequence

from swarmctl.pipes import Value, as_json
from swarmctl.templates import render, unescaped

PRETTY = "pretty"


def inspected(
    objects: Sequence[dict[str, Value]], *, form: str, optional: Collection[str] = ()
) -> str:
    """What `inspect` prints; `form` is what `--format` was given.

    Objects may leave out their `optional` fields, which templates may ask for all the same.
    """
    if not form:
        return json.dumps(objects, indent=4, ensure_ascii=False) + "\n"
    if form == "json":
        return as_json(objects) + "\n"
    return "".join(render(unescaped(form), each, optional=optional) + "\n" for each in objects)
