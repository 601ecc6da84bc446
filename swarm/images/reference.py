"""Read image names as people type them: `busybox`, `localhost:5000/a/b:tag@sha256:...`.

The first component is a registry only if it looks like a host: it contains a dot or a colon,
is `localhost`, or has upper-case letters (which no repository may have). Everything else is
a path on docker.io, where a single component lives under `library/`. The text form is
canonical; `familiar` is the shortest name that reads back as the same reference.
"""

import re

from msgspec import Struct, structs

from swarm.errors import Invalid
from swarm.images.digest import parse_digest

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"
_LEGACY_REGISTRY = "index.docker.io"
_OFFICIAL = "library/"
_NAME_LIMIT = 255

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z")
_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*\Z")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
_BARE_HEX = re.compile(r"[0-9a-f]{64}\Z")


class Reference(Struct, frozen=True):
    """One image in one repository. `tag` and `digest` may each be empty."""

    registry: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def name(self) -> str:
        """Registry and repository: the canonical name without tag and digest."""
        return f"{self.registry}/{self.repository}"

    @property
    def familiar_name(self) -> str:
        """The name as users type it."""
        if self.registry != DEFAULT_REGISTRY:
            return self.name
        short = self.repository.removeprefix(_OFFICIAL)
        if "/" not in short:
            return short
        first, _, _ = self.repository.partition("/")
        return self.name if _is_host(first) else self.repository

    @property
    def familiar(self) -> str:
        """The shortest text that reads back as this reference."""
        return self.familiar_name + self._suffix()

    def __str__(self) -> str:
        return self.name + self._suffix()

    def _suffix(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{tag}@{self.digest}" if self.digest else tag

    def with_default_tag(self) -> "Reference":
        """The reference itself, with the tag `latest` if it names neither tag nor digest."""
        return self if self.tag or self.digest else structs.replace(self, tag=DEFAULT_TAG)

    def with_digest(self, digest: str) -> "Reference":
        """The same name and tag, pinned to `digest`."""
        return structs.replace(self, digest=digest)

    def untagged(self) -> "Reference":
        """The same name and digest, without the tag."""
        return structs.replace(self, tag="")


def parse_reference(text: str) -> Reference:
    """Read `text`; `Invalid` says which part is wrong and how it should look."""
    rest, at, digest = text.partition("@")
    if at:
        parse_digest(digest, what=f"image {text!r}: digest")
    rest, tag = _split_tag(text, rest)
    if not rest:
        raise Invalid(f"image {text!r} has no name", hint="write it as NAME[:TAG][@DIGEST]")
    if _BARE_HEX.match(rest):
        raise Invalid(
            f"image {text!r}: a repository may not be 64 hexadecimal digits",
            hint="write sha256: before an image id",
        )
    registry, repository = _split_registry(rest)
    _check_name(text, registry, repository)
    return Reference(registry=registry, repository=repository, tag=tag, digest=digest)


def _split_tag(text: str, rest: str) -> tuple[str, str]:
    name, colon, tag = rest.rpartition(":")
    if not colon or "/" in tag:
        return rest, ""
    if not _TAG.match(tag):
        raise Invalid(
            f"image {text!r}: tag {tag!r} is not valid",
            hint="up to 128 letters, digits, '_', '.' and '-', not starting with '.' or '-'",
        )
    return name, tag


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    if not slash or not _is_host(first):
        registry, repository = DEFAULT_REGISTRY, name
    else:
        registry, repository = first, rest
    if registry == _LEGACY_REGISTRY:
        registry = DEFAULT_REGISTRY
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = _OFFICIAL + repository
    return registry, repository


def _is_host(component: str) -> bool:
    return (
        "." in component
        or ":" in component
        or component == "localhost"
        or component != component.lower()
    )


def _check_name(text: str, registry: str, repository: str) -> None:
    if not _REGISTRY.match(registry):
        raise Invalid(
            f"image {text!r}: registry {registry!r} is not HOST or HOST:PORT",
            hint="repository names are written in lower case",
        )
    if repository != repository.lower():
        raise Invalid(
            f"image {text!r}: repository {repository!r} must be lower case",
            hint="names hold no spaces" if " " in repository else f"try {repository.lower()}",
        )
    for component in repository.split("/"):
        if not _COMPONENT.match(component):
            raise Invalid(
                f"image {text!r}: {component!r} is not a valid part of a repository name",
                hint="use lower-case letters and digits, separated by '.', '_', '__' or '-'",
            )
    if len(registry) + 1 + len(repository) > _NAME_LIMIT:
        raise Invalid(f"image {text[:40]!r}...: the name is longer than {_NAME_LIMIT} characters")
