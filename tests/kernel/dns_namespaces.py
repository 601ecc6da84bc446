"""Throw-away network namespaces that play containers."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Self

NETNS = Path("/run/netns")


class Container:
    """A namespace with its loopback up; `descriptor` is open until it is removed."""

    def __init__(self, name: str) -> None:
        self.name = name
        subprocess.run(["ip", "netns", "add", name], check=True)
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        self.descriptor = os.open(NETNS / name, os.O_RDONLY | os.O_CLOEXEC)

    def run(self, *argv: str, given: str | None = None, within_s: float = 20) -> str:
        """What a program prints that runs in it, without its resolver's configuration."""
        done = subprocess.run(
            ["nsenter", f"--net={NETNS / self.name}", *argv],
            input=given,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program in it that the caller ends."""
        return subprocess.Popen(
            ["nsenter", f"--net={NETNS / self.name}", *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def forget(self) -> None:
        """Remove its name, as when it ended: only what still refers to it keeps it."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
            subprocess.run(["ip", "netns", "del", self.name], check=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.forget()


@contextlib.contextmanager
def containers(count: int, prefix: str) -> Iterator[list[Container]]:
    """Several of them."""
    made: list[Container] = []
    try:
        for number in range(count):
            made.append(Container(f"{prefix}{number}"))
        yield made
    finally:
        for each in made:
            each.forget()
