"""Touch the files of one build: `python -m agent.build.io.worker PARENT OWN READABLE CONTROL`.

Orders come over the socket CONTROL, one JSON line each, and each is answered by a line before
the next is read; an archive comes on standard input. The process dies with the agent, and
all that it mounted goes with it.
"""

import errno
import os
import socket
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, assert_never

import msgspec

from agent.build import orders as o
from agent.build.ignoring import ignored
from agent.build.io import confining, finding
from agent.build.io.copying import put
from agent.build.io.merging import merge
from agent.build.io.rooted import Root, remove, rooted
from agent.build.io.streams import Stream, is_tar
from agent.build.io.unpacking import unpack
from agent.images.io import bounds
from agent.images.io.collecting import collect
from agent.images.io.unpack import sync_filesystem
from runtime import constants as k
from runtime.io import host, kernel
from swarm.errors import Invalid, Missing, Refused

_LARGEST_LINE: Final = 64 << 20
_DOCKERFILE_BYTES: Final = 4 << 20
_MNT_DETACH: Final = 2
NAMES: Final = Path("/names")
_ORDERS: Final[msgspec.json.Decoder[o.Order]] = msgspec.json.Decoder(o.Order)


def carry_out(order: o.Order, stdin: BinaryIO) -> o.Answer:
    """Do what was asked; what fails is an answer, too."""
    try:
        return _carry_out(order, stdin)
    except (Invalid, Missing) as err:
        return o.Answer(failed=o.Failed(message=err.message, hint=err.hint))
    except Refused as err:
        return o.Answer(failed=o.Failed(message=err.message, hint=err.hint, is_refused=True))
    except OSError as err:
        return o.Answer(failed=o.Failed(message=_said(err), errno=err.errno or errno.EIO))
    except MemoryError:
        return o.Answer(failed=o.Failed(message=bounds.OUT_OF_MEMORY, hint=bounds.HINT))


def encoded(answer: o.Answer) -> bytes:
    """An answer as a line; a name that is no text can be shown, but not asked for again."""
    try:
        return msgspec.json.encode(answer) + b"\n"
    except UnicodeEncodeError:
        said = answer.failed.message if answer.failed else "a name that was found is not UTF-8"
        shown = said.encode(errors="backslashreplace").decode()
        hint = answer.failed.hint if answer.failed else "copy the directory that it is in"
        return msgspec.json.encode(o.Answer(failed=o.Failed(message=shown, hint=hint))) + b"\n"


def _said(err: OSError) -> str:
    reason = os.strerror(err.errno or errno.EIO).lower()
    return f"{reason}: {err.filename}" if err.filename else reason


def _carry_out(order: o.Order, stdin: BinaryIO) -> o.Answer:
    match order:
        case o.Unpack():
            return _unpack(order, stdin)
        case o.Read(directory=directory, path=path, largest=largest):
            with rooted(directory) as root:
                return o.Answer(content=root.read(path, largest))
        case o.Prune(directory=directory, patterns=patterns):
            with rooted(directory) as root:
                return o.Answer(count=_prune(root, patterns))
        case o.Find():
            with _readable(order.origin) as root:
                return o.Answer(sources=finding.find(root, order))
        case o.Put():
            return _put(order)
        case o.MakeDirectory(layered=layered, path=path):
            with _writable(layered) as root:
                root.make_directories(path.strip("/"))
            return o.Answer()
        case o.Extract():
            return _extract(order)
        case o.Collect(asked=asked, draft=draft):
            Path(draft).mkdir(mode=0o700)
            return o.Answer(mark=collect(asked, Path(draft), is_durable=False))
        case o.Merge(layers=layers, target=target):
            merge(layers, target)
            return o.Answer()
        case o.Sync(directory=directory):
            _sync(directory)
            return o.Answer()
        case o.Delete(directory=directory):
            host.discard_tree(directory)
            return o.Answer()
        case _:
            assert_never(order)


def _unpack(order: o.Unpack, stdin: BinaryIO) -> o.Answer:
    directory = Path(order.directory)
    directory.mkdir(mode=0o755)
    stream = Stream(stdin)
    head = stream.peek(512)
    if not head:
        return o.Answer()
    if order.dockerfile and not is_tar(head):
        if stream.is_compressed:
            raise Invalid("the context is not a tar archive", hint="send a tar of a directory")
        text = bytearray()
        while piece := stream.read():
            text += piece
            if len(text) > _DOCKERFILE_BYTES:
                raise Invalid(
                    "the context is no tar archive, and too long for a Dockerfile",
                    hint="send a tar, plain or compressed with gzip, bzip2, xz or zstd",
                )
        (directory / order.dockerfile).write_bytes(bytes(text).rstrip(b"\0"))
        return o.Answer(count=1)
    with rooted(order.directory) as root:
        count = unpack(stream, root, what="the context", owner=lambda _: (0, 0))
    return o.Answer(is_archive=True, count=count)


def _prune(root: Root, patterns: tuple[str, ...]) -> int:
    """Delete what is covered; a directory stays while something in it comes in again."""
    rules = ignored(patterns)
    covered = [path for path in finding.walk(root, "", 0) if rules.covers(path)]
    count = 0
    for path in reversed(covered):
        above, _, name = path.rpartition("/")
        parent = root.directory(above)
        try:
            os.rmdir(name, dir_fd=parent)
        except NotADirectoryError:
            remove(parent, name)
        except OSError as err:
            if err.errno != errno.ENOTEMPTY:
                raise
            continue
        count += 1
        root.forget()
    return count


def _put(order: o.Put) -> o.Answer:
    with _writable(order.layered) as target:
        if not order.sources:
            put(order, None, target)
            return o.Answer()
        with _readable(order.origin, mount="source") as source:
            put(order, source, target)
    return o.Answer()


def _extract(order: o.Extract) -> o.Answer:
    """A copy: the container must not see the rest of where it comes from, nor change it."""
    with _readable(order.origin, mount="source") as source:
        path = finding.clean(order.path)
        status = source.status(path)
        if status is None:
            raise Invalid(f"stat {order.path}: file does not exist")
        is_directory = source.is_directory(path)
        target = Path(order.target)
        (target if is_directory else target.parent).mkdir(mode=0o755, parents=True, exist_ok=True)
        found = o.Source(path=path, is_directory=is_directory, digest="")
        layered = o.Layered(layers=(), upper="", work="")
        with rooted(str(target if is_directory else target.parent)) as root:
            asked = o.Put(
                layered=layered,
                target="/" if is_directory else f"/{target.name}",
                sources=(found,),
                owners=bool(order.origin.layers),
            )
            put(asked, source, root)
    return o.Answer(count=int(is_directory))


def _sync(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_filesystem(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _readable(origin: o.Origin, *, mount: str = "read") -> Generator[Root]:
    """What files come from, as root."""
    if origin.directory:
        with rooted(origin.directory) as root:
            yield root
        return
    with _mounted(mount, f"lowerdir={_lower(origin.layers, mount)}", k.MS_RDONLY) as root:
        yield root


@contextmanager
def _writable(layered: o.Layered) -> Generator[Root]:
    """What a step sees and changes, as root."""
    for path in (layered.upper, layered.work):
        Path(path).mkdir(mode=0o755, parents=True, exist_ok=True)
    lower = _lower(layered.layers, "write", single=True)
    options = (
        f"lowerdir={lower},upperdir={_named('upper', layered.upper)},"
        f"workdir={_named('work', layered.work)},volatile,redirect_dir=off,metacopy=off,index=off"
    )
    with _mounted("write", options, 0) as root:
        yield root
    host.discard_tree(layered.work)


def _lower(layers: tuple[str, ...], purpose: str, *, single: bool = False) -> str:
    """The layers by short names: all of them have to fit into one page."""
    named = [_named(f"{purpose[0]}{number}", path) for number, path in enumerate(layers)]
    if not named or (len(named) == 1 and not single):
        (NAMES / "empty").mkdir(exist_ok=True)
        named.append("empty")
    return ":".join(named)


def _named(name: str, path: str) -> str:
    link = NAMES / name
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return name


@contextmanager
def _mounted(name: str, options: str, flags: int) -> Generator[Root]:
    place = Path("/") / f"mount-{name}"
    place.mkdir(exist_ok=True)
    kernel.mount("overlay", str(place), "overlay", flags | k.MS_NODEV | k.MS_NOSUID, options)
    try:
        with rooted(str(place)) as root:
            yield root
    finally:
        kernel.unmount(str(place), _MNT_DETACH)


def main() -> None:
    """Serve until the other side closes."""
    parent, own, readable, control = sys.argv[1:]
    confining.die_with_parent(int(parent))
    link = socket.socket(fileno=int(control))
    confining.confine(Path(own), Path(readable))
    bounds.bound_memory()
    os.chdir(NAMES)
    lines = link.makefile("rb")
    while line := lines.readline(_LARGEST_LINE):
        answer = carry_out(_ORDERS.decode(line), sys.stdin.buffer)
        link.sendall(encoded(answer))


if __name__ == "__main__":
    main()
