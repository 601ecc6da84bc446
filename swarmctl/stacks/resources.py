"""Read what a stack file declares beside its services: volumes, secrets and configs.

Services use these by the keys of the file; here is what each key stands for in the swarm. Networks
are read in `swarmctl.stacks.networks`.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeVar

from msgspec import Struct, field

from swarmctl.stacks.fields import Fields
from swarmctl.stacks.names import marked, scoped

V = TypeVar("V")


class Source(Enum):
    """Where the data of a secret or config comes from; EXTERNAL: it is there already."""

    EXTERNAL = "external"
    FILE = "file"
    ENVIRONMENT = "environment"
    CONTENT = "content"


class Volume(Struct, frozen=True, kw_only=True):
    """A volume as the mounts of a service name it."""

    name: str
    driver: str = ""
    options: dict[str, str] = field(default_factory=dict[str, str])
    labels: dict[str, str] = field(default_factory=dict[str, str])


class Content(Struct, frozen=True, kw_only=True):
    """A secret or config called `name`; `origin` is a path, a variable's name or the data."""

    name: str
    source: Source = Source.EXTERNAL
    origin: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    template_driver: str = ""


def read_volumes(stack: str, section: Fields) -> dict[str, Volume]:
    """The volumes by their keys."""

    def volume(key: str, fields: Fields) -> Volume:
        name, is_external = _name(stack, key, fields)
        driver = fields.text("driver") or ""
        options = {name: value or "" for name, value in fields.pairs("driver_opts").items()}
        labels = fields.labels("labels")
        if not is_external:
            return Volume(name=name, driver=driver, options=options, labels=marked(stack, labels))
        _nothing_else(fields, ("driver", "driver_opts", "labels"))
        return Volume(name=name)

    return _each(section, volume)


def read_contents(stack: str, section: Fields) -> dict[str, Content]:
    """The secrets, or the configs, by their keys."""

    def content(key: str, fields: Fields) -> Content:
        name, is_external = _name(stack, key, fields)
        origins = {each: fields.text(each.value) for each in Source if each is not Source.EXTERNAL}
        given = [each for each, origin in origins.items() if origin is not None]
        labels = fields.labels("labels")
        template_driver = fields.text("template_driver") or ""
        for driver in fields.ignored(("driver", "driver_opts")):
            fields.problem(driver, "there are no drivers for it here; give a file")
        if is_external:
            _nothing_else(fields, (*(each.value for each in origins), "labels", "template_driver"))
            return Content(name=name)
        if len(given) != 1:
            fields.problem("", "needs one of file, environment and content, or external: true")
            return Content(name=name)
        return Content(
            name=name,
            source=given[0],
            origin=origins[given[0]] or "",
            labels=marked(stack, labels),
            template_driver=template_driver,
        )

    return _each(section, content)


def _each(section: Fields, read: Callable[[str, Fields], V]) -> dict[str, V]:
    found: dict[str, V] = {}
    for key in section.names():
        fields = section.within(key)
        found[key] = read(key, fields)
        fields.done()
    return found


def _name(stack: str, key: str, fields: Fields) -> tuple[str, bool]:
    """What it is called, and whether it is there already."""
    given = fields.text("name")
    if isinstance(fields.value("external"), dict):
        inner = fields.within("external")
        older = inner.text("name")
        inner.done()
        return older or given or key, True
    if fields.boolean("external"):
        return given or key, True
    return given or scoped(stack, key), False


def _nothing_else(fields: Fields, names: tuple[str, ...]) -> None:
    for name in names:
        if name in fields:
            fields.problem(name, "means nothing for what is external; leave it out")
