"""Have a second kernel at hand: Debian's, unpacked from its package and never installed.

The cloud flavour has everything that containers need and boots in three seconds without
hardware to look for. It is kept below `.cache/vm` until Debian has a newer one.
"""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from msgspec import Struct

from swarm.errors import Missing

CACHE = Path(__file__).parents[2] / ".cache" / "vm"
FLAVOUR = "linux-image-cloud-amd64"


class Kernel(Struct, frozen=True):
    """An unpacked kernel package."""

    image: Path
    modules: Path

    @property
    def release(self) -> str:
        """What `uname -r` says in it."""
        return self.modules.name


def kernel() -> Kernel:
    """Debian's present kernel, from the cache if it is there. Raises `Missing`."""
    package = _package() or _newest_cached()
    directory = CACHE / package
    if not directory.exists():
        _unpack(package, directory)
    found = Kernel(next(directory.glob("boot/vmlinuz-*")), next(directory.glob("lib/modules/*")))
    if not (found.modules / "modules.dep.bin").exists():
        _index(directory, found.release)
    return found


def _package() -> str:
    """The package that the flavour's name stands for today, or nothing if apt does not know."""
    for prepare in ((), ("apt-get", "update", "-qq")):
        if prepare:
            subprocess.run(prepare, check=False)
        told = subprocess.run(
            ["apt-cache", "depends", FLAVOUR], capture_output=True, text=True, check=False
        ).stdout
        if found := re.search(r"Depends: (linux-image-\S+)", told):
            return found[1]
    return ""


def _newest_cached() -> str:
    cached = sorted(CACHE.glob("linux-image-*"), key=lambda path: path.stat().st_mtime)
    if not cached:
        raise Missing(f"apt knows no package {FLAVOUR}", hint="it takes Debian's package lists")
    return cached[-1].name


def _unpack(package: str, directory: Path) -> None:
    """Unpack beside `directory` and rename, so that a broken download is never believed."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        beside = Path(temporary)
        download = ("apt-get", "download", "-qq", "-o", "APT::Sandbox::User=root", package)
        subprocess.run(download, cwd=beside, check=True)
        archive = next(beside.glob("*.deb"))
        subprocess.run(["dpkg", "-x", archive, beside / "root"], check=True)
        _index(beside / "root", next(beside.glob("root/lib/modules/*")).name)
        (beside / "root").rename(directory)


def _index(root: Path, release: str) -> None:
    """Say which modules need which, in the binary form that kmod's `modprobe` reads, too.

    The guest's kernel starts that one (it is in the host's files) for every module that is missing.
    """
    if shutil.which("depmod") is None:
        raise Missing("there is no depmod", hint="install kmod")
    subprocess.run(["depmod", "-b", root, release], check=True)
