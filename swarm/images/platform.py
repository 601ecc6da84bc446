"""Say which machines an image is for, in the words of Go and the OCI."""

from msgspec import Struct

_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", "v8"),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "ppc64le": ("ppc64le", ""),
    "s390x": ("s390x", ""),
    "riscv64": ("riscv64", ""),
}


class Platform(Struct, frozen=True):
    """What an image was built for; `variant` may be empty."""

    os: str = "linux"
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        variant = f"/{self.variant}" if self.variant else ""
        return f"{self.os}/{self.architecture}{variant}"


def platform_of(machine: str) -> Platform:
    """The platform of a host whose `uname -m` says `machine`."""
    architecture, variant = _ARCHITECTURES.get(machine, (machine, ""))
    return Platform("linux", architecture, variant)


def suits(offered: Platform, wanted: Platform) -> int:
    """How well `offered` runs on `wanted`: 0 not at all, more is better.

    An arm64 image without a variant is v8; a lower arm variant runs on a higher one.
    """
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return 0
    if offered.variant == wanted.variant:
        return 100
    if not offered.variant or not wanted.variant:
        return 90
    order = ("v5", "v6", "v7", "v8")
    if offered.variant in order and wanted.variant in order:
        below = order.index(wanted.variant) - order.index(offered.variant)
        return 90 - below if below > 0 else 0
    return 0
