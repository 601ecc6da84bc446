"""Decide what is pulled and pushed, and what is said of it afterwards."""

import platform as machine
from collections.abc import Iterable, Iterator

from engine.images import names
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing
from swarm.images.credentials import parse_registry_auth
from swarm.images.platform import platform_of
from swarm.images.reference import Reference, parse_reference

_SYSTEMS = ("linux", "windows", "darwin", "freebsd")


def login(header: str) -> str:
    """`X-Registry-Auth`, or nothing where it is no login.

    Docker asks as nobody then, and clients count on it: there has to be such a header with a
    push, so who has no login writes whatever comes to his mind.
    """
    try:
        parse_registry_auth(header)
    except Invalid:
        return ""
    return header


def check_platform(text: str) -> None:
    """Refuse images of another platform than this node's: it could not run them."""
    own = platform_of(machine.machine())
    wanted = text.lower().split("/") if text else []
    has = (own.os, own.architecture, own.variant)
    if len(wanted) == 1 and wanted[0] == own.architecture:
        return
    if len(wanted) == 1 and wanted[0] not in _SYSTEMS:
        raise Invalid(
            f'"{text}": unknown operating system or architecture: invalid argument',
            hint=f"this node is {own}",
        )
    for part, mine in zip(wanted, has, strict=False):
        if part and mine and part != mine:
            raise Invalid(f"platform: images of {text} do not run here", hint=f"this node is {own}")


def newness(reference: Reference, image: pb.Image, before: str) -> Iterator[str]:
    """What is said at the end of a pull; `before` is the image that the name meant."""
    yield f"Digest: {image.digest}"
    is_old = before == image.id
    what = "Image is up to date" if is_old else "Downloaded newer image"
    yield f"Status: {what} for {reference.familiar}"


def repository_tags(images: Iterable[pb.Image], name: str, tag: str) -> list[Reference]:
    """What is to be pushed: one tag, or all that a repository has here."""
    wanted = parse_reference(name)
    if tag or wanted.tag or wanted.digest:
        return [names.asked(name, tag)]
    found = [
        reference
        for image in images
        for reference in map(parse_reference, image.references)
        if reference.name == wanted.name and reference.tag
    ]
    if not found:
        raise Missing(f"An image does not exist locally with the tag: {wanted.familiar_name}")
    return sorted(found, key=str)
