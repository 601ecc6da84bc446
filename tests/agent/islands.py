"""A host's network for tests: a namespace with one way to the machine, made and removed whole."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path


class Island:
    """A namespace in which `address` is the host's own; `manager` is the machine's end."""

    def __init__(self) -> None:
        pid = os.getpid()
        self.name = f"swi{pid}"
        first = (pid >> 6 & 0xFF, (pid & 0x3F) * 4)
        self.manager = f"198.19.{first[0]}.{first[1] + 1}"
        self.address = f"198.19.{first[0]}.{first[1] + 2}"
        self.path = Path("/run/netns") / self.name
        run("ip", "netns", "add", self.name)
        self.ip("link", "set", "lo", "up")
        run("ip", "link", "add", self.name, "type", "veth",
            "peer", "name", "eth0", "netns", self.name)  # fmt: skip
        run("ip", "addr", "add", f"{self.manager}/30", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        self.ip("addr", "add", f"{self.address}/30", "dev", "eth0")
        self.ip("link", "set", "eth0", "up")
        self.ip("route", "add", "default", "via", self.manager)

    def ip(self, *words: str) -> str:
        return run("ip", "-n", self.name, *words)

    def close(self) -> None:
        subprocess.run(("ip", "link", "del", self.name), capture_output=True, check=False)
        run("ip", "netns", "del", self.name)


@contextlib.contextmanager
def island() -> Iterator[Island]:
    made = Island()
    try:
        yield made
    finally:
        made.close()


def run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"
    return done.stdout
