"""Serve what may be seen of containers: which there are, and all of one."""

import time
from collections.abc import Collection, Mapping

from engine import replies
from engine.containers import inspection, links, listing
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import images_pb2
from swarm.errors import Missing, SwarmError
from swarm.images.config import parse_config


async def list_containers(ask: Exchange) -> Reply:
    """GET /containers/json"""
    sized = ask.query.flag("size")
    asked = listing.Listing(
        filters=ask.query.filters(), every=ask.query.flag("all"), limit=ask.query.integer("limit")
    )
    views = (
        await ask.backends.containers.ListContainers(pb.ListContainersRequest(sizes=sized))
    ).containers
    wanted = asked.filters.get("ancestor", ())
    ancestors = await _descendants(ask, views, wanted)
    chosen = listing.choose(views, asked, ancestors=ancestors)
    ids = await image_ids(ask)
    now, linked = time.time(), links.linked_names(views)
    return replies.json(
        [
            listing.write_line(
                view,
                also=linked.get(view.id, ()),
                image=listing.image_name(view, ids),
                sized=sized,
                now=now,
                version=ask.version,
            )
            for view in chosen
        ]
    )


async def inspect_container(ask: Exchange) -> Reply:
    """GET /containers/{name}/json"""
    sized = ask.query.flag("size")
    found = await inspected(ask, size=sized)
    return replies.json(
        inspection.write_inspection(
            found,
            exec_ids=ask.execs.of_container(found.container.id),
            with_size=sized,
            version=ask.version,
        )
    )


async def list_processes(ask: Exchange) -> Reply:
    """GET /containers/{name}/top"""
    arguments = ask.query.text("ps_args").split()
    found = await ask.backends.containers.ListContainerProcesses(
        pb.ListContainerProcessesRequest(container=ask.params["name"], arguments=arguments)
    )
    return replies.json(
        {
            "Titles": list(found.titles),
            "Processes": [list(row.fields) for row in found.rows],
        }
    )


async def inspected(ask: Exchange, *, size: bool = False) -> pb.InspectContainerResponse:
    """The container that the path names; raises `Missing`."""
    request = pb.InspectContainerRequest(container=ask.params["name"], size=size)
    return await ask.backends.containers.InspectContainer(request)


async def image_ids(ask: Exchange) -> Mapping[str, str] | None:
    """What each name of an image means now; None when nobody can say."""
    try:
        found = await ask.backends.images.ListImages(images_pb2.ListImagesRequest())
    except SwarmError:
        return None  # what containers are made from is then called as it was
    return {name: image.id for image in found.images for name in image.references}


async def _descendants(
    ask: Exchange, views: listing.Views, wanted: Collection[str]
) -> Mapping[str, frozenset[str]]:
    """The images of containers that begin with all the layers of each image that is wanted."""
    found: dict[str, frozenset[str]] = {}
    if not wanted:
        return found
    layers = {image_id: await _layers(ask, image_id) for image_id in {v.image_id for v in views}}
    for text in wanted:
        base = await _layers(ask, text)
        found[text] = frozenset(
            image_id
            for image_id, own in layers.items()
            if image_id == text or (base and own[: len(base)] == base)
        )
    return found


async def _layers(ask: Exchange, name: str) -> tuple[str, ...]:
    try:
        found = await ask.backends.images.InspectImage(images_pb2.InspectImageRequest(name=name))
        return parse_config(found.config_json).diff_ids
    except Missing:
        return ()


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/containers/json", list_containers),
    Route("GET", "/containers/{name}/json", inspect_container),
    Route("GET", "/containers/{name}/top", list_processes),
)
