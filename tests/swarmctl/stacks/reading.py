"""Read stack files that tests write down."""

from collections.abc import Mapping
from textwrap import dedent

from swarm.errors import Invalid, Missing
from swarm.specs import ServiceSpec
from swarmctl.stacks.documents import Document, read_document
from swarmctl.stacks.stack import Stack, read_stack

FILES = {"a.env": b"# said elsewhere\nA=file\nHOME_OF_B\n", "bad.env": b"=x\n"}


def document(text: str) -> Document:
    """What the YAML says."""
    return read_document(dedent(text).encode(), name="stack.yml")


def stack(text: str, *, environ: Mapping[str, str] | None = None) -> Stack:
    """The stack `s` of a file in `/here`."""
    return read_stack(
        document(text), name="s", directory="/here", environ=environ or {}, read=_read
    )


def service(
    text: str, *, environ: Mapping[str, str] | None = None, besides: str = ""
) -> ServiceSpec:
    """The service `web` with these keys besides an image; `besides` are other sections."""
    keys = "\n".join(f"    {line}" for line in dedent(text).strip().splitlines())
    whole = f"services:\n  web:\n    image: busybox:1\n{keys}\n{dedent(besides)}"
    return stack(whole, environ=environ).services[0]


def problems(text: str, *, besides: str = "") -> tuple[str, ...]:
    """What is wrong with the service."""
    try:
        service(text, besides=besides)
    except Invalid as err:
        return err.problems if err.problems != (err.message,) else (err.message,)
    return ()


def _read(path: str) -> bytes:
    if path not in FILES:
        raise Missing(f"{path}: no such file")
    return FILES[path]
