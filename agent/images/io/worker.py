"""Unpack archives in a process of their own: `python -m agent.images.io.worker COMMAND ...`.

    unpack SOURCE TARGET EXPECTED   make TARGET/fs and TARGET/layer.json from the layer SOURCE
    stage TARGET                    spread the archive on standard input over files in TARGET
    collect TARGET                  make TARGET/fs and TARGET/layer.json from a directory
    pack TREE                       write the layer that TREE is to standard output
    compress TREE|BLOB TARGET       write that layer, compressed, to the file TARGET

For `collect` standard input has a `Collecting` as JSON. The answer is one JSON line
on standard output, or after `pack` on standard error. The process dies with the agent: whoever
starts next finds only rubble below `tmp`, which it sweeps.
"""

import contextlib
import ctypes
import hashlib
import os
import signal
import sys
from pathlib import Path
from posixpath import dirname, relpath
from tarfile import TarFile, TarInfo
from typing import BinaryIO

import msgspec

from agent.images.answers import MARK, TREE, Answer, Collecting, Failed, Mark, Staged
from agent.images.archive import Member
from agent.images.compression import MAGIC_BYTES, compression_of
from agent.images.io import bounds
from agent.images.io.collecting import collect, compress, open_many_files, pack
from agent.images.io.tars import reading
from agent.images.io.unpack import CHUNK_BYTES, Plain, entries_of, sync_filesystem, unpack
from agent.images.layer import split_name
from swarm.errors import Invalid, Refused
from swarm.images.manifest import MANIFEST_LIMIT_BYTES

_PR_SET_PDEATHSIG = 1


def run(arguments: list[str], stdin: BinaryIO) -> Answer:
    """Do what `arguments` say."""
    try:
        match arguments:
            case ["unpack", source, target, expected]:
                return Answer(mark=_unpack(Path(source), Path(target), expected))
            case ["stage", target]:
                return Answer(staged=_stage(stdin, Path(target)))
            case ["collect", target]:
                return Answer(mark=collect(_asked(stdin), Path(target)))
            case ["pack", tree]:
                return Answer(blob=pack(Path(tree), sys.stdout.buffer))
            case ["compress", source, target]:
                return Answer(blob=compress(Path(source), Path(target)))
            case _:
                return Answer(failed=Failed(message=f"no such command: {arguments}"))
    except (Invalid, Refused) as err:
        return Answer(failed=Failed(message=err.message, hint=err.hint))
    except OSError as err:
        return Answer(failed=Failed(message=str(err), errno=err.errno or 0))
    except MemoryError:
        return Answer(failed=Failed(message=bounds.OUT_OF_MEMORY, hint=bounds.HINT))


def _asked(stdin: BinaryIO) -> Collecting:
    return msgspec.json.decode(stdin.read(), type=Collecting)


def _unpack(source: Path, target: Path, expected: str) -> Mark:
    tree = target / TREE
    tree.mkdir(mode=0o755)
    root = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with source.open("rb") as layer:
            mark = unpack(layer, root, expected=expected)
        (target / MARK).write_bytes(msgspec.json.encode(mark))
        sync_filesystem(root)
    finally:
        os.close(root)
    return mark


def _stage(source: BinaryIO, target: Path) -> Staged:
    members: dict[str, Member] = {}
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    plain = Plain(source)
    with reading(plain) as tar:
        for number, info in enumerate(entries_of(tar, plain)):
            name = "/".join(split_name(info.name))
            if info.issym():
                links[name] = info.linkname
            elif info.islnk():
                links[name] = relpath("/".join(split_name(info.linkname)), dirname(name) or ".")
            elif info.isreg():
                path = target / str(number)
                member = _copy(tar, info, path)
                if member.digest in files:
                    path.unlink()
                members[name] = member
                files.setdefault(member.digest, path.name)
    plain.drain()
    return Staged(members=members, files=files, links=links)


def _copy(tar: TarFile, info: TarInfo, path: Path) -> Member:
    content = tar.extractfile(info)
    assert content is not None
    seen, size, head = hashlib.sha256(), 0, b""
    with content, path.open("xb") as file:
        while chunk := content.read(CHUNK_BYTES):
            head = head or chunk[:MAGIC_BYTES]
            seen.update(chunk)
            size += len(chunk)
            file.write(chunk)
    if size != info.size:
        raise Invalid(f"the archive ends within {info.name!r}")
    compression = ""
    with contextlib.suppress(Invalid):  # some member, of a compression that only matters if used
        compression = compression_of(head)
    return Member(
        digest=f"sha256:{seen.hexdigest()}",
        size=size,
        compression=compression,
        is_document=size <= MANIFEST_LIMIT_BYTES and head[:1] in (b"{", b"["),
    )


def _die_with_parent(parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    """Run one command; the agent's process id comes first."""
    _die_with_parent(int(sys.argv[1]))
    open_many_files()
    bounds.bound_memory()
    answer = run(sys.argv[2:], sys.stdin.buffer)
    output = sys.stderr.buffer if sys.argv[2] == "pack" else sys.stdout.buffer
    output.write(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
