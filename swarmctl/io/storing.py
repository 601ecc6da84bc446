"""Do what `secret` and `config` do alike."""

from collections.abc import Sequence

from swarm.errors import Invalid
from swarmctl.commands.service import each
from swarmctl.contents import CONTENT_TESTS, content_detail, content_rows, pretty_content
from swarmctl.edits import pairs, without
from swarmctl.io import showing
from swarmctl.io.contents import Change, Contents, read_data
from swarmctl.io.session import Session
from swarmctl.io.showing import Shape
from swarmctl.tables import Listing


def create(
    session: Session,
    contents: Contents,
    name: str,
    path: str | None,
    *,
    labels: Sequence[str],
    driver: str,
    template_driver: str,
) -> None:
    """Store the content of a file under a name, and print the id."""
    word = contents.word
    if driver:
        raise Invalid(
            f"--driver {driver}: there are no drivers for a {word} here",
            hint="leave it out and give a file, or - for standard input",
        )
    if path is None:
        raise Invalid(f"no content for {word} {name}", hint="give a file, or - for standard input")
    data = read_data(path, word)
    session.say(contents.create(name, pairs("--label", labels), template_driver, data).id)


def update(
    session: Session,
    contents: Contents,
    name: str,
    path: str | None,
    *,
    label_add: Sequence[str],
    label_rm: Sequence[str],
    roll: bool,
) -> None:
    """Replace content or labels, and name the services that roll."""
    if path is None and not label_add and not label_rm and not roll:
        raise Invalid(
            f"nothing to change of {contents.word} {name}",
            hint="give a file, or - for standard input, or --label-add, --label-rm or --roll",
        )
    data = None if path is None else read_data(path, contents.word)
    (view,) = contents.list([name])
    labels = None
    if label_add or label_rm:
        labels = without(view.spec.labels, label_rm) | pairs("--label", label_add)
    rolled = contents.update(view, Change(data=data, labels=labels, roll=roll))
    session.say(view.spec.name)
    for service in rolled:
        session.warn(f"rolling service {service}")


def ls(
    session: Session,
    contents: Contents,
    listing: Listing,
    *,
    filters: Sequence[str],
    form: str,
    quiet: bool,
) -> None:
    """List them."""
    shape = Shape(
        listing=listing,
        tests=CONTENT_TESTS,
        rows=lambda views: content_rows(views, now=session.now()),
    )
    showing.ls(session, contents.list, shape, filters=filters, form=form, quiet=quiet)


def inspect(
    session: Session, contents: Contents, names: Sequence[str], *, form: str, pretty: bool
) -> None:
    """Show them in full."""
    showing.inspect(
        session,
        names,
        contents.list,
        content_detail,
        form=form,
        pretty=pretty_content,
        is_pretty=pretty,
    )


def rm(session: Session, contents: Contents, names: Sequence[str]) -> None:
    """Remove each; one that stays does not keep the others."""

    def remove(name: str) -> None:
        (view,) = contents.list([name])
        contents.remove(view.id)
        session.say(name)

    each(session, names, remove)
