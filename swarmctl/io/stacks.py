"""Make a stack what its files say: networks, secrets and configs first, then service by service.

Whether existing secrets have the files' data, and whether services can become what the files
say, is asked before anything is made, so that a refusal leaves nothing half done. Each step can
be done again: what is there already is left alone, and a deploy that broke off is finished by
the next one.
"""

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec import Struct

from swarm.api.v1 import control_pb2
from swarm.codec import from_message, to_message
from swarm.errors import Conflict, Invalid, Missing, Refused, Unavailable
from swarm.specs import ServiceSpec
from swarmctl.contents import View
from swarmctl.forecasts import picture
from swarmctl.io.changing import ATTEMPTS
from swarmctl.io.contents import Change as ContentChange
from swarmctl.io.contents import Configs, Contents, Secrets
from swarmctl.io.credentials import registry_auth
from swarmctl.io.session import Session
from swarmctl.io.stack_files import read_contents
from swarmctl.io.stack_networks import Networks, networks_of, remove_networks
from swarmctl.stacks.changes import (
    Change,
    Create,
    Keep,
    Resolve,
    decide,
    missing,
    obstacle,
    superfluous,
    with_ids,
)
from swarmctl.stacks.names import NAMESPACE
from swarmctl.stacks.problems import located, refusal, relocated
from swarmctl.stacks.resources import Content, Source
from swarmctl.stacks.stack import Stack

LOOK_AGAIN_S = 0.25
PATIENCE_S = 300.0
PRUNED_WITHIN_S = 3.0
_IMAGE_PATH = "task.container.image"


class Wishes(Struct, frozen=True, kw_only=True):
    """How a stack is to be deployed; `base` is what paths in its files are relative to."""

    base: Path
    resolve: Resolve
    prune: bool = False
    with_auth: bool = False


class Deployment:
    """One run of `stack deploy`."""

    def __init__(self, session: Session, stack: Stack, wishes: Wishes) -> None:
        self._session = session
        self._stack = stack
        self._wishes = wishes
        self._secrets = _Store(session, Secrets(session.channel), stack.secrets, wishes.base)
        self._configs = _Store(session, Configs(session.channel), stack.configs, wishes.base)
        self._networks = Networks(session, stack.networks, stack.name)
        self._services = {view.service.spec.name: view for view in session.control.services()}
        self._present = _marked(self._services.values(), stack.name)

    def apply(self) -> list[control_pb2.ServiceView]:
        """Do it; the services that were created or changed."""
        self._check()
        self._networks.apply()
        self._secrets.apply()
        self._configs.apply()
        if self._wishes.prune:
            self._prune()
        changed = [self._service(spec) for spec in self._stack.services]
        if self._wishes.prune:
            self._prune_networks()
        return [view for view in changed if view is not None]

    def show(self) -> None:
        """Tell what it would do."""
        self._check()
        for store in (self._networks, self._secrets, self._configs):
            for line in store.plan():
                self._session.say(line)
        if self._wishes.prune:
            for view in self._superfluous():
                self._session.say(f"- service {view.service.spec.name}")
            for network in self._networks.superfluous():
                self._session.say(f"- network {network.network.spec.name}")
        for spec in self._stack.services:
            self._show(spec)

    def _prune(self) -> None:
        for view in self._superfluous():
            self._session.say(f"Removing service {view.service.spec.name}")
            self._session.control.remove_service(view.service.id)

    def _prune_networks(self) -> None:
        """Tasks that are on their way out keep theirs: what stays goes with the next deploy."""
        try:
            remove_networks(self._session, self._networks.superfluous(), within_s=PRUNED_WITHIN_S)
        except Refused as err:
            self._session.warn(f"Warning: {err.message}; deploy with --prune again to remove it")

    def _check(self) -> None:
        """Refuse what can be seen to fail, while nothing is made yet."""
        problems: list[str] = []
        for spec in self._stack.services:
            view = self._services.get(spec.name)
            present = None if view is None else from_message(ServiceSpec, view.service.spec)
            if said := obstacle(spec, present):
                problems.append(located(self._stack.key(spec.name), said))
        if problems:
            raise refusal(problems)
        self._networks.check()
        self._secrets.check()
        self._configs.check()

    def _superfluous(self) -> list[control_pb2.ServiceView]:
        names = superfluous([*self._present], self._stack.services)
        return [self._present[each] for each in names]

    def _service(self, spec: ServiceSpec) -> control_pb2.ServiceView | None:
        """Create or change one service, unless it is as it should be."""
        try:
            for _ in range(ATTEMPTS - 1):
                try:
                    return self._attempt(spec)
                except Conflict:
                    self._present = services_of(self._session, self._stack.name)
            return self._attempt(spec)
        except (Invalid, Refused) as err:
            raise relocated(err, self._stack.key(spec.name)) from err

    def _attempt(self, spec: ServiceSpec) -> control_pb2.ServiceView | None:
        session, view = self._session, self._present.get(spec.name)
        step = self._decided(spec, view)
        if isinstance(step, Keep) and view is not None and self._auth(spec):
            # Only the managers know whether the login is the one that the service has.
            step = Change(from_message(ServiceSpec, view.service.spec), False)
        match step:
            case Create(wanted, resolve):
                session.say(f"Creating service {spec.name}")
                request = control_pb2.CreateServiceRequest(
                    spec=to_message(wanted), resolve_image=resolve, registry_auth=self._auth(spec)
                )
                made = session.control.create_service(request)
                return self._told(made.service, made.warnings)
            case Change(wanted, resolve):
                assert view is not None
                session.say(f"Updating service {spec.name}")
                changed = session.control.update_service(
                    control_pb2.UpdateServiceRequest(
                        service_id=view.service.id,
                        version=view.version,
                        spec=to_message(wanted),
                        resolve_image=resolve,
                        registry_auth=self._auth(spec),
                    )
                )
                return self._told(changed.service, changed.warnings)
            case Keep():
                session.say(f"Service {spec.name} is unchanged")
                return None

    def _decided(
        self, spec: ServiceSpec, view: control_pb2.ServiceView | None
    ) -> Create | Change | Keep:
        spec = with_ids(
            spec,
            secrets=self._secrets.ids(),
            configs=self._configs.ids(),
            networks=self._networks.ids(),
        )
        present = None if view is None else from_message(ServiceSpec, view.service.spec)
        step = decide(spec, present, self._wishes.resolve)
        if view is None or not isinstance(step, Change) or not step.is_doubtful:
            return step
        plan = self._planned(step.spec, view, resolve=True)
        images = [each.after for each in plan.changes if each.path == _IMAGE_PATH]
        if any("@" not in each for each in images):
            # Nobody could look the image up; to unpin it would replace every task for nothing.
            for warning in plan.warnings:
                self._session.warn(f"Warning: {warning}")
            return decide(spec, present, Resolve.CHANGED)
        return step if plan.changes else Keep()

    def _show(self, spec: ServiceSpec) -> None:
        view = self._present.get(spec.name)
        try:
            step = self._decided(spec, view)
            if isinstance(step, Keep):
                assert view is not None
                plan = control_pb2.PlanServiceResponse(revision=view.service.revision)
            else:
                plan = self._planned(step.spec, view, resolve=step.resolve)
        except (Invalid, Refused) as err:
            raise relocated(err, self._stack.key(spec.name)) from err
        there = {*self._secrets.ids()}, {*self._configs.ids()}, {*self._networks.ids()}
        for path, name in missing(spec, *there):
            plan.changes.add(path=path, after=name)
        colours = self._session.is_interactive()
        told = picture(plan, name=spec.name, is_new=view is None, colours=colours)
        self._session.write(told)

    def _planned(
        self, spec: ServiceSpec, view: control_pb2.ServiceView | None, *, resolve: bool
    ) -> control_pb2.PlanServiceResponse:
        return self._session.control.plan_service(
            control_pb2.PlanServiceRequest(
                service_id="" if view is None else view.service.id,
                spec=to_message(spec),
                resolve_image=resolve,
                registry_auth=self._auth(spec),
            )
        )

    def _auth(self, spec: ServiceSpec) -> str:
        return registry_auth(spec.task.container.image) if self._wishes.with_auth else ""

    def _told(
        self, view: control_pb2.ServiceView, warnings: Iterable[str]
    ) -> control_pb2.ServiceView:
        for warning in warnings:
            self._session.warn(f"Warning: {warning}")
        return view


class _Store:
    """The secrets, or the configs, of a stack and of the swarm."""

    def __init__(
        self, session: Session, calls: Contents, wanted: Sequence[Content], base: Path
    ) -> None:
        self._session = session
        self._calls = calls
        self._wanted = wanted
        self._data = read_contents(wanted, calls.word, base=base, environ=os.environ)
        self._present: dict[str, View] = {}
        if wanted:
            self._present = {view.spec.name: view for view in calls.list()}

    def ids(self) -> dict[str, str]:
        """The ids of those that there are."""
        return {name: view.id for name, view in self._present.items()}

    def check(self) -> None:
        """Refuse what is missing, and data other than what is there."""
        for each in self._wanted:
            view = self._present.get(each.name)
            if view is None and each.source is Source.EXTERNAL:
                word = self._calls.word
                raise Missing(
                    f"no such {word}: {each.name}",
                    hint=f"make it with `swarmctl {word} create {each.name} FILE`",
                )
            if view is not None and each.name in self._data:
                self._calls.update(view, ContentChange(data=self._data[each.name], keep=True))

    def plan(self) -> Iterable[str]:
        """Lines on what `apply` would do."""
        for each in self._wanted:
            view = self._present.get(each.name)
            if view is None:
                yield f"+ {self._calls.word} {each.name}"
            elif each.name in self._data and dict(view.spec.labels) != each.labels:
                yield f"~ {self._calls.word} {each.name}: other labels"

    def apply(self) -> None:
        """Create what is missing, and set the labels of the others."""
        for each in self._wanted:
            data, view = self._data.get(each.name), self._present.get(each.name)
            if data is None:
                continue
            if view is None:
                self._session.say(f"Creating {self._calls.word} {each.name}")
                made = self._calls.create(each.name, each.labels, each.template_driver, data)
                self._present[each.name] = made
            elif dict(view.spec.labels) != each.labels:
                self._session.say(f"Updating {self._calls.word} {each.name}")
                change = ContentChange(data=data, labels=each.labels, keep=True)
                self._calls.update(view, change)


def services_of(session: Session, stack: str) -> dict[str, control_pb2.ServiceView]:
    """The services of a stack by name."""
    return _marked(session.control.services(), stack)


def _marked(
    views: Iterable[control_pb2.ServiceView], stack: str
) -> dict[str, control_pb2.ServiceView]:
    found = {
        view.service.spec.name: view
        for view in views
        if view.service.spec.labels.get(NAMESPACE) == stack
    }
    return dict(sorted(found.items()))


class Leftovers(Struct, frozen=True, kw_only=True):
    """What is on its way out: services with tasks that stop, and the networks of those."""

    services: set[str]
    networks: list[control_pb2.NetworkView]


def remove_stack(session: Session, name: str) -> Leftovers:
    """Remove all that belongs to a stack, but for what its tasks use until they are gone.

    A stack that is not there is as it should be: whoever cleans up after themselves need not
    know how far they came.
    """
    services, networks = services_of(session, name), networks_of(session, name)
    stores = [
        (calls, [each for each in calls.list() if each.spec.labels.get(NAMESPACE) == name])
        for calls in (Secrets(session.channel), Configs(session.channel))
    ]
    if not services and not networks and not any(views for _, views in stores):
        session.warn(f"Nothing found in stack: {name}")
    for view in services.values():
        session.say(f"Removing service {view.service.spec.name}")
        session.control.remove_service(view.service.id)
    for calls, views in stores:
        for each in views:
            session.say(f"Removing {calls.word} {each.spec.name}")
            calls.remove(each.id)
    return Leftovers(services={view.service.id for view in services.values()}, networks=networks)


def clear_away(session: Session, leftovers: Sequence[Leftovers], *, is_patient: bool) -> None:
    """Remove the networks of stacks, once their tasks are gone if we are to wait for that."""
    if is_patient:
        wait_until_gone(session, {each for left in leftovers for each in left.services})
    networks = [view for left in leftovers for view in left.networks]
    remove_networks(session, networks, within_s=PATIENCE_S if is_patient else PRUNED_WITHIN_S)


def wait_until_gone(session: Session, services: set[str]) -> None:
    """Return once no task of these services is left."""
    deadline = time.monotonic() + PATIENCE_S
    while services:
        tasks = session.control.tasks(control_pb2.ListTasksRequest())
        left = [view for view in tasks if view.task.service_id in services]
        if not left:
            break
        if time.monotonic() > deadline:
            raise Unavailable(
                f"{len(left)} tasks are still being stopped",
                hint="`swarmctl node ps` shows those of a node; it may be down",
            )
        time.sleep(LOOK_AGAIN_S)
