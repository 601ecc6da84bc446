"""Find who answers a request, by its method and path.

A template's `{name}` stands for one piece of a path, and `{name:path}` for any number of them, as
names of images have. Routes are tried in the order in which they are written down.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

from msgspec import Struct

H = TypeVar("H")

_PLACE = re.compile(r"\{(\w+)(:path)?\}")


class Route(Struct, Generic[H], frozen=True):
    """`handler` answers requests of `method` for paths like `template`."""

    method: str
    template: str
    handler: H


class Match(Struct, Generic[H], frozen=True):
    """A route, and what stands in its path's places."""

    route: Route[H]
    params: Mapping[str, str]


class Router(Generic[H]):
    """A table of routes, compiled."""

    def __init__(self, routes: Iterable[Route[H]]) -> None:
        self._exact: dict[tuple[str, str], Route[H]] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route[H]]]] = {}
        for route in routes:
            if "{" not in route.template:
                self._exact[route.method, route.template] = route
                continue
            key = (route.method, _first(route.template))
            self._patterns.setdefault(key, []).append((_pattern(route.template), route))

    def find(self, method: str, path: str) -> Match[H] | None:
        """Who answers `method` for `path`, which is decoded and has no version."""
        exact = self._exact.get((method, path))
        if exact is not None:
            return Match(exact, {})
        for pattern, route in self._patterns.get((method, _first(path)), ()):
            found = pattern.fullmatch(path)
            if found is not None:
                return Match(route, found.groupdict())
        return None


def _first(path: str) -> str:
    return path.split("/", 2)[1] if path.startswith("/") else ""


def _pattern(template: str) -> re.Pattern[str]:
    text, position = "", 0
    for place in _PLACE.finditer(template):
        text += re.escape(template[position : place.start()])
        text += f"(?P<{place[1]}>{'.+' if place[2] else '[^/]+'})"
        position = place.end()
    return re.compile(text + re.escape(template[position:]), re.DOTALL)
