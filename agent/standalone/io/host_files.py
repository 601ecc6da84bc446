"""Find and change the files that the runtime bound into a container: /etc/hosts, say.

They lie below the run root, where no container can put anything in their place: what is written
there is what the container has. A container that mounts a file of its own over one has none.
"""

import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from runtime.layout import ContainerDir

HOSTS: Final = "/etc/hosts"
RESOLV_CONF: Final = "/etc/resolv.conf"
SHARED: Final = (HOSTS, RESOLV_CONF, "/etc/hostname")
"""What containers have in common that share a network."""


class _File(Struct, frozen=True):
    path: str


class _Spec(Struct, frozen=True):
    files: tuple[_File, ...] = ()
    hostname: str = ""


class HostFiles:
    """The files of all containers of this node, whose runtime has that run root."""

    def __init__(self, run_root: str) -> None:
        self._run_root = run_root

    def places(self, container_id: str) -> dict[str, str]:
        """Where on the host the files are that a container has by its paths."""
        directory = ContainerDir(self._run_root, container_id)
        return {
            each.path: f"{directory.path}/files/{number}"
            for number, each in enumerate(self._spec(container_id).files)
        }

    def hostname(self, container_id: str) -> str:
        """What a container is called."""
        return self._spec(container_id).hostname

    def read(self, container_id: str, path: str) -> str | None:
        """What it has there; None where that is not ours."""
        place = self.places(container_id).get(path)
        try:
            return Path(place).read_text(errors="replace") if place else None
        except OSError:
            return None

    def write(self, container_id: str, path: str, content: str) -> None:
        """Change what it has there, in its place: it is bound, and another file would not be."""
        place = self.places(container_id).get(path)
        if not place:
            return
        text = content.encode()
        try:
            descriptor = os.open(place, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return  # it ended
        try:
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)

    def _spec(self, container_id: str) -> _Spec:
        path = Path(ContainerDir(self._run_root, container_id).spec_file)
        try:
            return msgspec.json.decode(path.read_bytes(), type=_Spec)
        except (OSError, msgspec.DecodeError):
            return _Spec()
