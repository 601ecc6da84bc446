"""Say what a name means at its registry, without bringing anything of it here."""

from msgspec import Struct

from swarm.images.config import parse_config
from swarm.images.credentials import Credentials
from swarm.images.manifest import Manifest, is_image, parse_document
from swarm.images.platform import Platform
from swarm.images.reference import Reference
from swarm.io.registry import Registry


class Distribution(Struct, frozen=True, kw_only=True):
    """The manifest or index that a name means, and what it is offered for."""

    media_type: str
    digest: str
    size: int
    platforms: tuple[Platform, ...]


async def inspect(
    registry: Registry, reference: Reference, credentials: Credentials | None
) -> Distribution:
    """Ask the registry; raises `Missing`, `Refused`, `Unavailable` or `Invalid`."""
    found = await registry.manifest(reference, credentials=credentials)
    parsed = parse_document(found.body, what=reference.familiar)
    if isinstance(parsed, Manifest):
        body = await registry.small_blob(reference, parsed.config, credentials=credentials)
        platforms: tuple[Platform, ...] = (parse_config(body).platform,)
    else:
        platforms = tuple(
            entry.platform for entry in parsed.manifests if entry.platform and is_image(entry)
        )
    return Distribution(
        media_type=parsed.media_type or found.media_type,
        digest=found.digest,
        size=len(found.body),
        platforms=platforms,
    )
