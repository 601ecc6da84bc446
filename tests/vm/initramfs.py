"""Build what the kernel starts with: busybox, a handful of modules, and `guest/init`."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.vm.kernel import Kernel

GUEST = Path(__file__).parent / "guest"
# The rest is loaded from the host's file system once that is there.
MODULES = ("virtio_pci", "virtio_blk", "virtiofs", "overlay")


def build(kernel: Kernel, directory: Path) -> Path:
    """Write the archive into `directory`."""
    root = directory / "initramfs"
    for each in ("bin", "dev", "disk", "host", "proc", "root", "sys"):
        (root / each).mkdir(parents=True)
    shutil.copy("/bin/busybox", root / "bin")
    shutil.copy(GUEST / "init", root)
    (root / "init").chmod(0o755)
    below = root / "lib/modules" / kernel.release
    below.mkdir(parents=True)
    shutil.copy(kernel.modules / "modules.dep", below)
    for module in _with_dependencies(kernel):
        (below / module).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(kernel.modules / module, below / module)
    names = "\n".join(os.path.relpath(path, root) for path in sorted(root.rglob("*")))
    archive = directory / "initramfs.cpio"
    with archive.open("wb") as file:
        subprocess.run(
            ["busybox", "cpio", "-o", "-H", "newc"], cwd=root, input=names.encode(),
            stdout=file, stderr=subprocess.DEVNULL, check=True,
        )  # fmt: skip
    return archive


def _with_dependencies(kernel: Kernel) -> set[str]:
    found: set[str] = set()
    for line in (kernel.modules / "modules.dep").read_text().splitlines():
        module, _, needs = line.partition(":")
        if Path(module).stem in MODULES:
            found |= {module, *needs.split()}
    return found
