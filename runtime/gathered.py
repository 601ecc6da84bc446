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

_Entry = tuple[str, bool, int, int, bytes]  # source, is it a package, mtime in ns, size, code

_FORMAT = 1
_OTHERS_MAY_WRITE = 0o022


def path() -> str:
    """Where the file is; what is in it depends on the version of Python."""
    name = f"gathered-{_FORMAT}.{sys.implementation.cache_tag}"
    return f"{os.path.dirname(os.path.abspath(__file__))}/__pycache__/{name}"  # noqa: PTH100


class Gathered:
    """Finds and loads modules that were gathered: to stand before Python's own finders."""

    def __init__(self, entries: dict[str, _Entry]) -> None:
        self.entries = entries

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
        exec(marshal.loads(self.entries[module.__name__][4]), module.__dict__)


def install() -> Gathered:
    """Have modules come from the file from now on."""
    gathered = Gathered(_read())
    sys.meta_path.insert(0, gathered)
    return gathered


def keep(gathered: Gathered) -> None:
    """Add what had to be loaded in the usual way. Failing to write it down is no failure."""
    found: dict[str, _Entry] = {}
    for name, module in list(sys.modules.items()):
        entry = _entry(name, module, gathered)
        if entry is not None:
            found[name] = entry
    if not found:
        return
    beside = f"{path()}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with open(os.open(beside, flags, 0o644), "wb") as file:
            marshal.dump(gathered.entries | found, file)
        os.replace(beside, path())
    except OSError:
        _remove(beside)


def _remove(beside: str) -> None:
    try:
        os.unlink(beside)
    except OSError:
        return


def _entry(name: str, module: object, gathered: Gathered) -> _Entry | None:
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
    return (source, spec.submodule_search_locations is not None, *version, code)


def _version(source: str) -> tuple[int, int] | None:
    try:
        found = os.stat(source)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _read() -> dict[str, _Entry]:
    """Nothing if it cannot be read, or if somebody else could have written it."""
    try:
        with open(path(), "rb") as file:
            about = os.fstat(file.fileno())
            if about.st_mode & _OTHERS_MAY_WRITE or about.st_uid not in (0, os.geteuid()):
                return {}
            found: dict[str, _Entry] = marshal.load(file)
    except (OSError, EOFError, ValueError, TypeError):
        return {}
    return found
