"""Create, change and remove secrets and configs, and see to it that services find theirs.

A name is taken in the same transaction as what bears it. A service refers to contents by id:
the names that its operator gave are looked up when it is stored. What is used is not
removed, and neither side can overtake the other: whoever stores a service with a reference
compares what it refers to and writes its name anew, and a removal compares that name. So one
of both fails and decides again. `used` also counts specs that are on their way out, as long as
a task may still be made from them.
"""

import re
from collections.abc import Iterable, Iterator
from hmac import compare_digest

from msgspec import Struct, structs

from manager import layout
from manager.control import logins, services
from manager.store import Absent, Commit, Delete, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.dispatch import Content
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ConfigId, SecretId, ServiceId
from swarm.objects import Config, Sealed, Secret, Service
from swarm.placeholders import NAMES, broken_templates
from swarm.quantities import format_memory
from swarm.sealing import DataKey, unseal
from swarm.specs import ConfigSpec, ContainerSpec, FileReference, SecretSpec, TaskSpec
from swarm.states import TaskState

Stored = Secret | Config
Spec = SecretSpec | ConfigSpec

GOLANG = "golang"

_TEMPLATES = (
    f"there are {', '.join(NAMES)}, .Service.Labels.NAME, "
    'env "NAME", secret "NAME" and config "NAME"'
)
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?")


class Kind(Struct, frozen=True):
    """What differs between the two: the word for it, and how large one may be."""

    word: str
    most_bytes: int


SECRET = Kind("secret", 500 << 10)
CONFIG = Kind("config", 1000 << 10)


def kind_of(content: Stored) -> Kind:
    """What `content` is."""
    return SECRET if isinstance(content, Secret) else CONFIG


def find(view: ClusterView, kind: Kind, content_id: str) -> Stored | None:
    """The secret or config with this id."""
    if kind is SECRET:
        return view.secrets.get(SecretId(content_id))
    return view.configs.get(ConfigId(content_id))


def purpose(kind: Kind, content_id: str) -> str:
    """What its data is sealed for: nothing else opens it."""
    return f"{kind.word}/{content_id}"


def check_data(kind: Kind, data: bytes, *, templated: bool = False) -> None:
    """`Invalid` for data that is empty, too large, or a template that no task could fill in."""
    if not data:
        raise Invalid(f"data: a {kind.word} must not be empty", hint="give a file that has content")
    if len(data) > kind.most_bytes:
        raise Invalid(
            f"data: {len(data)} bytes are more than {kind.most_bytes} "
            f"({format_memory(kind.most_bytes)}), the most that a {kind.word} may have",
            hint="keep what is large in a volume or in an image",
        )
    if templated:
        broken = broken_templates(data.decode("utf-8", "surrogateescape"))
        if problems := tuple(f"data: {each}" for each in broken):
            raise Invalid(problems[0], problems=problems, hint=_TEMPLATES)


def check_spec(view: ClusterView, kind: Kind, spec: Spec) -> None:
    """Refuse what cannot be stored, and a name that is taken."""
    problems = tuple(_problems(spec))
    if problems:
        raise Invalid(problems[0], problems=problems)
    if (holder := view.names.get((kind.word, spec.name))) is not None:
        raise Refused(
            f"{kind.word} name {spec.name} is already taken by {kind.word} {holder}",
            hint=f"choose another name, or change that one: swarmctl {kind.word} update "
            f"{spec.name}",
        )


def create(view: ClusterView, content: Stored) -> Commit:
    """Store a new secret or config; `Refused` when its name is taken."""
    kind = kind_of(content)
    check_spec(view, kind, content.spec)
    name = layout.name_key(kind.word, content.spec.name)
    return Commit(
        (Absent(name), Absent(_key(kind, content.id))),
        (Put(name, content.id.encode()), Put(_key(kind, content.id), pack(content))),
    )


def update(
    view: ClusterView,
    content: Stored,
    *,
    sealed: Sealed | None,
    spec: Spec | None,
    now: float,
) -> Commit:
    """Replace data (another version), labels, or both; nothing else can be changed."""
    kind = kind_of(content)
    if spec is not None:
        _check_change(kind, content, spec)
        labels = spec.labels
    else:
        labels = content.spec.labels
    changed = structs.replace(
        content,
        spec=structs.replace(content.spec, labels=labels),
        data=content.data if sealed is None else sealed,
        version=content.version + (sealed is not None),
        updated_at=now,
    )
    key = _key(kind, content.id)
    return Commit((Unchanged(key, view.version(key)),), (Put(key, pack(changed)),))


def check_revision(view: ClusterView, content: Stored, revision: int) -> None:
    """`Conflict` unless a change was derived from what is; 0 stands for whatever it is now."""
    kind = kind_of(content)
    known = view.version(_key(kind, content.id))
    if revision not in (0, known):
        raise Conflict(
            f"{kind.word} {content.spec.name}: update out of sequence: it was derived from "
            f"revision {revision}, and the {kind.word} is at revision {known}",
            hint=f"someone changed the {kind.word} meanwhile: look at it and repeat the command",
        )


def rolling(
    view: ClusterView, commit: Commit, users: Iterable[Service], *, now: float, cause: str
) -> Commit:
    """`commit`, and in the same transaction another version of each of `users`.

    `cause` goes to their history.
    """
    compares, operations = list(commit.compares), list(commit.operations)
    for service in users:
        task = service.spec.task
        spec = structs.replace(
            service.spec, task=structs.replace(task, force_update=task.force_update + 1)
        )
        version = view.version(layout.service_key(service.id))
        part = services.update(view, service.id, version, spec, now=now, cause=cause)
        compares += part.compares
        operations += part.operations
    return Commit(tuple(compares), tuple(operations))


def remove(view: ClusterView, content: Stored) -> Commit:
    """Delete a secret or config; `Refused` names the services that use it."""
    kind = kind_of(content)
    if found := used(view, kind, content.id):
        names = ", ".join(each.spec.name for each in found)
        take = (
            f"take it from them first: swarmctl service update --{kind.word}-rm "
            f"{content.spec.name} SERVICE"
        )
        wait = "wait until tasks of earlier versions are replaced, and no rollback leads there"
        raise Refused(
            f"{kind.word} {content.spec.name} is in use by the following "
            f"service{'s' if len(found) > 1 else ''}: {names}",
            hint=take if users(view, kind, content.id) else wait,
        )
    key, name = _key(kind, content.id), layout.name_key(kind.word, content.spec.name)
    return Commit(
        (Unchanged(key, view.version(key)), Unchanged(name, view.version(name))),
        (Delete(key), Delete(name)),
    )


def users(view: ClusterView, kind: Kind, content_id: str) -> tuple[Service, ...]:
    """The services whose spec names it, in order of their names."""
    return _services(
        view,
        (s.id for s in view.services.values() if _refers(kind, s.spec.task, content_id)),
    )


def used(view: ClusterView, kind: Kind, content_id: str) -> tuple[Service, ...]:
    """The services that need it, or may need it again if their rollout fails."""
    return _services(
        view,
        (
            service.id
            for service in view.services.values()
            if any(_refers(kind, task, content_id) for task in _specs(view, service))
        ),
    )


def resolved(view: ClusterView, task: TaskSpec) -> TaskSpec:
    """`task` with ids for names and names for ids; `Invalid` lists every unknown one."""
    container = task.container
    if not container.secrets and not container.configs:
        return task
    problems: list[str] = []
    secrets = tuple(_resolved(view, SECRET, container.secrets, problems))
    configs = tuple(_resolved(view, CONFIG, container.configs, problems))
    if problems:
        raise Invalid(problems[0], problems=tuple(problems))
    return structs.replace(
        task, container=structs.replace(container, secrets=secrets, configs=configs)
    )


def keeping(view: ClusterView, commit: Commit, task: TaskSpec) -> Commit:
    """`commit` of a service with `task`, if all that it refers to is there until then."""
    compares, operations = list(commit.compares), list(commit.operations)
    for kind, reference in _references(task.container):
        content = find(view, kind, reference.id)
        if content is None:
            raise Invalid(
                f"{kind.word} {reference.name} was removed meanwhile",
                hint=f"make another one (swarmctl {kind.word} create {reference.name} FILE), and "
                f"update the service with --{kind.word}-add {reference.name}",
            )
        key = _key(kind, content.id)
        if (compare := Unchanged(key, view.version(key))) in compares:
            continue
        compares.append(compare)
        operations.append(Put(layout.name_key(kind.word, content.spec.name), content.id.encode()))
    return Commit(tuple(compares), tuple(operations))


def opened(view: ClusterView, key: DataKey, content_id: str) -> Content | None:
    """What a node is given; None when there is no such thing. `Refused` for another key."""
    if content_id in view.logins:
        return logins.opened(view, key, ServiceId(content_id))
    content = view.secrets.get(SecretId(content_id)) or view.configs.get(ConfigId(content_id))
    if content is None:
        return None
    return Content(
        id=content.id,
        version=content.version,
        data=unseal(key, content.data, purpose=purpose(kind_of(content), content.id)),
        templated=bool(content.spec.template_driver),
    )


def check_same(view: ClusterView, key: DataKey, content: Stored, data: bytes) -> None:
    """`Refused` unless `data` is what is stored."""
    stored = opened(view, key, content.id)
    if stored is None or not compare_digest(stored.data, data):
        kind, name = kind_of(content), content.spec.name
        raise Refused(
            f"{kind.word} {name} exists with other data",
            hint=f"give the new one another name, or change that one: swarmctl {kind.word} "
            f"update --roll {name} FILE",
        )


def _problems(spec: Spec) -> Iterator[str]:
    if not _NAME.fullmatch(spec.name):
        yield (
            f"name: {spec.name!r} must be letters, digits, -, _ and ., start and end with a "
            "letter or digit, and have 1 to 64 characters"
        )
    for label in sorted(spec.labels):
        if not label or "=" in label or any(map(str.isspace, label)):
            yield f"labels[{label}]: a label's name is not empty and has neither space nor ="
    if spec.template_driver not in ("", GOLANG):
        yield f"template_driver: there is no {spec.template_driver!r}; use {GOLANG}"


def _check_change(kind: Kind, content: Stored, spec: Spec) -> None:
    if spec.name not in ("", content.spec.name):
        raise Invalid(
            f"name: {kind.word} {content.spec.name} cannot be renamed to {spec.name}",
            hint=f"create another {kind.word} and remove this one",
        )
    if spec.template_driver != content.spec.template_driver:
        raise Invalid(
            f"template_driver: {kind.word} {content.spec.name} cannot change it",
            hint=f"create another {kind.word} and remove this one",
        )
    problems = tuple(_problems(structs.replace(spec, name=content.spec.name)))
    if problems:
        raise Invalid(problems[0], problems=problems)


def _resolved(
    view: ClusterView, kind: Kind, references: Iterable[FileReference], problems: list[str]
) -> Iterator[FileReference]:
    for index, reference in enumerate(references):
        path = f"task.container.{kind.word}s[{index}]"
        content_id = reference.id or view.names.get((kind.word, reference.name), "")
        content = find(view, kind, content_id)
        if content is None:
            field, said = ("id", reference.id) if reference.id else ("name", reference.name)
            problems.append(f"{path}.{field}: there is no {kind.word} {said!r}")
            continue
        name = content.spec.name
        yield structs.replace(reference, id=content.id, name=name, target=reference.target or name)


def _references(container: ContainerSpec) -> Iterator[tuple[Kind, FileReference]]:
    yield from ((SECRET, each) for each in container.secrets)
    yield from ((CONFIG, each) for each in container.configs)


def _refers(kind: Kind, task: TaskSpec, content_id: str) -> bool:
    held = task.container.secrets if kind is SECRET else task.container.configs
    return any(each.id == content_id for each in held)


def _specs(view: ClusterView, service: Service) -> Iterator[TaskSpec]:
    """Every spec that a task of the service may still be made from."""
    yield service.spec.task
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    if service.previous_spec is not None and rollout is not None and not rollout.state.is_over:
        yield service.previous_spec.task  # a rollback leads there
    versions = {
        task.spec_version
        for task in view.tasks_of(service.id).values()
        if task.desired <= TaskState.RUNNING and not view.state(task).is_terminal
    }
    for version in sorted(versions - {service.spec_version}):
        if (task_spec := view.task_spec(service.id, version)) is not None:
            yield task_spec


def _services(view: ClusterView, ids: Iterable[ServiceId]) -> tuple[Service, ...]:
    found = (view.services[each] for each in ids)
    return tuple(sorted(found, key=lambda each: each.spec.name))


def _key(kind: Kind, content_id: str) -> str:
    if kind is SECRET:
        return layout.secret_key(SecretId(content_id))
    return layout.config_key(ConfigId(content_id))
