"""Answer who asks whether anybody is there."""

from engine import replies
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route

# Clients read here which builder to use: `1` is the one behind /build.
_HEADERS = {
    "Builder-Version": "1",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
}


async def ping(ask: Exchange) -> Reply:
    """Say that we are here."""
    return replies.text("OK", headers=_HEADERS)


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/_ping", ping),
    Route("HEAD", "/_ping", ping),
)
