"""Say what one instruction asks for, once all that it refers to is filled in.

`plan` gives what is to be done; `State` is what there is so far, and what came of a step makes
the next one. Nothing is touched here.
"""

import posixpath
from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from agent.build.applying import apply, comment_of, shell_of, words_of, workdir
from agent.build.arguments import Arguments
from agent.build.expansion import expand, expand_text, filler
from agent.build.image import ImageDocument, RunConfig
from agent.build.instructions import Arg, Copy, Instruction, Run, Workdir
from agent.build.modes import check_mode
from agent.build.mounts import Mount, parse_mount
from agent.build.orders import Content
from agent.build.source import Heredoc, heredoc_of
from swarm.errors import Invalid

SCRIPTS = "/dev/pipes"
DIGEST = "\0"
_SCHEMES = ("http://", "https://")


class State(Struct, frozen=True, kw_only=True):
    """A stage so far. `image_id` is empty of `scratch`, before anything was done."""

    document: ImageDocument
    image_id: str
    arguments: Arguments
    author: str = ""
    cmd_is_ours: bool = False

    @property
    def run(self) -> RunConfig:
        """How containers run, and so the next RUN."""
        return self.document.run

    @property
    def values(self) -> dict[str, str]:
        """The variables that words may refer to: those of the environment win."""
        environment = self.run.environment
        return environment | self.arguments.values(without=environment)

    def after(
        self, planned: "Planned", *, created: float, created_by: str, diff_id: str
    ) -> "State":
        """What there is once a step is done."""
        document = self.document.grown(
            planned.run,
            created=created,
            created_by=created_by,
            author=planned.author,
            diff_id=diff_id,
        )
        return replace(
            self,
            document=document,
            image_id=document.id,
            arguments=planned.arguments,
            author=planned.author,
            cmd_is_ours=planned.cmd_is_ours,
        )


class Described(Struct, frozen=True, kw_only=True):
    """Nothing but words: no file changes."""


class Directory(Struct, frozen=True, kw_only=True):
    """A directory is to be there."""

    path: str


class Program(Struct, frozen=True, kw_only=True):
    """A program is to run. `script` is a file that it is given at `SCRIPTS`."""

    args: tuple[str, ...]
    env: tuple[str, ...]
    mounts: tuple[Mount, ...] = ()
    script: Content | None = None


class Files(Struct, frozen=True, kw_only=True):
    """Files are to be copied. `target` is absolute, and ends in a slash if it is a directory.

    `patterns` are of the context, or of the stage or image `origin`; `urls` are downloaded.
    """

    patterns: tuple[str, ...]
    target: str
    told: str
    urls: tuple[str, ...] = ()
    contents: tuple[Content, ...] = ()
    origin: str = ""
    owner: str = ""
    mode: str = ""
    checksum: str = ""
    excluded: tuple[str, ...] = ()
    keeps_parents: bool = False
    unpacks: bool = False
    unpacks_urls: bool = False


Deed = Described | Directory | Program | Files


class Planned(Struct, frozen=True, kw_only=True):
    """What a step asks for, and what it makes of the configuration.

    `created_by` is what the history will say, with `DIGEST` where the digest of files goes.
    """

    deed: Deed
    run: RunConfig
    arguments: Arguments
    author: str
    cmd_is_ours: bool
    created_by: str
    note: str = ""


def plan(step: Instruction, state: State, escape: str) -> Planned:
    """What `step` asks for; `Invalid` says what is wrong with it."""
    values = state.values
    fill = filler(values, escape)
    kept = Planned(
        deed=Described(),
        run=state.run,
        arguments=state.arguments,
        author=state.author,
        cmd_is_ours=state.cmd_is_ours,
        created_by="",
    )
    match step:
        case Run():
            return _run(step, state, kept, escape)
        case Copy():
            return _copy(step, state, kept, escape)
        case Workdir(path=path):
            found = workdir(state.run, fill(path))
            run = replace(state.run, working_dir=found)
            comment = comment_of(run, f"WORKDIR {found}", is_short=True)
            return replace(kept, deed=Directory(path=found), run=run, created_by=comment)
        case Arg(pairs=pairs):
            return _arg(pairs, state, kept, escape)
        case _:
            made = apply(step, state.run, fill, values, cmd_is_ours=state.cmd_is_ours)
            return replace(
                kept,
                run=made.run,
                author=state.author if made.author is None else made.author,
                cmd_is_ours=state.cmd_is_ours or made.sets_cmd,
                created_by=comment_of(made.run, made.comment),
                note=made.note,
            )


def _arg(
    pairs: tuple[tuple[str, str | None], ...], state: State, kept: Planned, escape: str
) -> Planned:
    told, defaults = list[str](), dict[str, str | None]()
    fill = filler(state.values, escape)
    for name, default in pairs:
        filled = None if default is None else fill(default)
        defaults[name] = filled
        told.append(name if filled is None else f"{name}={filled}")
    comment = comment_of(state.run, f"ARG {' '.join(told)}")
    return replace(kept, arguments=state.arguments.declare(defaults), created_by=comment)


def _run(step: Run, state: State, kept: Planned, escape: str) -> Planned:
    values = state.values
    mounts = tuple(parse_mount(e, lambda v: expand(v, values, escape=escape)) for e in step.mounts)
    args, script = _program(step, state.run)
    if not args or not args[0]:
        raise Invalid("RUN requires at least one argument")
    environment = state.run.environment
    given = state.arguments.values(without=environment)
    recorded = state.arguments.recorded(without=environment)
    told = args if script is None else (*args, script.text)
    if given:
        named = sorted(f"{name}={value}" for name, value in recorded.items())
        told = (f"|{len(named)}", *named, *told)
    return replace(
        kept,
        deed=Program(
            args=args,
            env=(*(state.run.env or ()), *(f"{name}={value}" for name, value in given.items())),
            mounts=mounts,
            script=script,
        ),
        created_by=" ".join((*told, *(f"# --mount={each}" for each in step.mounts))),
    )


def _program(step: Run, run: RunConfig) -> tuple[tuple[str, ...], Content | None]:
    """The program and its arguments; a here-document is what the shell runs, or a script."""
    if not step.heredocs:
        return words_of(step.command, run), None
    line = step.command.words[0] if step.command.words else ""
    if heredoc_of(line) is None:
        more = "".join(f"\n{each.content}{each.name}" for each in step.heredocs)
        return (*shell_of(run), line + more), None
    first = step.heredocs[0]
    if first.content.startswith("#!"):
        name = _file_name(first.name)
        return (f"{SCRIPTS}/{name}",), Content(name=name, text=first.text)
    return (*shell_of(run), first.text), None


def _copy(step: Copy, state: State, kept: Planned, escape: str) -> Planned:
    values = state.values
    fill = filler(values, escape)
    sources = tuple(fill(each) for each in step.sources)
    urls = tuple(each for each in sources if is_url(each))
    if urls and not step.is_add:
        raise Invalid("source can't be a URL for COPY")
    for each in sources:
        if step.is_add and each.startswith(("git@", "git://")):
            raise Invalid(f"ADD {each}: git repositories cannot be added by this builder")
    mode, owner = fill(step.mode), fill(step.owner)
    check_mode(mode)
    contents = tuple(_content(each, values) for each in step.heredocs)
    written = fill(step.target)
    count = len(sources) + len(contents)
    if count > 1 and not _is_directory(written):
        raise several(step.keyword)
    target = _target(state.run, written)
    flags = _told_flags(step, owner, mode)
    return replace(
        kept,
        deed=Files(
            patterns=tuple(each for each in sources if not is_url(each)),
            target=target,
            told=step.keyword,
            urls=urls,
            contents=contents,
            origin=step.origin,
            owner=owner,
            mode=mode,
            checksum=fill(step.checksum),
            excluded=step.excluded,
            keeps_parents=step.keeps_parents,
            unpacks=step.is_add and step.unpacks is not False,
            unpacks_urls=bool(step.unpacks),
        ),
        created_by=comment_of(
            state.run, f"{step.keyword} {flags}{DIGEST} in {written} ", is_short=True
        ),
    )


def several(keyword: str) -> Invalid:
    """The error of several sources for one file."""
    return Invalid(
        f"When using {keyword} with more than one source file, the destination must be a directory"
        " and end with a /"
    )


def _told_flags(step: Copy, owner: str, mode: str) -> str:
    flags = {"--chown": owner, "--chmod": mode, "--checksum": step.checksum}
    told = [f"{name}={value} " for name, value in flags.items() if value]
    told += [f"--exclude={each} " for each in step.excluded]
    told += ["--parents "] if step.keeps_parents else []
    if step.unpacks is not None:
        told.append(f"--unpack={str(step.unpacks).lower()} ")
    return "".join(told)


def _content(heredoc: Heredoc, values: Mapping[str, str]) -> Content:
    text = expand_text(heredoc.text, values) if heredoc.expands else heredoc.text
    return Content(name=_file_name(heredoc.name), text=text)


def _file_name(name: str) -> str:
    """What a file is called that has the name of a here-document: never a path."""
    found = posixpath.basename(name)
    if found in ("", ".", "..") or "\0" in found:
        raise Invalid(f"heredoc {name!r} is no name for a file")
    return found


def _is_directory(target: str) -> bool:
    return target.endswith("/") or posixpath.basename(target) in (".", "..")


def _target(run: RunConfig, written: str) -> str:
    """Where files go, as an absolute path."""
    if not written:
        raise Invalid("the destination is empty")
    joined = posixpath.normpath(posixpath.join("/", run.working_dir, written))
    path = f"/{joined.lstrip('/')}"
    return f"{path.rstrip('/')}/" if _is_directory(written) else path


def is_url(source: str) -> bool:
    """Whether a source of ADD is downloaded."""
    return source.startswith(_SCHEMES)
