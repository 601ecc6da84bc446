"""Load modules from one file, which has the code of all that commands have needed so far.

To find a module, check it and open its code takes Python about as long as to run it, and every
command needs more than a hundred. So what was loaded one by one is gathered in a file beside
Python's own caches, and taken from there the next time. A module is taken from there only while
its source is the one that it was gathered from; nothing else is different, and where the file
cannot be written or read, nothing is different at all.
"""

# Plain strings: pathlib would have to be loaded first.
# ruff: noqa: PTH105, PTH108, PTH116, PTH120

import marshal
import os
import sys
from _frozen_importlib import ModuleSpec  # as importlib has it, and loaded already
from types import ModuleType

# The source, whether it is a package, mtime in ns and size; where its code begins among all
# that the file has, and its bytes.
_Entry = tuple[str, bool, int, int, int, int]

_FORMAT = 2
_SIZE_BYTES = 8
_OTHERS_MAY_WRITE = 0o022


def path() -> str:
    """Where the file is; what is in it depends on the version of Python."""
    name = f"gathered-{_FORMAT}.{sys.implementation.cache_tag}"
    return f"{os.path.dirname(os.path.abspath(__file__))}/__pycache__/{name}"  # noqa: PTH100


class Gathered:
    """Finds and loads modules that were gathered: to stand before Python's own finders."""

    def __init__(self, entries: dict[str, _Entry], file: int = -1, start: int = 0) -> None:
        """The code of `entries` begins at `start` in the open `file`."""
        self.entries = entries
        self._file = file
        self._start = start

    def code(self, name: str) -> bytes:
        """The module's, marshalled. It is read only now: most is for other commands."""
        offset, size = self.entries[name][4:]
        return os.pread(self._file, size, self._start + offset)

    def find_spec(
        self, name: str, _path: object = None, _target: object = None
    ) -> ModuleSpec | None:
        """The module's, if it was gathered from the source that is there now."""
        entry = self.entries.get(name)
        if entry is None or _version(entry[0]) != entry[2:4]:
            return None
        source, is_package = entry[:2]
        # The base class that is asked for would have to be loaded first.
        spec = ModuleSpec(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def create_module(self, _spec: ModuleSpec) -> None:
        """As Python would."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code."""
        exec(marshal.loads(self.code(module.__name__)), module.__dict__)


def install() -> Gathered:
    """Have modules come from the file from now on."""
    gathered = _read()
    sys.meta_path.insert(0, gathered)
    return gathered


def keep(gathered: Gathered) -> None:
    """Add what had to be loaded in the usual way. Failing to write it down is no failure."""
    found: dict[str, tuple[_Entry, bytes]] = {}
    for name, module in list(sys.modules.items()):
        entry = _entry(name, module, gathered)
        if entry is not None:
            found[name] = entry
    if not found:
        return
    for name, known in gathered.entries.items():
        found.setdefault(name, (known, gathered.code(name)))
    index, codes = _laid_out(found)
    beside = f"{path()}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(beside, flags, 0o644), "wb") as file:
            file.write(len(index).to_bytes(_SIZE_BYTES) + index + codes)
        os.replace(beside, path())
    except OSError:
        _remove(beside)


def _laid_out(found: dict[str, tuple[_Entry, bytes]]) -> tuple[bytes, bytes]:
    """The index, marshalled, and all code."""
    entries: dict[str, _Entry] = {}
    offset = 0
    for name, (entry, code) in found.items():
        entries[name] = (*entry[:4], offset, len(code))
        offset += len(code)
    return marshal.dumps(entries), b"".join(code for _, code in found.values())


def _remove(beside: str) -> None:
    try:
        os.unlink(beside)
    except OSError:
        return


def _entry(name: str, module: object, gathered: Gathered) -> tuple[_Entry, bytes] | None:
    """None if there is nothing to gather: it was, or it is not made of a source."""
    spec: ModuleSpec | None = getattr(module, "__spec__", None)
    loader: object = getattr(spec, "loader", None)
    if spec is None or loader is gathered or spec.name != name:
        return None
    source = spec.origin or ""
    version = _version(source) if source.endswith(".py") else None
    known = gathered.entries.get(name)
    if version is None or (known is not None and known[2:4] == version):
        return None
    try:
        code = marshal.dumps(getattr(loader, "get_code")(name))  # noqa: B009
    except (AttributeError, ImportError, OSError, ValueError):
        return None
    return (source, spec.submodule_search_locations is not None, *version, 0, 0), code


def _version(source: str) -> tuple[int, int] | None:
    try:
        found = os.stat(source)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read() -> Gathered:
    """Nothing if it cannot be read, or if somebody else could have written it."""
    try:
        file = os.open(path(), os.O_RDONLY | os.O_CLOEXEC)
        about = os.fstat(file)
        if about.st_mode & _OTHERS_MAY_WRITE or about.st_uid not in (0, os.geteuid()):
            return Gathered({})
        size = int.from_bytes(os.read(file, _SIZE_BYTES))
        index = os.read(file, size) if size < about.st_size else b""
        entries: dict[str, _Entry] = marshal.loads(index)
        if (
            not entries
            or _SIZE_BYTES + size + sum(entry[5] for entry in entries.values()) != about.st_size
        ):
            return Gathered({})
    except (OSError, EOFError, ValueError, TypeError, AttributeError, IndexError):
        return Gathered({})
    return Gathered(entries, file, _SIZE_BYTES + size)
