"""Hold an image's configuration while it grows, and write it down.

It is Docker's, field by field; what its base has is kept where no instruction says otherwise.
The document's digest is the image's id, so equal content and history make equal ids.
"""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.images.digest import digest_of
from swarm.images.manifest import MANIFEST_LIMIT_BYTES
from swarm.images.platform import Platform

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_SHELL = ("/bin/sh", "-c")
_NANOSECONDS = 1_000_000_000


class HealthConfig(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """A health check; times are nanoseconds."""

    test: tuple[str, ...] | None = None
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


class RunConfig(Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """How containers of an image run."""

    hostname: str = ""
    domainname: str = ""
    user: str = ""
    exposed_ports: dict[str, dict[str, str]] | None = None
    env: tuple[str, ...] | None = None
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    healthcheck: HealthConfig | None = None
    args_escaped: bool = False
    volumes: dict[str, dict[str, str]] | None = None
    working_dir: str = ""
    on_build: tuple[str, ...] | None = None
    labels: dict[str, str] | None = None
    stop_signal: str = ""
    stop_timeout: int | None = None
    shell: tuple[str, ...] | None = None

    @property
    def environment(self) -> dict[str, str]:
        """The variables by name."""
        split = (entry.partition("=") for entry in self.env or ())
        return {name: value for name, _, value in split}

    def with_env(self, values: Mapping[str, str]) -> "RunConfig":
        """With these variables, each where it was if it was there."""
        known = [(entry.partition("=")[0], entry) for entry in self.env or ()]
        kept = [f"{n}={values[n]}" if n in values else entry for n, entry in known]
        names = {name for name, _ in known}
        added = [f"{name}={value}" for name, value in values.items() if name not in names]
        return replace(self, env=(*kept, *added))


class History(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How one step came to be; one without a layer is `empty_layer`."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @property
    def deed(self) -> tuple[str, bool]:
        """What was done, whenever it was."""
        return self.created_by, self.empty_layer


class _RootFs(Struct, frozen=True, kw_only=True):
    type: str = "layers"
    diff_ids: tuple[str, ...] | None = ()


class ImageDocument(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image's configuration, `created` in RFC 3339."""

    architecture: str = ""
    variant: str = ""
    os: str = "linux"
    author: str = ""
    created: str = ""
    comment: str = ""
    config: RunConfig | None = field(default_factory=RunConfig)
    history: tuple[History, ...] | None = ()
    rootfs: _RootFs | None = field(default_factory=_RootFs)

    @property
    def run(self) -> RunConfig:
        """How containers run."""
        return self.config or RunConfig()

    @property
    def deeds(self) -> tuple[History, ...]:
        """The history, the oldest first."""
        return self.history or ()

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """The layers, the lowest first."""
        return (self.rootfs.diff_ids if self.rootfs else None) or ()

    def encode(self) -> bytes:
        """The document. Raises `Invalid` when no registry would take one that long."""
        found = msgspec.json.encode(_with_rootfs(self))
        if len(found) > MANIFEST_LIMIT_BYTES:
            raise Invalid(
                f"the image's configuration would have {len(found)} bytes; {MANIFEST_LIMIT_BYTES}"
                " is the most",
                hint="use fewer steps, variables and labels, or shorter ones",
            )
        return found

    @property
    def id(self) -> str:
        """The digest of the document."""
        return digest_of(self.encode())

    def with_layers(self, diff_ids: tuple[str, ...], deed: History) -> "ImageDocument":
        """With these layers, and one deed more that tells why."""
        return replace(
            self,
            created=deed.created,
            history=(*self.deeds, deed),
            rootfs=_RootFs(diff_ids=diff_ids),
        )

    def grown(
        self, run: RunConfig, *, created: float, created_by: str, author: str, diff_id: str = ""
    ) -> "ImageDocument":
        """After one more step, with one more layer if that has a `diff_id`."""
        at = written(created)
        deed = History(created=at, created_by=created_by, author=author, empty_layer=not diff_id)
        layers = (*self.diff_ids, diff_id) if diff_id else self.diff_ids
        return replace(
            self,
            created=at,
            comment="",
            author=author,
            config=run,
            history=(*self.deeds, deed),
            rootfs=_RootFs(diff_ids=layers),
        )


def _with_rootfs(document: ImageDocument) -> dict[str, object]:
    """`rootfs` is there although it is the default: nothing reads an image without it."""
    found: dict[str, object] = msgspec.to_builtins(document)
    return found | {
        "config": found.get("config", {}),
        "history": found.get("history", []),
        "rootfs": {"type": "layers", "diff_ids": list(document.diff_ids)},
    }


def scratch(platform: Platform) -> ImageDocument:
    """An image of nothing."""
    return _begun(
        ImageDocument(architecture=platform.architecture, variant=platform.variant, os=platform.os)
    )


def imported(
    run: RunConfig, platform: Platform, *, diff_id: str, comment: str, created_at: float
) -> ImageDocument:
    """An image of one layer, that somebody brought."""
    at = written(created_at)
    return ImageDocument(
        architecture=platform.architecture,
        variant=platform.variant,
        os=platform.os,
        created=at,
        comment=comment,
        config=run,
        history=(History(created=at, comment=comment),),
        rootfs=_RootFs(diff_ids=(diff_id,)),
    )


def decode(body: bytes) -> ImageDocument:
    """An image to begin with; `Invalid` when it cannot be read."""
    try:
        return _begun(msgspec.json.decode(body, type=ImageDocument))
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"the base image's configuration cannot be read: {err}") from err


def _begun(document: ImageDocument) -> ImageDocument:
    """With a path for programs, and a line of history for each layer: readers count them."""
    run = document.run
    untold = len(document.diff_ids) - sum(not deed.empty_layer for deed in document.deeds)
    if untold > 0:
        lines = tuple(History(created=document.created) for _ in range(untold))
        document = replace(document, history=(*lines, *document.deeds))
    if "PATH" not in run.environment:
        run = replace(run, env=(*(run.env or ()), PATH))
    return replace(document, config=run)


def written(seconds: float) -> str:
    """A time as Go writes it, to the microsecond."""
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds")
    return text.replace("+00:00", "Z")


def nanoseconds(seconds: float) -> int:
    """A span of time in Docker's unit."""
    return round(seconds * _NANOSECONDS)
