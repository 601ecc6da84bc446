"""Read stack files, and what they refer to, from where the command runs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from swarm.errors import Invalid, Missing
from swarmctl.io.contents import read_data
from swarmctl.io.session import Session
from swarmctl.stacks.documents import Document, read_document
from swarmctl.stacks.interpolation import Filling
from swarmctl.stacks.merging import merged
from swarmctl.stacks.resources import Content, Source
from swarmctl.stacks.stack import Stack, read_stack


def read_files(session: Session, paths: Sequence[str], *, interpolate: bool = True) -> Document:
    """All files as one; variables are filled in from the environment."""
    document: Document = {}
    filling = Filling(os.environ)
    for path in paths:
        text = _text(path)
        each = read_document(text, name="standard input" if path == "-" else path)
        document = merged(document, filling.document(each) if interpolate else each)
    if filling.unset:
        names = ", ".join(filling.unset)
        session.warn(f"Warning: not set, and therefore empty: {names}")
    return document


def load_stack(session: Session, name: str, paths: Sequence[str]) -> Stack:
    """The stack in the files; warns of what it leaves out."""
    document = read_files(session, paths)
    base = directory_of(paths)
    stack = read_stack(
        document,
        name=name,
        directory=str(base),
        environ=os.environ,
        read=lambda path: _file(base / Path(path).expanduser()),
    )
    for warning in stack.warnings:
        session.warn(f"Warning: {warning}")
    return stack


def directory_of(paths: Sequence[str]) -> Path:
    """What paths in the files are relative to: where the first file is."""
    first = paths[0]
    return Path.cwd() if first == "-" else Path(first).absolute().parent


def read_contents(
    contents: Sequence[Content], word: str, *, base: Path, environ: Mapping[str, str]
) -> dict[str, bytes]:
    """The data of what is to be there, by name; what is external has none."""
    return {
        each.name: _data(each, word, base, environ)
        for each in contents
        if each.source is not Source.EXTERNAL
    }


def _data(content: Content, word: str, base: Path, environ: Mapping[str, str]) -> bytes:
    match content.source:
        case Source.FILE:
            return read_data(str(base / Path(content.origin).expanduser()), word)
        case Source.ENVIRONMENT:
            value = environ.get(content.origin)
            if not value:
                raise Invalid(
                    f"{word} {content.name}: the variable {content.origin} is not set",
                    hint=f"export {content.origin}=…",
                )
            return value.encode("utf-8", "surrogateescape")
        case _:
            if not content.origin:
                raise Invalid(f"{word} {content.name} is empty", hint="give it some content")
            return content.origin.encode()


def _text(path: str) -> bytes:
    if path == "-":
        return read_data(path, "stack")
    return _file(Path(path))


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as err:
        raise Missing(f"{path}: {err.strerror}", hint="give a file that is there") from err
    except OSError as err:
        raise Invalid(f"{path}: {err.strerror}", hint="give a file that can be read") from err
