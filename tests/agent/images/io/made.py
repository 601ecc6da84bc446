"""Make images of directories, as a builder would."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from agent.build.image import decode, scratch
from agent.images.answers import Collecting
from agent.images.io.store import ImageStore
from swarm.images.platform import Platform


def write(upper: Path, files: Mapping[str, bytes], gone: tuple[str, ...] = ()) -> Path:
    """A directory as overlayfs leaves it, with `files`, and without what is `gone`."""
    for name, content in files.items():
        path = upper / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in gone:
        (upper / name).parent.mkdir(parents=True, exist_ok=True)
        os.mknod(upper / name, stat.S_IFCHR, os.makedev(0, 0))
    upper.mkdir(exist_ok=True)
    return upper


async def made(
    store: ImageStore, upper: Path, *names: str, parent: str = "",
    files: Mapping[str, bytes], gone: tuple[str, ...] = (), take: bool = False,
) -> str:  # fmt: skip
    """An image called `names`, of one layer on top of `parent`; gives its id."""
    write(upper, files, gone)
    building = store.building()
    hold = building.hold()
    try:
        base = await building.base(parent, hold) if parent else None
        below = (await store.rootfs(parent)).layer_dirs if parent else ()
        asked = Collecting(upper=str(upper), below=tuple(map(str, below)), take=take)
        mark = await building.collect(asked, hold)
        document = decode(base.document) if base else scratch(Platform("linux", "amd64"))
        grown = document.grown(
            document.run,
            created=1.0,
            created_by="made by a test",
            author="",
            diff_id=mark.diff_id,
        )
        return await building.list(
            grown.encode(), base, grown.diff_ids,
            references=names, created_at=1.0, now=2.0, hold=hold,
        )  # fmt: skip
    finally:
        hold.release()
