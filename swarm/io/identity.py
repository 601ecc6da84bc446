"""Keep a node's identity on disk, so that key and certificate can never mismatch.

`node.pem` is the identity: key, certificate and root in one file, replaced by one rename.
`root.pem` is a copy of the root alone, for etcd, which wants a file with nothing else in it;
it is written first and is worthless without the other. All processes of a node read these
files; only swarmd writes them.
"""

from pathlib import Path

from swarm.certificates import Identity, read_identity
from swarm.errors import Refused
from swarm.io.private import read_private, remove_private, write_private


class IdentityFiles:
    """The `certificates` directory under the data root."""

    def __init__(self, directory: Path) -> None:
        self.bundle = directory / "node.pem"
        self.root = directory / "root.pem"
        self.pending = directory / "joining.pem"
        self._seen: tuple[int, int] | None = None
        self._current: Identity | None = None

    def load(self) -> Identity | None:
        """The identity on disk, checked; None when this node has none."""
        content = read_private(self.bundle)
        return None if content is None else read_identity(content)

    def current(self) -> Identity:
        """The identity, read again whenever its file was replaced. Costs one `stat`.

        `Refused` when this node has none, which happens once it has left.
        """
        found = self._stamp()
        if self._current is None or found != self._seen:
            loaded = self.load()
            if loaded is None:
                raise Refused("this node has no certificate", hint="join a swarm first")
            self._current, self._seen = loaded, found
        return self._current

    def install(self, identity: Identity) -> None:
        """Make `identity` this node's, all of it or nothing.

        The key it joined with stays in `joining.pem` until the first renewal: should we die
        before the membership is committed, joining again must give the same node.
        """
        write_private(self.root, identity.root)
        write_private(self.bundle, identity.bundle)
        if read_private(self.pending) != identity.key:
            remove_private(self.pending)

    def retract(self) -> None:
        """Remove an identity that nobody counts on yet. The key that it was asked for with stays,
        so that asking again gives the same node."""
        for path in (self.bundle, self.root):
            remove_private(path)
        self._current = self._seen = None

    def forget(self) -> None:
        """Remove the identity for good; the bundle goes first, for it is the one that counts."""
        self.retract()
        remove_private(self.pending)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self.bundle.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns
