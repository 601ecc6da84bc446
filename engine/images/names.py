"""Sort what images are called into what Docker's clients tell apart: tags and digests."""

from collections.abc import Iterable

from engine.versions import Version
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing
from swarm.images.reference import Reference, parse_reference

_NAMELESS_UNTIL = Version(1, 43)


def tags(image: pb.Image) -> list[str]:
    """`busybox:latest`."""
    return [each.familiar for each in _references(image.references) if each.tag]


def digests(image: pb.Image) -> list[str]:
    """`busybox@sha256:...`: what a registry calls it."""
    found = [
        f"{each.familiar_name}@{each.digest}"
        for each in _references(image.references)
        if each.digest
    ]
    if not image.local and image.digest:
        found += [
            f"{each.familiar_name}@{image.digest}"
            for each in _references(image.references)
            if not each.digest
        ]
    return list(dict.fromkeys(found))


def shown(image: pb.Image, version: Version) -> tuple[list[str], list[str]]:
    """Tags and digests; what has neither was once called `<none>`."""
    found = tags(image), digests(image)
    if version < _NAMELESS_UNTIL and not any(found):
        return ["<none>:<none>"], ["<none>@<none>"]
    return found


def asked(repository: str, tag: str) -> Reference:
    """The reference of two parameters, of which the second may be a tag, a digest or neither."""
    if tag.startswith("sha256:"):
        return parse_reference(f"{repository}@{tag}")
    return parse_reference(f"{repository}:{tag}" if tag else repository).with_default_tag()


def absent(name: str) -> Missing:
    """What is said of an image that is not here, with the tag that nobody wrote."""
    try:
        return Missing(f"No such image: {parse_reference(name).with_default_tag().familiar}")
    except Invalid:
        return Missing(f"No such image: {name}")


def _references(texts: Iterable[str]) -> list[Reference]:
    found: list[Reference] = []
    for text in texts:
        try:
            found.append(parse_reference(text))
        except Invalid:
            continue
    return found
