"""`swarmctl image …`: the images on this host."""

from collections.abc import Sequence

import click

from swarm.errors import Invalid
from swarmctl import completing, options
from swarmctl.commands.service import each
from swarmctl.io.session import Session
from swarmctl.lazy import Command, alias

_images = click.argument(
    "images", nargs=-1, required=True, metavar="IMAGE...", shell_complete=completing.images
)


@click.command("ls", cls=Command)
@click.argument("pattern", required=False, metavar="[NAME[:TAG]]")
@options.listing_flags
@click.option("--digests", is_flag=True, help="Show digests")
@click.option("--no-trunc", is_flag=True, help="Print ids in full")
@click.pass_obj
def ls(
    session: Session,
    /,
    *,
    pattern: str | None,
    filters: Sequence[str],
    form: str,
    quiet: bool,
    digests: bool,
    no_trunc: bool,
) -> None:
    """List the images on this host."""
    from swarmctl.filters import IMAGE_TESTS, parse_filters, selected
    from swarmctl.rows import IMAGES, IMAGES_WITH_DIGESTS, Detail, image_rows
    from swarmctl.tables import listed

    wanted = (*filters, f"reference={pattern}") if pattern else tuple(filters)
    parse_filters(wanted, known=IMAGE_TESTS)
    images = selected(session.images.list(), wanted, IMAGE_TESTS)
    rows = list(image_rows(images, Detail(full=no_trunc), now=session.now()))
    if quiet:
        rows = list({row["ID"]: row for row in rows}.values())
    listing = IMAGES_WITH_DIGESTS if digests else IMAGES
    session.write(listed(rows, listing, form=form, quiet=quiet))


@click.command("load", cls=Command)
@click.option("-i", "--input", "path", default="-", metavar="FILE", help="Archive (default: stdin)")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress")
@click.pass_obj
def load(session: Session, /, *, path: str, quiet: bool) -> None:
    """Take in images from an archive: of `docker save`, or an OCI layout."""
    from swarmctl.io.archives import chunks, opened
    from swarmctl.rows import Detail, image_name

    with opened(path, flag="--input FILE") as source:
        answer = session.images.load(chunks(session, source, quiet=quiet))
    for name in answer.references:
        session.say(f"Loaded image: {image_name(name, Detail())}")


@click.command("import", cls=Command)
@click.argument("path", metavar="FILE|-")
@click.argument("reference", required=False, metavar="[NAME[:TAG]]")
@options.changes
@click.option("-m", "--message", default="", help="Remark in the image's history")
@click.pass_obj
def import_(
    session: Session,
    /,
    *,
    path: str,
    reference: str | None,
    changes: Sequence[str],
    message: str,
) -> None:
    """Make an image from the tar of a root file system."""
    from swarm.api.v1 import images_pb2
    from swarm.images.reference import parse_reference
    from swarmctl.io.archives import chunks, opened

    if "://" in path:
        raise Invalid(f"{path}: addresses are not supported", hint="download it and give the file")
    if reference:
        parse_reference(reference)
    first = images_pb2.ImportImageRequest(
        reference=reference or "", changes=changes, message=message
    )
    with opened(path, flag="FILE") as source:
        answer = session.images.import_rootfs(first, chunks(session, source, quiet=False))
    session.say(answer.id)


@click.command("pull", cls=Command)
@click.argument("reference", metavar="NAME[:TAG|@DIGEST]")
@click.option("-q", "--quiet", is_flag=True, help="Print the name only")
@click.pass_obj
def pull(session: Session, /, *, reference: str, quiet: bool) -> None:
    """Fetch an image from its registry; logins are those of ~/.docker/config.json."""
    from swarmctl.io.pulls import pull_image

    pull_image(session, reference, quiet=quiet)


@click.command("inspect", cls=Command)
@_images
@options.inspect_flags
@click.pass_obj
def inspect(session: Session, /, *, images: Sequence[str], form: str) -> None:
    """Show images in full."""
    from swarmctl.details import image_detail
    from swarmctl.inspecting import inspected

    found = [image_detail(session.images.inspect(name)) for name in images]
    session.write(inspected(found, form=form))


@click.command("rm", cls=Command)
@_images
@click.option("-f", "--force", is_flag=True, help="Remove an image with several names")
@click.pass_obj
def rm(session: Session, /, *, images: Sequence[str], force: bool) -> None:
    """Take names off images, and delete those that have none left."""
    from swarmctl.rows import Detail, image_name

    def remove(name: str) -> None:
        answer = session.images.remove(name, force=force)
        for text in answer.untagged:
            session.say(f"Untagged: {image_name(text, Detail())}")
        for text in answer.deleted:
            session.say(f"Deleted: {text}")

    each(session, images, remove)


@click.command("tag", cls=Command)
@click.argument("source", metavar="SOURCE[:TAG]", shell_complete=completing.images)
@click.argument("target", metavar="TARGET[:TAG]")
@click.pass_obj
def tag(session: Session, /, *, source: str, target: str) -> None:
    """Give an image another name."""
    from swarm.images.reference import parse_reference

    parse_reference(target)
    session.images.tag(source, target)


@click.command("push", cls=Command)
@click.argument("reference", metavar="NAME[:TAG]", shell_complete=completing.images)
@click.option("-q", "--quiet", is_flag=True, help="Print the name only")
@click.pass_obj
def push(session: Session, /, *, reference: str, quiet: bool) -> None:
    """Give an image to its registry; logins are those of ~/.docker/config.json."""
    from swarmctl.io.pulls import push_image

    push_image(session, reference, quiet=quiet)


@click.command("save", cls=Command)
@_images
@click.option("-o", "--output", default="-", metavar="FILE", help="File to write (default: stdout)")
@click.pass_obj
def save(session: Session, /, *, images: Sequence[str], output: str) -> None:
    """Write images as an archive that `load` takes in, here and in Docker."""
    from swarmctl.io.archives import write_out

    write_out(session.images.save(images), output)


@click.command("prune", cls=Command)
@click.option("-a", "--all", "everything", is_flag=True, help="All that nothing uses, named or not")
@click.option("-f", "--force", is_flag=True, help="Do not ask")
@click.option(
    "--filter", "filters", multiple=True, metavar="KEY=VALUE", help="until=… (repeatable)"
)
@click.pass_obj
def prune(session: Session, /, *, everything: bool, force: bool, filters: Sequence[str]) -> None:
    """Remove images without a name that nothing uses."""
    from swarm.quantities import format_size
    from swarmctl.filters import parse_filters
    from swarmctl.io.asking import agreed
    from swarmctl.rows import Detail, image_name
    from swarmctl.times import parse_since

    wanted = parse_filters(filters, known=("until",))
    until = min(
        (parse_since(each, now=session.now()) for each in wanted.get("until", ())), default=0
    )
    which = "all images that nothing uses" if everything else "all dangling images"
    if not force and not agreed(
        f"WARNING! This will remove {which}.\nAre you sure you want to continue?"
    ):
        return
    chosen = [
        image.id
        for image in session.images.list()
        if (everything or not image.references) and (not until or image.created_at < until)
    ]
    answer = session.images.prune(chosen)
    if answer.untagged or answer.deleted:
        session.say("Deleted Images:")
        for name in answer.untagged:
            session.say(f"untagged: {image_name(name, Detail())}")
        for name in answer.deleted:
            session.say(f"deleted: {name}")
        session.say("")
    session.say(f"Total reclaimed space: {format_size(answer.reclaimed_bytes)}")


@click.command("history", cls=Command)
@click.argument("image", metavar="IMAGE", shell_complete=completing.images)
@options.form
@click.option("-H", "--human/--no-human", default=True, help="Print sizes for people (default)")
@click.option("--no-trunc", is_flag=True, help="Print what was done in full")
@click.option("-q", "--quiet", is_flag=True, help="Print ids only")
@click.pass_obj
def history(
    session: Session, /, *, image: str, form: str, human: bool, no_trunc: bool, quiet: bool
) -> None:
    """Tell how an image was made, the last step first."""
    show_history(session, image, form=form, human=human, full=no_trunc, quiet=quiet)


def show_history(
    session: Session, image: str, *, form: str, human: bool, full: bool, quiet: bool
) -> None:
    """What `history` prints of an image."""
    from swarmctl.histories import HISTORY, history_rows
    from swarmctl.rows import Detail
    from swarmctl.tables import listed

    answer = session.images.inspect(image)
    rows = list(history_rows(answer, Detail(full=full), is_human=human, now=session.now()))
    session.write(listed(rows, HISTORY, form=form, quiet=quiet))


listing, removal = alias(ls, "images"), alias(rm, "rmi")
