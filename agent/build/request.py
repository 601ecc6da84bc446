"""Say what a build is to do, as its caller asked for it."""

from msgspec import Struct

from swarm.errors import Invalid
from swarm.images.platform import Platform
from swarm.specs import Limits, Ulimit

DOCKERFILE = "Dockerfile"
DEFAULT_PIDS = 4096
_SYSTEMS = ("linux",)


class Request(Struct, frozen=True, kw_only=True):
    """One build; what each field means is said in `builds.proto`."""

    dockerfile: str = ""
    tags: tuple[str, ...] = ()
    args: dict[str, str] = {}
    unset_args: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    target: str = ""
    no_cache: bool = False
    cache_from: tuple[str, ...] = ()
    pull: bool = False
    quiet: bool = False
    squash: bool = False
    network_mode: str = ""
    limits: Limits = Limits()
    cpu_shares: int = 0
    cpu_period_us: int = 0
    cpu_quota_us: int = 0
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    shm_bytes: int = 0
    ulimits: tuple[Ulimit, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    platform: str = ""
    remote: str = ""
    registry_auths: dict[str, str] = {}
    dockerfile_text: str = ""

    @property
    def dockerfile_name(self) -> str:
        """Where the Dockerfile is in the context."""
        return self.dockerfile or DOCKERFILE


def parse_platform(text: str, own: Platform) -> Platform:
    """`linux/arm64/v8`, or a part of it; empty is `own`."""
    if not text:
        return own
    parts = text.lower().split("/")
    if len(parts) > 3 or not all(parts):
        raise Invalid(f'"{text}": unknown operating system or architecture: invalid argument')
    if len(parts) == 1 and parts[0] == own.architecture:
        return Platform("linux", parts[0], own.variant)
    if parts[0] not in _SYSTEMS:
        raise Invalid(
            f'"{text}": unknown operating system or architecture: invalid argument',
            hint=f"images are built for {own}",
        )
    if len(parts) == 1:
        return own
    return Platform(parts[0], parts[1], parts[2] if len(parts) == 3 else "")
