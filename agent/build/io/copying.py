"""Copy files into an image's file system, as COPY and ADD mean it.

A file goes to the target, or into it where that is a directory; of a directory it is the content
that is copied. What is in the way is replaced; directories are merged, also with one that a
link of the image leads to. No path leads out of the image, nor out of where the files come from.
"""

import errno
import os
import posixpath
import stat
import tarfile
from typing import Final

from agent.build.ignoring import ignored
from agent.build.io import unpacking
from agent.build.io.finding import is_excluded, walk
from agent.build.io.rooted import NEW_FILE, Root, remove
from agent.build.io.streams import Stream, is_archive
from agent.build.modes import apply_mode
from agent.build.orders import Put, Source
from agent.build.owners import find_owner
from agent.images.io.packing import kept_xattrs
from swarm.errors import Invalid

_PIECE_BYTES: Final = 1 << 26
_TABLE_BYTES: Final = 16 << 20


def put(order: Put, source: Root | None, target: Root) -> None:
    """Copy everything that `order` names from `source` into `target`."""
    _Copier(order, source, target).run()


class _Copier:
    def __init__(self, order: Put, source: Root | None, target: Root) -> None:
        self._order = order
        self._source = source
        self._target = target
        self._excluded = ignored(order.excluded)
        self._owner: tuple[int, int] | None = None if order.owners else (0, 0)
        if order.owner:
            self._owner = find_owner(
                order.owner,
                passwd=target.read("etc/passwd", _TABLE_BYTES) or "",
                group=target.read("etc/group", _TABLE_BYTES) or "",
            )
        self._links: dict[tuple[int, int], str] = {}

    def run(self) -> None:
        for content in self._order.contents:
            self._write(content.name, content.text.encode(errors="surrogateescape"))
        for each in self._order.sources:
            if each.is_directory:
                self._directory(each)
            else:
                self._single(each)

    def _place(self, name: str, below: str = "") -> str:
        """Where a file called `name` goes."""
        target = self._order.target
        if below:
            return posixpath.join(target, below, name)
        if target.endswith("/") or self._target.is_directory(target):
            return posixpath.join(target, name)
        return target

    def _parent(self, path: str) -> tuple[int, str]:
        above, name = posixpath.split(path.rstrip("/"))
        if name in ("", ".", ".."):
            raise Invalid(f"{path!r} is no place for a file")
        directory = self._target.make_directories(above, *(self._owner or (0, 0)))
        return directory, name

    def _write(self, name: str, content: bytes) -> None:
        parent, name = self._cleared(self._place(name))
        descriptor = os.open(name, NEW_FILE, 0o600, dir_fd=parent)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fchown(descriptor, *(self._owner or (0, 0)))
            os.fchmod(descriptor, apply_mode(self._order.mode, 0o644, is_directory=False))
        finally:
            os.close(descriptor)

    def _single(self, each: Source) -> None:
        """One file; a link is followed, for it is its content that was named."""
        source = self._source
        assert source is not None
        status = source.status(each.path)
        if status is None:
            raise Invalid(f"{each.path} vanished while it was copied")
        if stat.S_ISREG(status.st_mode):
            with source.opened(each.path) as descriptor:
                if self._order.unpacks and is_archive(descriptor):
                    self._unpack(descriptor, each)
                    return
                place = self._place(posixpath.basename(each.path), each.below)
                parent, name = self._cleared(place)
                self._copy_file(descriptor, parent, name, os.fstat(descriptor))
            return
        parent, name = self._cleared(self._place(posixpath.basename(each.path), each.below))
        make_node(parent, name, status, self._owned(status), link="")

    def _unpack(self, descriptor: int, each: Source) -> None:
        owner = self._owner if self._order.owner else None

        def owned(info: tarfile.TarInfo) -> tuple[int, int]:
            return owner or (info.uid, info.gid)

        below = self._order.target.strip("/")
        self._target.make_directories(below)
        with open(os.dup(descriptor), "rb") as file:
            unpacking.unpack(Stream(file), self._target, below=below, what=each.path, owner=owned)

    def _directory(self, top: Source) -> None:
        source = self._source
        assert source is not None
        target = posixpath.join(self._order.target, top.below).rstrip("/")
        is_new = not self._target.is_directory(target or "/")
        directory = self._target.make_directories(target)
        if is_new:
            self._describe_new(directory)
        later: list[tuple[str, os.stat_result]] = []
        for path in walk(source, top.path, 0):
            inner = posixpath.relpath(path, top.path or ".")
            if not self._is_left_out(path, inner):
                status = self._copy(path, posixpath.join(target, inner))
                if stat.S_ISDIR(status.st_mode):
                    later.append((posixpath.join(target, inner), status))
        for path, status in reversed(later):
            times = (status.st_mtime_ns, status.st_mtime_ns)
            os.utime(self._target.directory(path), ns=times)

    def _describe_new(self, directory: int) -> None:
        if self._order.owner and self._owner:
            os.fchown(directory, *self._owner)
        if self._order.mode:
            os.fchmod(directory, apply_mode(self._order.mode, 0o755, is_directory=True))

    def _is_left_out(self, path: str, inner: str) -> bool:
        return is_excluded(self._excluded, path, inner)

    def _copy(self, path: str, target: str) -> os.stat_result:
        """Copy what is at `path` itself, no link followed."""
        assert self._source is not None
        above, name = posixpath.split(path)
        status = os.stat(name, dir_fd=self._source.directory(above), follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._merge(target, path, status)
            return status
        parent, new = self._cleared(target)
        if not stat.S_ISREG(status.st_mode):
            link = ""
            if stat.S_ISLNK(status.st_mode):
                link = os.readlink(name, dir_fd=self._source.directory(above))
            make_node(parent, new, status, self._owned(status), link=link)
            return status
        known = self._links.get((status.st_dev, status.st_ino))
        if status.st_nlink > 1 and known is not None and self._linked(known, parent, new):
            return status
        with self._source.opened(path) as descriptor:
            self._copy_file(descriptor, parent, new, os.fstat(descriptor))
        if status.st_nlink > 1:
            self._links[status.st_dev, status.st_ino] = target
        return status

    def _linked(self, known: str, parent: int, name: str) -> bool:
        above, first = posixpath.split(known)
        holder = os.dup(parent)
        try:
            directory = self._target.directory(above)
            os.link(first, name, src_dir_fd=directory, dst_dir_fd=holder, follow_symlinks=False)
        except OSError as err:
            if err.errno not in (errno.EXDEV, errno.EMLINK, errno.ENOENT):
                raise
            return False
        finally:
            os.close(holder)
        return True

    def _merge(self, target: str, path: str, status: os.stat_result) -> None:
        assert self._source is not None
        if not self._target.is_directory(target):
            parent, name = self._cleared(target)
            os.mkdir(name, 0o700, dir_fd=parent)
        directory = self._target.directory(target)
        self._own(directory, status)
        mode = apply_mode(self._order.mode, stat.S_IMODE(status.st_mode), is_directory=True)
        os.fchmod(directory, mode)
        copy_xattrs(self._source.directory(path), directory)

    def _cleared(self, path: str) -> tuple[int, str]:
        """A directory and a name in it, with nothing there any more."""
        parent, name = self._parent(path)
        try:
            status = os.stat(name, dir_fd=parent, follow_symlinks=False)
        except FileNotFoundError:
            return parent, name
        remove(parent, name)
        if not stat.S_ISREG(status.st_mode):
            self._target.forget()
        return self._parent(path)

    def _copy_file(self, source: int, parent: int, name: str, status: os.stat_result) -> None:
        descriptor = os.open(name, NEW_FILE, 0o600, dir_fd=parent)
        try:
            _copy_content(source, descriptor, status.st_size)
            self._own(descriptor, status)
            mode = apply_mode(self._order.mode, stat.S_IMODE(status.st_mode), is_directory=False)
            os.fchmod(descriptor, mode)
            copy_xattrs(source, descriptor)
            os.utime(descriptor, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(descriptor)

    def _owned(self, status: os.stat_result) -> tuple[int, int]:
        return self._owner or (status.st_uid, status.st_gid)

    def _own(self, descriptor: int, status: os.stat_result) -> None:
        os.fchown(descriptor, *self._owned(status))


def copy_described(source: int, name: str, target: int, status: os.stat_result) -> None:
    """Copy one entry that is no directory from one open directory to another, as it is."""
    if not stat.S_ISREG(status.st_mode):
        link = os.readlink(name, dir_fd=source) if stat.S_ISLNK(status.st_mode) else ""
        make_node(target, name, status, (status.st_uid, status.st_gid), link=link)
        return
    descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        made = os.open(name, NEW_FILE, 0o600, dir_fd=target)
        try:
            _copy_content(descriptor, made, status.st_size)
            os.fchown(made, status.st_uid, status.st_gid)
            os.fchmod(made, stat.S_IMODE(status.st_mode))
            copy_xattrs(descriptor, made)
            os.utime(made, ns=(status.st_mtime_ns, status.st_mtime_ns))
        finally:
            os.close(made)
    finally:
        os.close(descriptor)


def make_node(
    parent: int, name: str, status: os.stat_result, owner: tuple[int, int], *, link: str
) -> None:
    """Make what is neither a directory nor a regular file; sockets are left out."""
    if stat.S_ISSOCK(status.st_mode):
        return
    if link:
        os.symlink(link, name, dir_fd=parent)
    else:
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=parent)
    os.chown(name, *owner, dir_fd=parent, follow_symlinks=False)
    if not link:
        os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=parent)
    times = (status.st_mtime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=parent, follow_symlinks=False)


def copy_xattrs(source: int, target: int) -> None:
    """Copy the attributes that mean the same everywhere."""
    for name in kept_xattrs(os.listxattr(source)):
        try:
            os.setxattr(target, name, os.getxattr(source, name))
        except OSError as err:
            if err.errno != errno.EOPNOTSUPP:
                raise


def _copy_content(source: int, target: int, size: int) -> None:
    """Copy hole by hole, and blocks by reference where the file system can."""
    os.ftruncate(target, size)
    position = 0
    while position < size:
        try:
            start = os.lseek(source, position, os.SEEK_DATA)
            end = min(size, os.lseek(source, start, os.SEEK_HOLE))
        except OSError as err:
            if err.errno == errno.ENXIO:
                return
            raise
        position = start
        while position < end:
            piece = min(_PIECE_BYTES, end - position)
            try:
                copied = os.copy_file_range(source, target, piece, position, position)
            except OSError as err:
                if err.errno not in (errno.EXDEV, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                copied = os.pwrite(
                    target, os.pread(source, min(piece, 1 << 20), position), position
                )
            if not copied:
                return
            position += copied
