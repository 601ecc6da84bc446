"""The instructions of a Dockerfile as values, before any variable is filled in.

`line` is where an instruction begins, and `text` how it was written, joined into one line.
"""

from msgspec import Struct

from agent.build.source import Heredoc
from swarm.specs import Healthcheck


class Command(Struct, frozen=True, kw_only=True):
    """What RUN, CMD and ENTRYPOINT are given: the words of a program, or a line for the shell."""

    words: tuple[str, ...]
    is_shell: bool


class From(Struct, frozen=True, kw_only=True):
    """The beginning of a stage, from an image, another stage or `scratch`."""

    line: int
    text: str
    base: str
    name: str = ""
    platform: str = ""


class Run(Struct, frozen=True, kw_only=True):
    """Run a program in what there is so far, and keep what it changes. `mounts` are as written."""

    line: int
    text: str
    command: Command
    mounts: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()


class Copy(Struct, frozen=True, kw_only=True):
    """COPY, or ADD, which may download, and unpacks archives."""

    line: int
    text: str
    sources: tuple[str, ...]
    target: str
    is_add: bool = False
    origin: str = ""  # of --from
    owner: str = ""
    mode: str = ""
    checksum: str = ""
    is_linked: bool = False
    keeps_parents: bool = False
    unpacks: bool | None = None
    excluded: tuple[str, ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    @property
    def keyword(self) -> str:
        """What it is called."""
        return "ADD" if self.is_add else "COPY"


class Env(Struct, frozen=True, kw_only=True):
    """Variables for all that follows, and for containers."""

    line: int
    text: str
    pairs: tuple[tuple[str, str], ...]


class Arg(Struct, frozen=True, kw_only=True):
    """Variables of the build; None is no default."""

    line: int
    text: str
    pairs: tuple[tuple[str, str | None], ...]


class Label(Struct, frozen=True, kw_only=True):
    """Labels; those of the caller `expands` not."""

    line: int
    text: str
    pairs: tuple[tuple[str, str], ...]
    expands: bool = True


class Maintainer(Struct, frozen=True, kw_only=True):
    """Who made it."""

    line: int
    text: str
    name: str


class User(Struct, frozen=True, kw_only=True):
    """Who runs programs from here on."""

    line: int
    text: str
    user: str


class Workdir(Struct, frozen=True, kw_only=True):
    """Where programs run from here on; it is made if it is not there."""

    line: int
    text: str
    path: str


class Expose(Struct, frozen=True, kw_only=True):
    """Ports, or ranges of them."""

    line: int
    text: str
    ports: tuple[str, ...]


class Volume(Struct, frozen=True, kw_only=True):
    """Paths that containers get volumes for."""

    line: int
    text: str
    paths: tuple[str, ...]


class Entrypoint(Struct, frozen=True, kw_only=True):
    """What containers run."""

    line: int
    text: str
    command: Command


class Cmd(Struct, frozen=True, kw_only=True):
    """What containers run, or the arguments of their entrypoint."""

    line: int
    text: str
    command: Command


class Shell(Struct, frozen=True, kw_only=True):
    """What reads lines for the shell."""

    line: int
    text: str
    words: tuple[str, ...]


class Check(Struct, frozen=True, kw_only=True):
    """HEALTHCHECK."""

    line: int
    text: str
    healthcheck: Healthcheck


class StopSignal(Struct, frozen=True, kw_only=True):
    """What asks containers to end."""

    line: int
    text: str
    signal: str


class OnBuild(Struct, frozen=True, kw_only=True):
    """An instruction for builds that begin with this image."""

    line: int
    text: str
    trigger: str


Instruction = (
    Run | Copy | Env | Arg | Label | Maintainer | User | Workdir | Expose | Volume | Entrypoint
    | Cmd | Shell | Check | StopSignal | OnBuild
)  # fmt: skip
