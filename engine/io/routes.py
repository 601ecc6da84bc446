"""Gather what is served. A line here is all that a new group of endpoints needs."""

from engine.builds.io import serving as builds
from engine.cluster.io import serving as cluster
from engine.containers.io import archives, joining, looking, managing, watching
from engine.contents.io import serving as contents
from engine.events.io import serving as events
from engine.execs.io import serving as execs
from engine.images.io import moving
from engine.images.io import serving as images
from engine.io.exchange import Handler
from engine.networks.io import serving as networks
from engine.nodes.io import serving as nodes
from engine.routing import Route
from engine.services.io import logs as service_logs
from engine.services.io import serving as services
from engine.system.io import probing
from engine.system.io import serving as system
from engine.tasks.io import serving as tasks
from engine.volumes.io import serving as volumes

ROUTES: tuple[Route[Handler], ...] = (
    *probing.ROUTES,
    *system.ROUTES,
    *events.ROUTES,
    *looking.ROUTES,
    *managing.ROUTES,
    *joining.ROUTES,
    *watching.ROUTES,
    *archives.ROUTES,
    *execs.ROUTES,
    *moving.ROUTES,
    *images.ROUTES,
    *builds.ROUTES,
    *networks.ROUTES,
    *volumes.ROUTES,
    *cluster.ROUTES,
    *nodes.ROUTES,
    *services.ROUTES,
    *service_logs.ROUTES,
    *tasks.ROUTES,
    *contents.ROUTES,
)
