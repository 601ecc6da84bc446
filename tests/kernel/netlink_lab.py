"""Throw-away network namespaces, made by the code under test, and the tools that look into them."""

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

from agent.network.io import namespaces
from agent.network.io.netlink import Socket


def where() -> int:
    """Which network namespace this thread is in."""
    return Path("/proc/thread-self/ns/net").stat().st_ino


class Place:
    """A namespace at `path`; `netns` is open, and `socket` speaks to its kernel."""

    def __init__(self, path: Path) -> None:
        namespaces.make(path)
        self.path = path
        self.netns = namespaces.opened(path)
        self.socket = Socket(self.netns)

    def run(self, *argv: str, given: str | None = None) -> str:
        """What a program prints in it."""
        done = subprocess.run(
            ["nsenter", f"--net={self.path}", *argv],
            input=given, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (argv, done.stderr)
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """Start a program in it that the caller ends."""
        return subprocess.Popen(
            ["nsenter", f"--net={self.path}", *argv],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def json(self, *argv: str) -> list[dict[str, Any]]:
        """What a tool prints as JSON."""
        return json.loads(self.run(*argv) or "[]")

    def nft(self, text: str) -> None:
        """Load a ruleset."""
        self.run("nft", "-f", "-", given=text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()
        os.close(self.netns)
        namespaces.remove(self.path)


@contextmanager
def places(directory: Path, *names: str) -> Iterator[list[Place]]:
    """Some namespaces; afterwards nothing is left of them, and this thread is where it was."""
    home, threads = where(), threading.active_count()
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ExitStack() as stack:
        yield [stack.enter_context(Place(directory / name)) for name in names]
    assert where() == home
    assert threading.active_count() == threads
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
    assert not list(directory.iterdir())
