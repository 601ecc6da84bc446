"""Make images of directories, as a builder would."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from msgspec import structs

from agent.images.answers import Collecting
from agent.images.index import Record
from agent.images.io.store import ImageStore
from agent.images.making import Draft
from swarm.images.config import ImageConfig, Step
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
) -> Record:  # fmt: skip
    """An image called `names`, of one layer on top of `parent`."""
    write(upper, files, gone)
    base = await store.rootfs(parent) if parent else None
    config = base.config if base else ImageConfig(platform=Platform("linux", "amd64"))
    asked = Collecting(
        upper=str(upper), below=tuple(map(str, base.layer_dirs)) if base else (), take=take
    )
    async with store.making() as making:
        mark = await making.add_layer(asked)
        return await making.make(
            Draft(
                parent=base.id if base else "",
                layers=(mark.diff_id,),
                config=structs.replace(config, created_at=1.0),
                steps=(Step(created_by="made by a test", created_at=1.0),),
                references=names,
            )
        )
