"""Serve secrets and configs: store them sealed, show what may be seen.

Data is sealed before anything is decided, so it is in clear only while the request is. Of
secrets nothing is looked at but their length, and whether their templates can be filled in. A
commit whose answer was lost is looked for before it is done again.
"""

from random import Random

from manager.control import contents
from manager.control.contents import CONFIG, SECRET, Kind
from manager.finding import find_config, find_secret
from manager.groups import check
from manager.io.mirror import Mirror
from manager.io.rendering import config_view, secret_view
from manager.io.services import Services
from manager.store import Commit
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ConfigId, SecretId, make_id
from swarm.objects import Config, Sealed, Secret
from swarm.sealing import DataKey, seal
from swarm.specs import ConfigSpec, SecretSpec


class Contents:
    """What tasks read as files."""

    def __init__(
        self, mirror: Mirror, services: Services, data_key: DataKey, *, random: Random
    ) -> None:
        self._mirror = mirror
        self._services = services
        self._data_key = data_key
        self._random = random

    async def create_secret(
        self, request: control_pb2.CreateSecretRequest
    ) -> control_pb2.CreateSecretResponse:
        """Store a secret."""
        spec, secret_id = from_message(SecretSpec, request.spec), SecretId(make_id(self._random))
        contents.check_spec(self._mirror.view, SECRET, spec)
        templated, now = bool(spec.template_driver), self._mirror.clock()
        sealed = self._sealed(SECRET, secret_id, request.data, templated=templated)
        await self._create(
            Secret(id=secret_id, spec=spec, data=sealed, created_at=now, updated_at=now)
        )
        return control_pb2.CreateSecretResponse(secret=secret_view(self._mirror.view, secret_id))

    async def update_secret(
        self, request: control_pb2.UpdateSecretRequest
    ) -> control_pb2.UpdateSecretResponse:
        """Replace a secret's data or labels."""
        secret_id = find_secret(self._mirror.view, request.secret)
        rolled = await self._update(
            SECRET,
            secret_id,
            data=request.data if request.HasField("data") else None,
            spec=from_message(SecretSpec, request.spec) if request.HasField("spec") else None,
            roll=request.roll,
            keep=request.keep,
            revision=request.revision,
        )
        return control_pb2.UpdateSecretResponse(
            secret=secret_view(self._mirror.view, secret_id), rolled=rolled
        )

    async def remove_secret(
        self, request: control_pb2.RemoveSecretRequest
    ) -> control_pb2.RemoveSecretResponse:
        """Remove a secret that no service uses."""
        await self._remove(SECRET, find_secret(self._mirror.view, request.secret))
        return control_pb2.RemoveSecretResponse()

    async def list_secrets(
        self, request: control_pb2.ListSecretsRequest
    ) -> control_pb2.ListSecretsResponse:
        """The secrets that are meant, or all in order of their names."""
        view = self._mirror.view
        found = dict.fromkeys(find_secret(view, each) for each in request.secrets)
        by_name = sorted(view.secrets.values(), key=lambda each: each.spec.name)
        chosen = found if request.secrets else [each.id for each in by_name]
        return control_pb2.ListSecretsResponse(secrets=[secret_view(view, each) for each in chosen])

    async def create_config(
        self, request: control_pb2.CreateConfigRequest
    ) -> control_pb2.CreateConfigResponse:
        """Store a config."""
        spec, config_id = from_message(ConfigSpec, request.spec), ConfigId(make_id(self._random))
        contents.check_spec(self._mirror.view, CONFIG, spec)
        templated, now = bool(spec.template_driver), self._mirror.clock()
        sealed = self._sealed(CONFIG, config_id, request.data, templated=templated)
        await self._create(
            Config(id=config_id, spec=spec, data=sealed, created_at=now, updated_at=now)
        )
        return control_pb2.CreateConfigResponse(config=self._config(config_id))

    async def update_config(
        self, request: control_pb2.UpdateConfigRequest
    ) -> control_pb2.UpdateConfigResponse:
        """Replace a config's data or labels."""
        config_id = find_config(self._mirror.view, request.config)
        rolled = await self._update(
            CONFIG,
            config_id,
            data=request.data if request.HasField("data") else None,
            spec=from_message(ConfigSpec, request.spec) if request.HasField("spec") else None,
            roll=request.roll,
            keep=request.keep,
            revision=request.revision,
        )
        return control_pb2.UpdateConfigResponse(config=self._config(config_id), rolled=rolled)

    async def remove_config(
        self, request: control_pb2.RemoveConfigRequest
    ) -> control_pb2.RemoveConfigResponse:
        """Remove a config that no service uses."""
        await self._remove(CONFIG, find_config(self._mirror.view, request.config))
        return control_pb2.RemoveConfigResponse()

    async def list_configs(
        self, request: control_pb2.ListConfigsRequest
    ) -> control_pb2.ListConfigsResponse:
        """The configs that are meant, or all in order of their names."""
        view = self._mirror.view
        found = dict.fromkeys(find_config(view, each) for each in request.configs)
        by_name = sorted(view.configs.values(), key=lambda each: each.spec.name)
        chosen = found if request.configs else [each.id for each in by_name]
        return control_pb2.ListConfigsResponse(configs=[self._config(each) for each in chosen])

    async def _create(self, content: contents.Stored) -> None:
        view, kind = self._mirror.view, contents.kind_of(content)

        def decide() -> Commit:
            if contents.find(view, kind, content.id) is not None:
                return Commit()
            return contents.create(view, content)

        await self._services.commit(decide)

    async def _update(
        self,
        kind: Kind,
        content_id: str,
        *,
        data: bytes | None,
        spec: contents.Spec | None,
        roll: bool,
        keep: bool,
        revision: int,
    ) -> list[str]:
        """Replace what is given; the names of the services that roll because of it.

        To `keep` is to refuse other data than what is there. A `revision` (0: any) is the one
        that the change was derived from.
        """
        view, sealed = self._mirror.view, None
        if data is not None and not keep:
            known = contents.find(view, kind, content_id)
            templated = known is not None and bool(known.spec.template_driver)
            sealed = self._sealed(kind, content_id, data, templated=templated)
        rolled: list[str] = []
        now = self._mirror.clock()
        is_doubtful = False

        def decide() -> Commit:
            nonlocal is_doubtful
            present = contents.find(view, kind, content_id)
            if present is None:
                raise Conflict(f"the {kind.word} was removed meanwhile")
            if is_doubtful and present.updated_at == now:
                return Commit()  # it happened after all
            contents.check_revision(view, present, revision)
            is_doubtful = True
            if keep and data is not None:
                contents.check_same(view, self._data_key, present, data)
            if sealed is None and spec is None and not roll:
                return Commit()
            users = contents.users(view, kind, content_id) if roll else ()
            rolled[:] = [each.spec.name for each in users]
            changed = contents.update(view, present, sealed=sealed, spec=spec, now=now)
            cause = f"{kind.word} update"
            commit = contents.rolling(view, changed, users, now=now, cause=cause)
            return commit if not users else self._fitting(commit, kind, len(users))

        await self._services.commit(decide)
        return rolled

    def _fitting(self, commit: Commit, kind: Kind, users: int) -> Commit:
        """`commit`, if etcd takes it as one; the services could roll without the data otherwise."""
        try:
            check(commit, self._mirror.store.limits)
        except Invalid as err:
            raise Refused(
                f"the {kind.word} is used by {users} services, more than etcd takes in one "
                "transaction",
                hint="leave --roll out, and then let them read it one by one: swarmctl service "
                "update --force SERVICE",
            ) from err
        return commit

    async def _remove(self, kind: Kind, content_id: str) -> None:
        view = self._mirror.view

        def decide() -> Commit:
            content = contents.find(view, kind, content_id)
            return Commit() if content is None else contents.remove(view, content)

        await self._services.commit(decide)

    def _sealed(self, kind: Kind, content_id: str, data: bytes, *, templated: bool) -> Sealed:
        contents.check_data(kind, data, templated=templated)
        purpose = contents.purpose(kind, content_id)
        return seal(self._data_key, data, purpose=purpose, random=self._random)

    def _config(self, config_id: ConfigId) -> control_pb2.ConfigView:
        return config_view(self._mirror.view, config_id, self._data_key)
