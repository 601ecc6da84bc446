"""Serve secrets and configs: store them sealed, show what may be seen."""

from manager.io.mirror import Mirror
from manager.io.services import Services
from swarm.api.v1 import control_pb2
from swarm.sealing import DataKey


class Contents:
    """What tasks read as files."""

    def __init__(self, mirror: Mirror, services: Services, data_key: DataKey) -> None:
        self._mirror = mirror
        self._services = services
        self._data_key = data_key

    async def create_secret(
        self, request: control_pb2.CreateSecretRequest
    ) -> control_pb2.CreateSecretResponse:
        """Store a secret."""
        raise NotImplementedError

    async def update_secret(
        self, request: control_pb2.UpdateSecretRequest
    ) -> control_pb2.UpdateSecretResponse:
        """Replace a secret's data or labels."""
        raise NotImplementedError

    async def remove_secret(
        self, request: control_pb2.RemoveSecretRequest
    ) -> control_pb2.RemoveSecretResponse:
        """Remove a secret that no service uses."""
        raise NotImplementedError

    async def list_secrets(
        self, request: control_pb2.ListSecretsRequest
    ) -> control_pb2.ListSecretsResponse:
        """The secrets that are meant, or all."""
        raise NotImplementedError

    async def create_config(
        self, request: control_pb2.CreateConfigRequest
    ) -> control_pb2.CreateConfigResponse:
        """Store a config."""
        raise NotImplementedError

    async def update_config(
        self, request: control_pb2.UpdateConfigRequest
    ) -> control_pb2.UpdateConfigResponse:
        """Replace a config's data or labels."""
        raise NotImplementedError

    async def remove_config(
        self, request: control_pb2.RemoveConfigRequest
    ) -> control_pb2.RemoveConfigResponse:
        """Remove a config that no service uses."""
        raise NotImplementedError

    async def list_configs(
        self, request: control_pb2.ListConfigsRequest
    ) -> control_pb2.ListConfigsResponse:
        """The configs that are meant, or all."""
        raise NotImplementedError
