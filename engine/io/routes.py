"""Gather what is served. A line here is all that a new group of endpoints needs."""

from engine.io.exchange import Handler
from engine.routing import Route
from engine.system.io import probing

ROUTES: tuple[Route[Handler], ...] = (*probing.ROUTES,)
