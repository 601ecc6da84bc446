"""Say where a copy lands, by Docker's rules for `cp`.

A directory is copied into one that exists, and becomes one that does not. Of `source/.` only
the content is copied. A file lands in a directory, over a file, or under a new name.
"""

from posixpath import basename, normpath, split

from msgspec import Struct

from swarm.errors import Invalid, Missing, Refused


class Place(Struct, frozen=True, kw_only=True):
    """One side of a copy: a path of this host, or of `container`."""

    container: str = ""
    path: str

    @property
    def is_stream(self) -> bool:
        """Whether it is a tar on our own standard streams."""
        return not self.container and self.path == "-"

    @property
    def names_directory(self) -> bool:
        """Whether it has to be a directory by the way it is written."""
        return self.path.endswith(("/", "/.")) or self.path == "."

    @property
    def is_content(self) -> bool:
        """Whether only what is in the directory is meant."""
        return self.path.endswith("/.") or self.path == "."


class Landing(Struct, frozen=True, kw_only=True):
    """Entries are unpacked below `directory`; the first part of their names becomes `name`, or is
    left out when that is empty."""

    directory: str
    name: str


def parse_place(text: str) -> Place:
    """`CONTAINER:PATH`, or a path of this host; one that has a colon begins with a slash or dot."""
    if text.startswith(("/", ".")) or ":" not in text:
        if not text:
            raise Invalid("an empty path", hint="write PATH or CONTAINER:PATH")
        return Place(path=text)
    container, _, path = text.partition(":")
    if not container or not path:
        raise Invalid(f"{text!r} is not CONTAINER:PATH", hint="write it like web:/etc/hosts")
    return Place(container=container, path=path)


def landing(
    source: Place, *, is_directory: bool, target: Place, exists: bool, target_is_directory: bool
) -> Landing:
    """Where what `source` names goes; `exists` and the last are what is at the target."""
    if source.names_directory and not is_directory:
        raise Refused(f"{source.path} is not a directory", hint="leave out the slash at its end")
    if exists and target_is_directory:
        name = "" if source.is_content and is_directory else _name(source)
        return Landing(directory=target.path, name=name)
    if exists and is_directory:
        raise Refused(
            f"cannot copy a directory over the file {target.path}", hint="remove it first"
        )
    if not exists and target.names_directory and not is_directory:
        raise Missing(f"no such directory: {target.path}", hint="make it first")
    parent, name = split(normpath(target.path))
    return Landing(directory=parent or ".", name=name)


def renamed(entry: str, landing_name: str) -> str:
    """The name of an entry of the archive, once it has landed; empty for nothing at all."""
    _, _, rest = entry.strip("/").partition("/")
    return "/".join(filter(None, (landing_name, rest)))


def _name(source: Place) -> str:
    return basename(normpath(source.path)) or "."
