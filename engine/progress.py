"""Tell how far something is in the lines of JSON that Docker's clients draw bars from."""

from engine.refusals import words_of
from engine.replies import JsonObject
from swarm.errors import SwarmError
from swarm.quantities import format_size

_WIDTH = 50
_SHORT = 12
_PULL = {
    "waiting": "Pulling fs layer",
    "downloading": "Downloading",
    "verifying": "Verifying Checksum",
    "extracting": "Extracting",
    "done": "Pull complete",
    "exists": "Already exists",
}
_PUSH = {
    "waiting": "Waiting",
    "preparing": "Preparing",
    "pushing": "Pushing",
    "pushed": "Pushed",
    "exists": "Layer already exists",
    "mounted": "Mounted",
}


def pulling(layer: str, status: str, current: int, total: int) -> JsonObject:
    """How far a layer of a pull is."""
    return _layer(layer, _PULL.get(status, status), current, total)


def pushing(layer: str, status: str, current: int, total: int, origin: str = "") -> JsonObject:
    """How far a layer of a push is; `origin` is the repository that it was mounted from."""
    text = _PUSH.get(status, status)
    return _layer(layer, f"{text} from {origin}" if origin else text, current, total)


def status(text: str, *, subject: str = "") -> JsonObject:
    """A line that stays."""
    return {"status": text} | ({"id": subject} if subject else {})


def failure(error: SwarmError, *, code: int = 0) -> JsonObject:
    """Why it ends here: too late for a status of HTTP's."""
    words = words_of(error)
    detail: JsonObject = {"message": words} | ({"code": code} if code else {})
    return {"errorDetail": detail, "error": words}


def _layer(layer: str, text: str, current: int, total: int) -> JsonObject:
    found: JsonObject = {"status": text, "progressDetail": {}, "id": short(layer)}
    if total > 0 and current < total:
        found["progressDetail"] = {"current": current, "total": total}
        found["progress"] = _bar(current, total)
    return found


def short(digest: str) -> str:
    """A digest as users read it."""
    return digest.rpartition(":")[2][:_SHORT]


def _bar(current: int, total: int) -> str:
    done = min(_WIDTH, current * _WIDTH // total)
    line = f"[{'=' * done}{'>' if done < _WIDTH else ''}{' ' * (_WIDTH - done)}]"
    return f"{line} {format_size(current):>8}/{format_size(total)}"
