"""Serve images: what there is, and what is done to it here."""

import time

from engine import replies
from engine.images import inspection, listing, names
from engine.images.moving import login
from engine.io.exchange import Exchange, Handler
from engine.refusals import NOT_IMPLEMENTED, Denied
from engine.replies import Reply
from engine.routing import Route
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing


async def list_images(ask: Exchange) -> Reply:
    """GET /images/json"""
    found = (await ask.backends.images.ListImages(pb.ListImagesRequest())).images
    filters = dict(ask.query.filters())
    if wanted := ask.query.text("filter"):  # of old
        filters["reference"] = (*filters.get("reference", ()), wanted)
    chosen = listing.choose(found, filters, every=ask.query.flag("all"), now=time.time())
    return replies.json([listing.write_line(each, version=ask.version) for each in chosen])


async def inspect_image(ask: Exchange) -> Reply:
    """GET /images/{name}/json"""
    found = await _inspected(ask)
    return replies.json(inspection.write_inspection(found, version=ask.version))


async def image_history(ask: Exchange) -> Reply:
    """GET /images/{name}/history"""
    return replies.json(inspection.write_history(await _inspected(ask)))


async def tag_image(ask: Exchange) -> Reply:
    """POST /images/{name}/tag"""
    repository = ask.query.text("repo")
    if not repository:
        raise Invalid("repo: say what the image is to be called")
    target = names.asked(repository, ask.query.text("tag"))
    if target.digest:
        raise Invalid("refusing to create a tag with a digest reference")
    source = (await _inspected(ask)).image.id
    await ask.backends.images.TagImage(pb.TagImageRequest(source=source, target=str(target)))
    return replies.nothing(201)


async def remove_image(ask: Exchange) -> Reply:
    """DELETE /images/{name}"""
    request = pb.RemoveImageRequest(
        name=ask.params["name"],
        force=ask.query.flag("force"),
        keep_parents=ask.query.flag("noprune"),
    )
    try:
        removed = await ask.backends.images.RemoveImage(request)
    except Missing as err:
        raise names.absent(ask.params["name"]) from err
    return replies.json(_removal(list(removed.untagged), list(removed.deleted)))


async def prune_images(ask: Exchange) -> Reply:
    """POST /images/prune"""
    found = (await ask.backends.images.ListImages(pb.ListImagesRequest())).images
    chosen = listing.to_prune(found, ask.query.filters(), now=time.time())
    removed = await ask.backends.images.PruneImages(pb.PruneImagesRequest(names=chosen))
    return replies.json(
        {
            "ImagesDeleted": _removal(list(removed.untagged), list(removed.deleted)) or None,
            "SpaceReclaimed": removed.reclaimed_bytes,
        }
    )


async def search_images(ask: Exchange) -> Reply:
    """GET /images/search"""
    raise Denied(
        NOT_IMPLEMENTED,
        "search: images are not searched for here, since no registry but Docker's own answers",
        hint="look at the registry's own page, then pull by name",
    )


async def inspect_distribution(ask: Exchange) -> Reply:
    """GET /distribution/{name}/json"""
    request = pb.InspectDistributionRequest(
        reference=ask.params["name"],
        registry_auth=login(ask.head.headers.get("x-registry-auth", "")),
    )
    found = await ask.backends.images.InspectDistribution(request)
    return replies.json(inspection.write_distribution(found))


async def _inspected(ask: Exchange) -> pb.InspectImageResponse:
    name = ask.params["name"]
    try:
        return await ask.backends.images.InspectImage(pb.InspectImageRequest(name=name))
    except Missing as err:
        raise names.absent(name) from err


def _removal(untagged: list[str], deleted: list[str]) -> list[replies.JsonObject]:
    found = [{"Untagged": each} for each in untagged]
    return [*found, *({"Deleted": each} for each in deleted)]


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/images/json", list_images),
    Route("GET", "/images/search", search_images),
    Route("POST", "/images/prune", prune_images),
    Route("GET", "/images/{name:path}/json", inspect_image),
    Route("GET", "/images/{name:path}/history", image_history),
    Route("POST", "/images/{name:path}/tag", tag_image),
    Route("DELETE", "/images/{name:path}", remove_image),
    Route("GET", "/distribution/{name:path}/json", inspect_distribution),
)
