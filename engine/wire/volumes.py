"""Lay out what clients send of volumes."""

from msgspec import Struct


class VolumeJson(Struct, frozen=True, kw_only=True, rename="pascal"):
    """A volume to be made."""

    name: str = ""
    driver: str = ""
    driver_opts: dict[str, str] = {}
    labels: dict[str, str] = {}
    cluster_volume_spec: dict[str, object] | None = None
