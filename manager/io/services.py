"""Create, change and remove services: check everything, ask who knows, then commit once.

Whatever can be wrong is found before anything is written, and told whole. A commit that was
overtaken is decided again on the newer view; one whose answer was lost is looked for first,
so that asking twice never makes two services.
"""

import asyncio
from collections.abc import Callable
from itertools import chain
from random import Random

from msgspec import structs

from manager.control import contents, logins, networks, publishing, services
from manager.control.capacity import exceeded
from manager.control.dependencies import check_dependencies
from manager.control.preflights import (
    eligible_nodes,
    needs_nodes,
    port_problems,
    ready_nodes,
    shared_problems,
)
from manager.io.images import Images
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.io.preflights import Preflights
from manager.store import Commit
from runtime.seccomp import profiles
from swarm.checks import check_service
from swarm.errors import Conflict, Invalid, Unavailable
from swarm.ids import ServiceId, make_id
from swarm.images.credentials import Credentials, parse_registry_auth
from swarm.objects import Login, Revision
from swarm.sealing import DataKey
from swarm.specs import ServiceSpec, TaskSpec

ATTEMPTS = 8


class Services:
    """Changes to services."""

    def __init__(
        self,
        mirror: Mirror,
        leader: Leader,
        preflights: Preflights,
        images: Images,
        data_key: DataKey,
        *,
        random: Random,
    ) -> None:
        self._mirror = mirror
        self._leader = leader
        self._preflights = preflights
        self._images = images
        self._data_key = data_key
        self._random = random

    async def create(
        self, spec: ServiceSpec, *, resolve_image: bool, registry_auth: str
    ) -> tuple[ServiceId, tuple[str, ...]]:
        """Store a service; returns its id and what its operator should know."""
        view = self._mirror.view
        accepted, warnings = await self.accept_new(
            spec, resolve_image=resolve_image, registry_auth=registry_auth
        )
        service_id = ServiceId(make_id(self._random))
        login = self._login(service_id, accepted, registry_auth)

        def decide() -> Commit:
            if service_id in view.services:
                return Commit()
            commit = services.create(view, accepted, service_id, now=self._mirror.clock())
            return logins.storing(self._bound(commit, service_id, None, accepted), login)

        await self.commit(decide)
        return service_id, warnings

    async def update(
        self,
        service_id: ServiceId,
        version: int,
        spec: ServiceSpec,
        *,
        resolve_image: bool,
        registry_auth: str,
    ) -> tuple[str, ...]:
        """Store the next spec of a service; returns what its operator should know."""
        view = self._mirror.view
        accepted, warnings = await self.accept_change(
            service_id, version, spec, resolve_image=resolve_image, registry_auth=registry_auth
        )
        login = self._login(service_id, accepted, registry_auth)
        is_doubtful = False

        def decide() -> Commit:
            nonlocal is_doubtful
            present = view.services.get(service_id)
            is_stored = login is None or view.logins.get(service_id) == login
            if is_doubtful and present is not None and present.spec == accepted and is_stored:
                return Commit()
            is_doubtful = True
            if present is None:
                raise Conflict(f"service {spec.name} was removed meanwhile")
            now = self._mirror.clock()
            commit = services.update(view, service_id, version, accepted, now=now)
            commit = self._bound(commit, service_id, present.spec, accepted)
            return logins.storing(commit, login)

        await self.commit(decide)
        return warnings

    async def accept_new(
        self, spec: ServiceSpec, *, resolve_image: bool, registry_auth: str
    ) -> tuple[ServiceSpec, tuple[str, ...]]:
        """What `create` would store, and warnings; raises whatever `create` would raise."""
        view = self._mirror.view
        self._check(spec)
        spec = structs.replace(spec, task=contents.resolved(view, spec.task))
        spec = networks.resolved(view, spec)
        services.check_name_is_free(view, spec.name)
        publishing.check_ports(view, None, spec)
        given = parse_registry_auth(registry_auth)
        spec = logins.marked(view, None, spec, given=given is not None)
        return await self._accept(None, spec, resolve_image, given)

    async def accept_change(
        self,
        service_id: ServiceId,
        version: int,
        spec: ServiceSpec,
        *,
        resolve_image: bool,
        registry_auth: str,
    ) -> tuple[ServiceSpec, tuple[str, ...]]:
        """What `update` would store, and warnings; raises whatever `update` would raise."""
        view = self._mirror.view
        self._check(spec)
        if spec.task != view.services[service_id].spec.task:
            spec = structs.replace(spec, task=contents.resolved(view, spec.task))
        spec = networks.resolved(view, spec)
        services.check_change(view, service_id, version, spec)
        publishing.check_ports(view, service_id, spec)
        before = view.services[service_id].spec
        # An image that was stored as its operator wrote it may be pinned by naming it again.
        looks_up = resolve_image and "@" not in spec.task.container.image
        given = parse_registry_auth(registry_auth)
        spec = logins.marked(view, service_id, spec, given=given is not None)
        if looks_up and given is None:
            given = logins.known(view, self._data_key, service_id, spec.task.container.image)
        return await self._accept(before, spec, looks_up, given)

    async def rollback(
        self, service_id: ServiceId, version: int, revision: Revision | None
    ) -> None:
        """Bring back the previous spec, or that of `revision`, if it is still acceptable."""
        view = self._mirror.view
        wanted: ServiceSpec | None = None

        def decide() -> Commit:
            nonlocal wanted
            present = view.services.get(service_id)
            if present is None:
                raise Conflict("the service was removed meanwhile")
            if wanted is not None and present.spec == wanted:
                return Commit()
            now = self._mirror.clock()
            commit = services.rollback(view, service_id, version, revision, now=now)
            wanted = revision.spec if revision is not None else present.previous_spec
            assert wanted is not None
            self._check(wanted)
            return self._bound(commit, service_id, present.spec, wanted)

        await self.commit(decide)

    async def promote(self, service_id: ServiceId) -> None:
        """Let a rollout go on."""
        view, is_doubtful = self._mirror.view, False

        def decide() -> Commit:
            nonlocal is_doubtful
            if service_id not in view.services:
                raise Conflict("the service was removed meanwhile")
            ledger = view.ledgers.get(service_id)
            rollout = ledger.rollout if ledger is not None else None
            if is_doubtful and rollout is not None and rollout.promoted:
                return Commit()
            is_doubtful = True
            return services.promote(view, service_id, now=self._mirror.clock())

        await self.commit(decide)

    async def remove(self, service_id: ServiceId) -> None:
        """Delete a service; its tasks are stopped by the planners."""
        view = self._mirror.view

        def decide() -> Commit:
            present = view.services.get(service_id)
            if present is None:
                return Commit()
            commit = services.remove(view, service_id)
            return publishing.taking(view, commit, service_id, present.spec, None)

        await self.commit(decide)

    async def commit(self, decide: Callable[[], Commit]) -> None:
        """Commit what `decide` makes of the present view, again if someone was faster.

        `decide` gives an empty commit when what it wants is so already.
        """
        for attempt in range(ATTEMPTS):
            commit = decide()
            if not commit.operations:
                return
            try:
                await self._leader.commit(commit)
            except Conflict:
                await self._mirror.settle()
            except Unavailable:
                # The commit may have happened: look, and only then do it again.
                if attempt == ATTEMPTS - 1 or not self._leader.leads:
                    raise
                await self._mirror.settle()
            else:
                return
        raise Conflict("others keep changing the same objects", hint="repeat the command")

    def _check(self, spec: ServiceSpec) -> None:
        problems = (
            *check_service(spec),
            *(
                f"task.container.seccomp: {each}"
                for each in profiles.problems(spec.task.container.seccomp)
            ),
            *exceeded(self._mirror.view, spec.task),
        )
        _refuse(problems)
        check_dependencies(self._mirror.view, spec)

    def _login(self, service_id: ServiceId, spec: ServiceSpec, registry_auth: str) -> Login | None:
        """What to store for the nodes' pulls; the version of the service is what it is made on."""
        return logins.changed(
            self._mirror.view,
            self._data_key,
            service_id,
            spec.task.container.image,
            parse_registry_auth(registry_auth),
            random=self._random,
        )

    def _bound(
        self,
        commit: Commit,
        service_id: ServiceId,
        before: ServiceSpec | None,
        after: ServiceSpec,
    ) -> Commit:
        """`commit` of a service, with all that it refers to kept and its ports taken."""
        view = self._mirror.view
        if not commit.operations:
            return commit
        publishing.check_ports(view, service_id, after)
        commit = contents.keeping(view, commit, after.task)
        commit = networks.keeping(view, commit, after)
        return publishing.taking(view, commit, service_id, before, after)

    async def _accept(
        self,
        before: ServiceSpec | None,
        spec: ServiceSpec,
        resolve_image: bool,
        credentials: Credentials | None,
    ) -> tuple[ServiceSpec, tuple[str, ...]]:
        """Ask registries and nodes; the spec to store, and warnings."""
        warnings = tuple[str, ...]()
        if resolve_image:
            pinned = await self._images.pinned(spec.task, credentials=credentials)
            warnings = pinned.warnings
            container = structs.replace(spec.task.container, image=pinned.image)
            spec = structs.replace(spec, task=structs.replace(spec.task, container=container))
        is_new = before is None or before.task != spec.task
        problems = await asyncio.gather(
            self._ask_of_task(spec.task if is_new else TaskSpec()),
            *(
                self._ask_of_ports(spec, places, everywhere=everywhere)
                for places, everywhere in zip(
                    publishing.added_ports(before, spec), (True, False), strict=True
                )
            ),
        )
        _refuse(tuple(chain.from_iterable(problems)))
        return spec, warnings

    async def _ask_of_task(self, task: TaskSpec) -> tuple[str, ...]:
        if not needs_nodes(task):
            return ()
        nodes = eligible_nodes(self._mirror.view, task)
        return shared_problems(await self._preflights.ask(nodes, task))

    async def _ask_of_ports(
        self, spec: ServiceSpec, places: tuple[int, ...], *, everywhere: bool
    ) -> tuple[str, ...]:
        if not places:
            return ()
        view = self._mirror.view
        nodes = ready_nodes(view) if everywhere else eligible_nodes(view, spec.task)
        ports = tuple(spec.endpoint.ports[each] for each in places)
        answers = await self._preflights.ask(nodes, ports=ports)
        return tuple(port_problems(view, answers, places, everywhere=everywhere))


def _refuse(problems: tuple[str, ...]) -> None:
    if problems:
        raise Invalid(
            problems[0] if len(problems) == 1 else f"{len(problems)} problems: {problems[0]}",
            problems=problems,
        )
