"""Decide which files a task is given of its secrets and configs.

Nothing of them is ever on a disk: a task's files lie in memory that is mounted for it below
the run root and bound, read-only, into its container and no other. What is to be below
`/run/secrets`, as secrets are unless they say otherwise, shares that directory; everything else
is bound file by file. Owners are the container's own ids, whatever they are on the host.

With a template driver the content is filled in as other fields are, and may name more:
`{{env "X"}}`, `{{secret "name"}}` and `{{config "name"}}`, by the name or the target of what
the same service refers to. What is taken from there is not filled in itself.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from posixpath import join, normpath

from msgspec import Struct

from agent.assignments import Wanted
from runtime.oci.config import IdMapping
from runtime.spec import Mount, UserNamespace
from swarm import specs
from swarm.assignments import files_of
from swarm.checking.references import CONFIGS, SECRETS
from swarm.dispatch import Content
from swarm.errors import Invalid
from swarm.placeholders import PLACE_IN_FILE, broken_templates
from swarm.specs import FileReference

SHARED = "secrets"  # the directory that becomes /run/secrets

_HINT = (
    'use names such as .Service.Name, env "X", secret "NAME" or config "NAME", of what the service '
    "has"
)


class Written(Struct, frozen=True, kw_only=True):
    """A file in the task's memory: `path` is below it, `uid` and `gid` are the host's."""

    path: str
    data: bytes
    uid: int
    gid: int
    mode: int

    def __repr__(self) -> str:
        return f"Written({self.path}, {len(self.data)} bytes)"


class Files(Struct, frozen=True, kw_only=True):
    """All that a task is given; directories belong to the host's ids `uid` and `gid`."""

    written: tuple[Written, ...] = ()
    uid: int = 0
    gid: int = 0


class Filling(Struct, frozen=True, kw_only=True):
    """What templates may use: the names of every template, and the container's environment."""

    names: Mapping[str, str]
    env: tuple[str, ...] = ()


def home(contents: str, task_id: str) -> str:
    """Where a task's memory is mounted."""
    return f"{contents}/{task_id}"


def missing(wanted: Wanted, held: Mapping[str, Content]) -> tuple[str, ...]:
    """The ids of files that a task cannot start without and this node has not been given."""
    return tuple(each for each in files_of(wanted.spec) if each not in held)


def described(wanted: Wanted, ids: Iterable[str]) -> Iterator[str]:
    """Secrets and configs of a task in words: `secret db`."""
    asked, meant = wanted.spec.container, set(ids)
    for word, references in (("secret", asked.secrets), ("config", asked.configs)):
        for name in dict.fromkeys(each.name for each in references if each.id in meant):
            yield f"{word} {name}"


def mounts(asked: specs.ContainerSpec, at: str) -> tuple[Mount, ...]:
    """What a container binds of the memory at `at`."""
    found: dict[str, str] = {}
    for path, target in _placed(asked):
        if path.startswith(f"{SHARED}/"):
            found[SECRETS] = f"{at}/{SHARED}"
        else:
            found[target] = f"{at}/{path}"
    return tuple(Mount(source=s, target=t, read_only=True) for t, s in found.items())


def files(
    asked: specs.ContainerSpec,
    held: Mapping[str, Content],
    filling: Filling,
    namespace: UserNamespace | None,
) -> Files:
    """The files of a task, of which nothing is missing; `Invalid` names what cannot be made."""
    references = tuple(_references(asked))
    values = _values(asked, held, filling) if _is_templated(references, held) else {}
    written: list[Written] = []
    for (field, each), (path, _) in zip(references, _placed(asked), strict=True):
        content = held[each.id]
        written.append(
            Written(
                path=path,
                data=_filled(content.data, values, field) if content.templated else content.data,
                uid=_host_id(int(each.uid), namespace.uids if namespace else None, f"{field}.uid"),
                gid=_host_id(int(each.gid), namespace.gids if namespace else None, f"{field}.gid"),
                mode=each.mode,
            )
        )
    return Files(
        written=tuple(written),
        uid=_host_id(0, namespace.uids if namespace else None, "user namespace"),
        gid=_host_id(0, namespace.gids if namespace else None, "user namespace"),
    )


def _references(asked: specs.ContainerSpec) -> Iterator[tuple[str, FileReference]]:
    for index, each in enumerate(asked.secrets):
        yield f"container.secrets[{index}]", each
    for index, each in enumerate(asked.configs):
        yield f"container.configs[{index}]", each


def _placed(asked: specs.ContainerSpec) -> Iterator[tuple[str, str]]:
    """Of each reference where it lies in memory, and where in the container."""
    for word, base, references in (
        ("secret", SECRETS, asked.secrets),
        ("config", CONFIGS, asked.configs),
    ):
        for index, each in enumerate(references):
            target = normpath(join(base, each.target or each.name))
            below = target.removeprefix(f"{SECRETS}/")
            yield (f"files/{word}-{index}" if below == target else f"{SHARED}/{below}"), target


def _is_templated(
    references: Iterable[tuple[str, FileReference]], held: Mapping[str, Content]
) -> bool:
    return any(held[each.id].templated for _, each in references)


def _values(
    asked: specs.ContainerSpec, held: Mapping[str, Content], filling: Filling
) -> dict[str, str]:
    values = dict(filling.names)
    for entry in filling.env:
        name, _, value = entry.partition("=")
        values[f'env "{name}"'] = value
    for word, references in (("secret", asked.secrets), ("config", asked.configs)):
        for each in references:
            text = _text(held[each.id].data)
            for name in (each.name, each.target):
                values[f'{word} "{name}"'] = text
    return values


def _filled(data: bytes, values: Mapping[str, str], field: str) -> bytes:
    """Fill a template in. What is wrong is told by its line: its text may be a secret."""
    text = _text(data)
    for problem in broken_templates(text):
        raise Invalid(f"{field}: {problem}", hint=_HINT)

    def value(found: re.Match[str]) -> str:
        name = " ".join(found[1].split())
        if name not in values:
            line = text.count("\n", 0, found.start()) + 1
            raise Invalid(
                f"{field}: the template on line {line} is of something that the service has not",
                hint=_HINT,
            )
        return values[name]

    return PLACE_IN_FILE.sub(value, text).encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _host_id(number: int, mappings: Iterable[IdMapping] | None, field: str) -> int:
    if mappings is None:
        return number
    for each in mappings:
        if each.container_id <= number < each.container_id + each.size:
            return each.host_id + number - each.container_id
    raise Invalid(
        f"{field}: this node remaps ids, and has none for {number}",
        hint="choose a smaller one, or enlarge the node's range in /etc/subuid and /etc/subgid",
    )
