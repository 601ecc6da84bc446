"""Read a whole Dockerfile: stages, and the variables that come before the first."""

from msgspec import Struct

from agent.build.instructions import Arg, Copy, From, Instruction, Run
from agent.build.mounts import parse_mount
from agent.build.parsing import parse_line
from agent.build.source import read, wrong
from swarm.errors import Invalid


class Stage(Struct, frozen=True, kw_only=True):
    """From one FROM to the next."""

    number: int
    begin: From
    steps: tuple[Instruction, ...] = ()

    @property
    def name(self) -> str:
        """How others call it; empty without a name."""
        return self.begin.name


class Dockerfile(Struct, frozen=True, kw_only=True):
    """All of it. `arguments` are those that only FROM may use."""

    escape: str
    arguments: tuple[Arg, ...]
    stages: tuple[Stage, ...]
    warnings: tuple[str, ...] = ()


def parse(text: str, *, name: str = "Dockerfile") -> Dockerfile:
    """Read `text`; `Invalid` names the line and the instruction."""
    source = read(text, name=name)
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for line in source.lines:
        match parse_line(line, source.escape):
            case From() as begin:
                stages.append((begin, []))
            case Arg() as found if not stages:
                arguments.append(found)
            case found if stages:
                stages[-1][1].append(found)
            case _:
                raise wrong(line.number, f"no build stage in current context: {line.keyword}")
    if not stages:
        raise Invalid(f"{name} has no FROM", hint="begin it with FROM and an image, or scratch")
    made = tuple(
        Stage(number=number, begin=begin, steps=tuple(steps))
        for number, (begin, steps) in enumerate(stages)
    )
    _check_names(made)
    return Dockerfile(
        escape=source.escape, arguments=tuple(arguments), stages=made, warnings=source.warnings
    )


def _check_names(stages: tuple[Stage, ...]) -> None:
    seen: set[str] = set()
    for stage in stages:
        if stage.name and stage.name in seen:
            raise wrong(stage.begin.line, f"{stage.name} stage name already used")
        seen.add(stage.name)


def target_stage(dockerfile: Dockerfile, target: str) -> Stage:
    """The stage that a build ends with: by name, by number, or the last one."""
    if not target:
        return dockerfile.stages[-1]
    if found := find_stage(dockerfile.stages, target):
        return found
    raise Invalid(
        f'target stage "{target}" could not be found',
        hint=f"the stages are {_listed(dockerfile.stages)}",
    )


def _listed(stages: tuple[Stage, ...]) -> str:
    return ", ".join(stage.name or str(stage.number) for stage in stages)


def find_stage(stages: tuple[Stage, ...], text: str) -> Stage | None:
    """The stage that `text` means, if it means one."""
    for stage in stages:
        if stage.name and stage.name == text.lower():
            return stage
    if text.isascii() and text.isdigit() and int(text) < len(stages):
        return stages[int(text)]
    return None


def needed_stages(dockerfile: Dockerfile, target: str) -> tuple[Stage, ...]:
    """The stages that lead to `target`, in the order of the file; all others are left out.

    A name that is filled in while building might mean any stage, so then all before it count.
    Triggers of a base image may name stages as well, of those that come before.
    """
    last = target_stage(dockerfile, target)
    wanted, open_ = {last.number}, [last]
    while open_:
        stage = open_.pop()
        before = dockerfile.stages[: stage.number]
        for each in _sources(stage, before):
            if each.number not in wanted:
                wanted.add(each.number)
                open_.append(each)
    return tuple(stage for stage in dockerfile.stages if stage.number in wanted)


def _sources(stage: Stage, before: tuple[Stage, ...]) -> tuple[Stage, ...]:
    names = [_base_name(stage)]
    for step in stage.steps:
        if isinstance(step, Copy) and step.origin:
            names.append(step.origin)
        elif isinstance(step, Run):
            names += [_mount_origin(each) for each in step.mounts]
    if any("$" in name for name in names):
        return before
    return tuple(found for name in names if name and (found := find_stage(before, name)))


def _base_name(stage: Stage) -> str:
    """A number is an image's name behind FROM, not a stage."""
    base = stage.begin.base
    return "" if base.isdigit() else base


def _mount_origin(text: str) -> str:
    return "$" if "$" in text else parse_mount(text).origin
