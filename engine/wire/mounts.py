"""Lay out mounts as Docker's API writes them, of services and of single containers."""

from msgspec import Struct

from engine.wire.decoding import Int64, Uint32


class BindJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What is special about a directory of the host."""

    propagation: str = ""
    non_recursive: bool = False
    create_mountpoint: bool = False
    read_only_non_recursive: bool = False
    read_only_force_recursive: bool = False


class VolumeDriverJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Who makes the volume, and from what."""

    name: str = ""
    options: dict[str, str] = {}


class VolumeOptionsJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What is special about a volume."""

    no_copy: bool = False
    labels: dict[str, str] = {}
    subpath: str = ""
    driver_config: VolumeDriverJson | None = None
    roams: bool | None = None  # ours


class TmpfsJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """What is special about memory."""

    size_bytes: Int64 = 0
    mode: Uint32 = 0
    options: tuple[tuple[str, ...], ...] = ()


class MountJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """One mount."""

    type: str = ""
    source: str = ""
    target: str = ""
    read_only: bool = False
    consistency: str = ""
    bind_options: BindJson | None = None
    volume_options: VolumeOptionsJson | None = None
    image_options: dict[str, object] | None = None
    tmpfs_options: TmpfsJson | None = None
    cluster_options: dict[str, object] | None = None
