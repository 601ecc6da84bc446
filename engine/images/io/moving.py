"""Serve images that come and go: pulled, pushed, loaded, saved and imported."""

from collections.abc import AsyncIterator

from engine import progress
from engine.images import names
from engine.images.io.fetching import fetch
from engine.images.moving import check_platform, login, newness, repository_tags
from engine.io.backends import ending
from engine.io.exchange import Exchange, Handler
from engine.routing import Route
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing, SwarmError
from swarm.images.reference import Reference, parse_reference

TAR = "application/x-tar"


async def create_image(ask: Exchange) -> None:
    """POST /images/create"""
    check_platform(ask.query.text("platform"))
    if image := ask.query.text("fromImage"):
        tag = ask.query.text("tag")
        for reference in await _wanted(ask, image, tag):
            await _pull(ask, reference)
    elif source := ask.query.text("fromSrc"):
        await _import(ask, source)
    else:
        raise Invalid("fromImage: say which image to pull, or with fromSrc where to import from")


async def push_image(ask: Exchange) -> None:
    """POST /images/{name}/push"""
    found = (await ask.backends.images.ListImages(pb.ListImagesRequest())).images
    for reference in repository_tags(found, ask.params["name"], ask.query.text("tag")):
        await _push(ask, reference)


async def load_images(ask: Exchange) -> None:
    """POST /images/load"""

    async def requests() -> AsyncIterator[pb.LoadImageRequest]:
        async for chunk in ask.body():
            yield pb.LoadImageRequest(chunk=chunk)

    try:
        loaded = await ask.backends.images.LoadImage(requests())
    except (Invalid, Missing) as err:
        # Clients look for what is wrong with an archive where they look for progress.
        await ask.begin()
        await ask.write_json(progress.failure(err))
        return
    await ask.begin()
    for name in loaded.references:
        what = "Loaded image ID" if name.startswith("sha256:") else "Loaded image"
        await ask.write_json({"stream": f"{what}: {name}\n"})


async def save_image(ask: Exchange) -> None:
    """GET /images/{name}/get"""
    await _save(ask, (ask.params["name"],))


async def save_images(ask: Exchange) -> None:
    """GET /images/get"""
    wanted = tuple(name for text in ask.query.texts("names") for name in text.split(",") if name)
    if not wanted:
        raise Invalid("names: say which images to save")
    await _save(ask, wanted)


async def _wanted(ask: Exchange, image: str, tag: str) -> list[Reference]:
    """What is to be pulled: all that a repository has where nobody says a tag."""
    named = names.asked(image, tag)
    if tag or named.digest or parse_reference(image).tag:
        return [named]
    request = pb.ListTagsRequest(reference=named.name, registry_auth=_login(ask))
    tags = (await ask.backends.images.ListTags(request)).tags
    return [names.asked(image, each) for each in tags]


async def _pull(ask: Exchange, reference: Reference) -> None:
    before = await _image_id(ask, str(reference))
    request = pb.PullImageRequest(reference=str(reference), registry_auth=_login(ask))
    try:
        async with ending(ask.backends.images.PullImage(request)) as notices:
            async for notice in notices:
                if not ask.has_begun:
                    await ask.begin()
                    short = reference.repository
                    if reference.registry != "docker.io":
                        short = reference.familiar_name.partition("/")[2]
                    line = progress.status(
                        f"Pulling from {short}", subject=reference.tag or reference.digest
                    )
                    await ask.write_json(line)
                if notice.layer:
                    await ask.write_json(
                        progress.pulling(
                            notice.layer, notice.status, notice.current_bytes, notice.total_bytes
                        )
                    )
                if notice.HasField("image"):
                    for text in newness(reference, notice.image, before):
                        await ask.write_json(progress.status(text))
    except SwarmError as err:
        await _fail(ask, err)


async def _import(ask: Exchange, source: str) -> None:
    repository, tag = ask.query.text("repo"), ask.query.text("tag")
    first = pb.ImportImageRequest(
        reference=str(names.asked(repository, tag)) if repository else "",
        changes=[line for text in ask.query.texts("changes") for line in text.splitlines()],
        message=ask.query.text("message"),
    )

    async def requests() -> AsyncIterator[pb.ImportImageRequest]:
        yield first
        async with ending(ask.body() if source == "-" else fetch(source)) as chunks:
            async for chunk in chunks:
                yield pb.ImportImageRequest(chunk=chunk)

    made = await ask.backends.images.ImportImage(requests())
    await ask.begin()
    await ask.write_json(progress.status(made.id))


async def _push(ask: Exchange, reference: Reference) -> None:
    request = pb.PushImageRequest(reference=str(reference), registry_auth=_login(ask))
    try:
        async with ending(ask.backends.images.PushImage(request)) as notices:
            async for notice in notices:
                if not ask.has_begun:
                    await ask.begin()
                    text = f"The push refers to repository [{reference.name}]"
                    await ask.write_json(progress.status(text))
                if notice.layer:
                    await ask.write_json(
                        progress.pushing(
                            notice.layer,
                            notice.status,
                            notice.current_bytes,
                            notice.total_bytes,
                            notice.origin,
                        )
                    )
                if notice.digest:
                    await _tell_pushed(ask, reference, notice)
    except SwarmError as err:
        await _fail(ask, err)


async def _tell_pushed(ask: Exchange, reference: Reference, notice: pb.PushImageResponse) -> None:
    tag, digest, size = reference.tag, notice.digest, notice.total_bytes
    await ask.write_json(progress.status(f"{tag}: digest: {digest} size: {size}"))
    aux = {"Tag": tag, "Digest": digest, "Size": size}
    await ask.write_json({"progressDetail": {}, "aux": aux})


def _login(ask: Exchange) -> str:
    return login(ask.head.headers.get("x-registry-auth", ""))


async def _save(ask: Exchange, wanted: tuple[str, ...]) -> None:
    for name in wanted:
        await _require(ask, name)
    async with ending(ask.backends.images.SaveImages(pb.SaveImagesRequest(names=wanted))) as found:
        async for piece in found:
            if not ask.has_begun:
                await ask.begin(content_type=TAR)
            await ask.write(piece.chunk)
    if not ask.has_begun:
        await ask.begin(content_type=TAR)


async def _require(ask: Exchange, name: str) -> None:
    if not await _image_id(ask, name):
        raise names.absent(name)


async def _image_id(ask: Exchange, name: str) -> str:
    try:
        found = await ask.backends.images.InspectImage(pb.InspectImageRequest(name=name))
    except Missing:
        return ""
    return found.image.id


async def _fail(ask: Exchange, error: SwarmError) -> None:
    """Before anything was said an error is a status, afterwards it is a line."""
    if not ask.has_begun:
        raise error
    await ask.write_json(progress.failure(error))


ROUTES: tuple[Route[Handler], ...] = (
    Route("POST", "/images/create", create_image),
    Route("POST", "/images/load", load_images),
    Route("GET", "/images/get", save_images),
    Route("GET", "/images/{name:path}/get", save_image),
    Route("POST", "/images/{name:path}/push", push_image),
)
