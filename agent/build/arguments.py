"""Know the build's variables: who may set them, and where they are seen.

ARG before the first FROM is for FROM alone, unless a stage declares the name again. What the
caller gives counts only where it was declared; the proxies' names need no declaration, and are
kept out of the image's history unless they have one. ENV wins over ARG.
"""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from swarm.images.platform import Platform

PROXIES = frozenset(
    name
    for proxy in ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
    for name in (proxy, proxy.lower())
)


class Arguments(Struct, frozen=True, kw_only=True):
    """The variables in one scope. `given` are the caller's, `declared` this scope's.

    `inherited` are the values of those that FROM may use, `ours` what the builder itself knows.
    """

    given: Mapping[str, str]
    declared: Mapping[str, str | None] = {}
    inherited: Mapping[str, str] = {}
    ours: Mapping[str, str] = {}

    def declare(self, defaults: Mapping[str, str | None]) -> "Arguments":
        """With more names, or other defaults."""
        return replace(self, declared={**self.declared, **defaults})

    def value(self, name: str) -> str | None:
        """What a declared name stands for; None is nothing at all."""
        if name in self.given:
            return self.given[name]
        default = self.declared.get(name)
        if default is not None:
            return default
        return self.inherited.get(name, self.ours.get(name))

    def values(self, *, without: Mapping[str, str] | None = None) -> dict[str, str]:
        """All that are seen here, but those in `without`."""
        names = [*self.declared, *(name for name in sorted(PROXIES) if name not in self.declared)]
        hidden = without or {}
        return {
            name: value
            for name in names
            if name not in hidden and (value := self.value(name)) is not None
        }

    def recorded(self, *, without: Mapping[str, str]) -> dict[str, str]:
        """Those that what RUN does may depend on."""
        found = self.values(without=without)
        return {n: v for n, v in found.items() if n not in PROXIES or n in self.declared}

    def stage(self) -> "Arguments":
        """The scope of a new stage: nothing is declared in it."""
        inherited = {
            name: value for name in self.declared if (value := self.value(name)) is not None
        }
        return Arguments(
            given=self.given, inherited={**self.inherited, **inherited}, ours=self.ours
        )


def platform_arguments(platform: Platform, *, target: str) -> dict[str, str]:
    """What the builder itself knows: where it builds, and for what."""
    found: dict[str, str] = {"TARGETSTAGE": target or "default"}
    for kind in ("BUILD", "TARGET"):
        found |= {
            f"{kind}PLATFORM": str(platform),
            f"{kind}OS": platform.os,
            f"{kind}ARCH": platform.architecture,
            f"{kind}VARIANT": platform.variant,
        }
    return found


def unused(given: Mapping[str, str], declared: frozenset[str]) -> tuple[str, ...]:
    """What the caller gave and no instruction asked for."""
    return tuple(sorted(given.keys() - declared - PROXIES))
