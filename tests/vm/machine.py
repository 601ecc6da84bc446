"""Run a command in a virtual machine that sees this host's files and has cgroup v2 only.

The processor is emulated (TCG), for nested virtualisation is rarely to be had where tests
run. That is ten to twenty times slower than the host, and exact: nothing is left out. The
host's file system comes in over virtiofs, read-only, below an overlay on a scratch disk.
"""

import contextlib
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from swarm.errors import Missing
from tests.vm import initramfs
from tests.vm.kernel import Kernel

EMULATOR = "qemu-system-x86_64"
FILE_SERVERS = ("/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd")
GUEST = Path(__file__).parent / "guest" / "run"
_MEMORY = "3G"
# What NumPy asks for at least; wider vectors only cost an emulator time.
_PROCESSOR = "qemu64,+cx16,+lahf-lm,+popcnt,+ssse3,+sse4.1,+sse4.2"
_DISK = 8 << 30


def run(kernel: Kernel, command: list[str], *, timeout_s: float) -> int:
    """Boot, run `command` in the repository with its output on ours; its exit code.

    Raises `Missing` if this host lacks what it takes.
    """
    with tempfile.TemporaryDirectory(prefix="kernel-v2-") as temporary:
        directory = Path(temporary)
        disk = _disk(directory, command)
        archive = initramfs.build(kernel, directory)
        console, result = directory / "console", directory / "result"
        result.write_bytes(bytes(512))
        with _file_server(directory) as share:
            argv = _argv(kernel, console, archive, share, disk, result)
            try:
                subprocess.run(argv, stdin=subprocess.DEVNULL, check=False, timeout=timeout_s)
            except subprocess.TimeoutExpired:
                print(f"\nkernel-v2: not done within {timeout_s:.0f} s", file=sys.stderr)
        told = result.read_bytes().partition(b"\n")[0]
        if not told.isdigit():  # the guest never said how its command ended
            print(console.read_text(errors="replace")[-4000:], file=sys.stderr)
            return 1
        return int(told)


def _disk(directory: Path, command: list[str]) -> Path:
    """A sparse disk with the command in its /tmp."""
    content = directory / "disk"
    content.mkdir()
    (content / "command").write_text(shlex.join(command) + "\n")
    disk = directory / "disk.img"
    with disk.open("wb") as file:
        file.truncate(_DISK)
    subprocess.run(
        ["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", content, disk], check=True
    )
    return disk


@contextlib.contextmanager
def _file_server(directory: Path) -> Iterator[Path]:
    """Serve the host's file system on a socket; it ends with its only client."""
    program = next((path for path in FILE_SERVERS if Path(path).exists()), None)
    if program is None:
        raise Missing(f"none of {', '.join(FILE_SERVERS)} is there", hint="install virtiofsd")
    share = directory / "share"
    with (directory / "share.log").open("wb") as log:
        server = subprocess.Popen(
            [program, f"--socket-path={share}", "-o", "source=/", "-o", "cache=always",
             "-o", "sandbox=chroot"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not share.exists():
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit((directory / "share.log").read_text())
            time.sleep(0.01)
        yield share
    finally:
        server.terminate()
        server.wait(60)


def _argv(
    kernel: Kernel, console: Path, archive: Path, share: Path, disk: Path, result: Path
) -> list[str]:
    words = f"console=ttyS0 quiet panic=-1 guest={GUEST} modules={kernel.modules.parent}"
    return [
        EMULATOR, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-accel", "tcg,thread=multi,tb-size=1024", "-cpu", _PROCESSOR, "-smp", "2", "-m", _MEMORY,
        "-object", f"memory-backend-memfd,id=memory,size={_MEMORY},share=on",
        "-numa", "node,memdev=memory",
        "-kernel", str(kernel.image), "-initrd", str(archive), "-append", words,
        "-serial", f"file:{console}", "-serial", "stdio",
        *_drive("disk", disk), *_drive("result", result),
        "-chardev", f"socket,id=share,path={share}",
        "-device", "vhost-user-fs-pci,chardev=share,tag=host",
    ]  # fmt: skip


def _drive(name: str, file: Path) -> tuple[str, ...]:
    drive = f"file={file},if=none,id={name},format=raw,cache=unsafe"
    return "-drive", drive, "-device", f"virtio-blk-pci,drive={name}"
