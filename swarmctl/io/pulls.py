"""Fetch an image and show how far each layer is."""

from swarm.api.v1 import images_pb2
from swarm.images.reference import parse_reference
from swarmctl.io.credentials import registry_auth
from swarmctl.io.painting import Canvas
from swarmctl.io.session import Session
from swarmctl.pulling import Layer, Pull


def pull_image(session: Session, text: str, *, quiet: bool, beside: bool = False) -> None:
    """Have this host's agent fetch the image `text`; `beside`: show it beside the output."""
    say = session.warn if beside else session.say
    reference = parse_reference(text).with_default_tag()
    request = images_pb2.PullImageRequest(
        reference=str(reference), registry_auth=registry_auth(text)
    )
    if not quiet:
        say(f"{reference.tag or reference.digest}: Pulling from {reference.familiar_name}")
    pull, canvas, image = Pull(), Canvas(session), images_pb2.Image()
    for answer in session.images.pull(request):
        if answer.layer:
            line = pull.seen(_layer(answer))
            if not quiet and canvas.is_live:
                canvas.paint(pull.lines(columns=session.columns()))
            elif not quiet and line:
                say(line)
        if answer.HasField("image"):
            image = answer.image
    canvas.leave()
    if not quiet:
        say(f"Digest: {image.digest}")
        news = "Downloaded newer image for" if pull.is_new else "Image is up to date for"
        say(f"Status: {news} {reference.familiar}")
    if not beside:
        say(str(reference))


def push_image(session: Session, text: str, *, quiet: bool) -> None:
    """Have this host's agent give the image `text` to its registry."""
    reference = parse_reference(text).with_default_tag()
    request = images_pb2.PushImageRequest(
        reference=str(reference), registry_auth=registry_auth(text)
    )
    if not quiet:
        session.say(f"The push refers to repository [{reference.name}]")
    push, canvas, digest, total = Pull(), Canvas(session), "", 0
    for answer in session.images.push(request):
        if answer.layer:
            line = push.seen(_pushed(answer))
            if not quiet and canvas.is_live:
                canvas.paint(push.lines(columns=session.columns()))
            elif not quiet and line:
                session.say(line)
        if answer.digest:
            digest, total = answer.digest, answer.total_bytes
    canvas.leave()
    if quiet:
        session.say(str(reference))
    else:
        session.say(f"{reference.tag}: digest: {digest} size: {total}")


def _pushed(answer: images_pb2.PushImageResponse) -> Layer:
    return Layer(
        digest=answer.layer,
        status=answer.status,
        current_bytes=answer.current_bytes,
        total_bytes=answer.total_bytes,
    )


def _layer(answer: images_pb2.PullImageResponse) -> Layer:
    return Layer(
        digest=answer.layer,
        status=answer.status,
        current_bytes=answer.current_bytes,
        total_bytes=answer.total_bytes,
    )
