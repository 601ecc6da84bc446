"""Run a small Python program beside a test."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def running(source: str, *args: object) -> Generator[subprocess.Popen[bytes]]:
    """A program that has written its first line, with which it says that it is ready."""
    argv = [sys.executable, "-c", source, *map(str, args)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline()
            yield program
        finally:
            program.kill()
