"""Build images on a machine of the kernel tests: the real worker, store and runtime, no agent."""

import asyncio
import io
import json
import tarfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from agent.build.io.building import Build
from agent.build.io.caching import Cache
from agent.build.io.shop import Shop
from agent.build.io.spares import Workers
from agent.build.request import Request
from agent.containers import Node
from agent.images.image import LayerProgress, RootFs
from agent.images.io.store import ImageStore
from agent.standalone.lending import Lent
from agent.standalone.record import Record
from agent.templates import Host
from runtime.io.client import Runtime
from swarm.errors import Unavailable
from swarm.ids import NodeId
from swarm.images.platform import platform_of
from tests.images import docker_archive
from tests.kernel.machine import Machine

HISTORY = [{"created": "2024-01-01T00:00:00Z", "created_by": "busybox"}]


class Hearing:
    """What a build says."""

    def __init__(self) -> None:
        self.said: list[tuple[str, bool]] = []
        self.exit_code: int | None = None
        self.heard = asyncio.Event()

    @property
    def all(self) -> str:
        return "".join(text for text, _ in self.said)

    @property
    def printed(self) -> str:
        """Without what programs wrote as errors: the two ways do not wait for each other."""
        return "".join(text for text, is_error in self.said if not is_error)

    async def text(self, text: str, is_error: bool = False) -> None:
        self.said.append((text, is_error))
        self.heard.set()

    async def failed(self, exit_code: int) -> None:
        self.exit_code = exit_code

    def layer(self, progress: LayerProgress) -> None:
        pass

    async def until(self, words: str) -> None:
        """Wait until it said `words`."""
        async with asyncio.timeout(20):
            while words not in self.all:
                self.heard.clear()
                await self.heard.wait()


class FakeNetworks:
    """Gives every container a network of its own with nothing in it, or the host's."""

    def __init__(self) -> None:
        self.lent: list[str] = []

    async def lend(self, record: Record) -> Lent:
        self.lent.append(record.id)
        return Lent(on_host=record.spec.network_mode == "host", asks_us=False)

    async def attach(self, record: Record, lent: Lent, netns: int) -> None:
        pass

    async def release(self, container_id: str) -> None:
        self.lent.remove(container_id)


class Builder:
    """Builds images below `machine.base`, or on the disk at `data`. Make it inside a loop."""

    def __init__(self, machine: Machine, *, data: Path | None = None, **node: Any) -> None:
        self.machine = machine
        self.data = data or machine.base / "data"
        self.data.mkdir(exist_ok=True)
        self.store = ImageStore(self.data / "images")
        self.runtime = Runtime(run_root=machine.run_root, launcher_socket=machine.socket)
        self.networks = FakeNetworks()
        building = self.store.building()
        self.cache = Cache(
            self.data / "build", building, clock=time.time, log=structlog.get_logger()
        )
        self.node = Node(
            host=Host(node_id=NodeId("n1"), hostname="host1", arch="x86_64"),
            containers=str(self.data / "containers"),
            volumes=str(self.data / "volumes"),
            cgroup_parent=machine.cgroup_parent,
            **node,
        )
        self.shop = Shop(
            building=building,
            workers=Workers(building.temporary, building.layers, kept_s=0),
            cache=self.cache,
            runtime=self.runtime,
            networks=self.networks,
            node=lambda: self.node,
            pull=_no_registry,
            platform=platform_of("x86_64"),
            data_root=self.data,
            clock=time.time,
        )

    async def load_base(self, name: str = "busy:1", **config: Any) -> None:
        """Have a busybox to begin with."""
        path = docker_archive(
            self.machine.base / "base.tar", name, config={"Env": ["PATH=/bin"]} | config
        )
        await self.load(path)

    async def load(self, path: Path) -> None:
        """Have the images of an archive."""
        await self.store.load(pieces(path.read_bytes()))

    async def build(
        self,
        text: str = "",
        files: Mapping[str, bytes | str] | None = None,
        *,
        context: bytes | None = None,
        hearing: Hearing | None = None,
        **asked: Any,
    ) -> tuple[str, Hearing]:
        """Build what `text` says of `files`; the image's id, and what was said."""
        heard = hearing or Hearing()
        sent = context if context is not None else tar({"Dockerfile": text, **(files or {})})
        image_id = await Build(Request(**asked), self.shop, heard).run(pieces(sent))
        return image_id, heard

    def config(self, name: str) -> dict[str, Any]:
        """The configuration of an image."""
        found: dict[str, Any] = json.loads(self.store.inspect(name).config_json)
        return found

    async def rootfs(self, name: str) -> RootFs:
        return await self.store.rootfs(name)

    async def read(self, name: str, path: str) -> str:
        """A file of an image, as overlayfs would show it; links are not followed."""
        for layer in (await self.rootfs(name)).layer_dirs:
            found = layer / path.lstrip("/")
            if found.is_symlink() or found.exists():
                return str(found.readlink()) if found.is_symlink() else found.read_text()
        raise FileNotFoundError(path)

    async def top(self, name: str) -> list[str]:
        """What is in the topmost layer, with modes and owners."""
        layer = (await self.rootfs(name)).layer_dirs[0]
        return [
            f"{each.relative_to(layer)} {each.lstat().st_mode & 0o7777:o}"
            f" {each.lstat().st_uid}:{each.lstat().st_gid}"
            for each in sorted(layer.rglob("*"))
        ]

    async def check(self) -> None:
        """Nothing of any build is left but images and the cache."""
        await self.shop.workers.settled()
        left = [str(each) for each in (self.data / "images" / "tmp").iterdir()]
        assert not left, left
        assert not self.networks.lent
        containers = self.machine.run_root / "containers"
        found = [each for each in containers.iterdir() if not each.name.startswith(".")]
        assert not found, found
        assert str(self.data / "images") not in Path("/proc/self/mountinfo").read_text()

    async def close(self) -> None:
        await self.runtime.close()


async def _no_registry(reference: str, credentials: object, progress: object) -> None:
    raise Unavailable(f"pull {reference}: no registry in this test")


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1 << 20):
        yield content[start : start + (1 << 20)]


def tar(files: Mapping[str, bytes | str], *, mode: str = "w") -> bytes:
    """An archive of `files`; a name that ends with a slash is a directory."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            encoded = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.mode = 0o644
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            elif isinstance(content, str) and content.startswith("-> "):
                entry.type, entry.linkname = tarfile.SYMTYPE, content.removeprefix("-> ")
            else:
                entry.size = len(encoded)
            archive.addfile(entry, io.BytesIO(encoded) if entry.size else None)
    return raw.getvalue()


Story = Callable[[Builder], Awaitable[None]]


def tell(machine: Machine, story: Story, *, data: Path | None = None) -> None:
    """Tell `story` with a builder that has `busy:1`; it must leave nothing but images."""

    async def whole() -> None:
        builder = Builder(machine, data=data)
        try:
            await builder.load_base()
            await story(builder)
            await builder.check()
        finally:
            await builder.close()

    asyncio.run(whole())
