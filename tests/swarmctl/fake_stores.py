# ruff: noqa: N802 - gRPC names the methods
"""The part of the pretended swarm that keeps secrets, configs, networks and volumes."""

from collections.abc import Iterator
from typing import Any

from swarm.api.v1 import control_pb2, objects_pb2, volumes_pb2, volumes_pb2_grpc
from swarm.errors import Missing, Refused, SwarmError


class FakeStores(volumes_pb2_grpc.VolumesServicer):
    """Mixed into `FakeSwarm`, whose `_take` and `_fail` it uses."""

    secrets: list[control_pb2.SecretView]
    configs: list[control_pb2.ConfigView]
    networks: list[control_pb2.NetworkView]
    members: dict[str, control_pb2.InspectNetworkResponse]
    reports: list[control_pb2.NetworkReport]
    connected: control_pb2.ConnectNetworkResponse
    volumes: list[volumes_pb2.Volume]
    rolled: list[str]

    def _take(self, method: str, request: Any, context: Any) -> None:
        raise NotImplementedError

    def _fail(self, context: Any, error: SwarmError) -> None:
        raise NotImplementedError

    # Secrets and configs

    def ListSecrets(self, request: Any, context: Any) -> Any:
        self._take("ListSecrets", request, context)
        found = self._meant(self.secrets, request.secrets, "secret", context)
        return control_pb2.ListSecretsResponse(secrets=found)

    def CreateSecret(self, request: Any, context: Any) -> Any:
        self._take("CreateSecret", request, context)
        view = control_pb2.SecretView(id="s" * 25, spec=request.spec, version=1)
        self.secrets.append(view)
        return control_pb2.CreateSecretResponse(secret=view)

    def UpdateSecret(self, request: Any, context: Any) -> Any:
        self._take("UpdateSecret", request, context)
        return control_pb2.UpdateSecretResponse(secret=self.secrets[0], rolled=self.rolled)

    def RemoveSecret(self, request: Any, context: Any) -> Any:
        self._take("RemoveSecret", request, context)
        return control_pb2.RemoveSecretResponse()

    def ListConfigs(self, request: Any, context: Any) -> Any:
        self._take("ListConfigs", request, context)
        found = self._meant(self.configs, request.configs, "config", context)
        return control_pb2.ListConfigsResponse(configs=found)

    def CreateConfig(self, request: Any, context: Any) -> Any:
        self._take("CreateConfig", request, context)
        view = control_pb2.ConfigView(id="c" * 25, spec=request.spec, version=1, data=request.data)
        self.configs.append(view)
        return control_pb2.CreateConfigResponse(config=view)

    def UpdateConfig(self, request: Any, context: Any) -> Any:
        self._take("UpdateConfig", request, context)
        return control_pb2.UpdateConfigResponse(config=self.configs[0], rolled=self.rolled)

    def RemoveConfig(self, request: Any, context: Any) -> Any:
        self._take("RemoveConfig", request, context)
        return control_pb2.RemoveConfigResponse()

    def _meant(self, views: list[Any], names: Any, kind: str, context: Any) -> list[Any]:
        for name in names:
            if not any(name in (view.id, view.spec.name) for view in views):
                self._fail(context, Missing(f"{kind} {name!r} not found"))
        return [v for v in views if not names or v.id in names or v.spec.name in names]

    # Networks

    def CreateNetwork(self, request: Any, context: Any) -> Any:
        self._take("CreateNetwork", request, context)
        number = len(self.networks) + 1
        view = control_pb2.NetworkView(
            network=objects_pb2.Network(id=f"{number:025}", spec=request.spec, vni=4096 + number)
        )
        self.networks.append(view)
        return control_pb2.CreateNetworkResponse(network=view)

    def ListNetworks(self, request: Any, context: Any) -> Any:
        self._take("ListNetworks", request, context)
        found = [self._network(each, context) for each in request.networks]
        return control_pb2.ListNetworksResponse(networks=found or self.networks)

    def InspectNetwork(self, request: Any, context: Any) -> Any:
        self._take("InspectNetwork", request, context)
        view = self._network(request.network, context)
        answer = control_pb2.InspectNetworkResponse(network=view)
        answer.MergeFrom(self.members.get(view.network.spec.name, answer))
        return answer

    def RemoveNetwork(self, request: Any, context: Any) -> Any:
        self._take("RemoveNetwork", request, context)
        view = self._network(request.network, context)
        if view.services:
            name = view.network.spec.name
            self._fail(context, Refused(f"network {name} is used by {', '.join(view.services)}"))
        self.networks.remove(view)
        return control_pb2.RemoveNetworkResponse()

    def PruneNetworks(self, request: Any, context: Any) -> Any:
        self._take("PruneNetworks", request, context)
        unused = [each.network.spec.name for each in self.networks if not each.services]
        return control_pb2.PruneNetworksResponse(removed=unused)

    def ConnectNetwork(self, request: Any, context: Any) -> Any:
        self._take("ConnectNetwork", request, context)
        return self.connected

    def DisconnectNetwork(self, request: Any, context: Any) -> Any:
        self._take("DisconnectNetwork", request, context)
        return control_pb2.DisconnectNetworkResponse()

    def CheckNetwork(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("CheckNetwork", request, context)
        yield from self.reports

    def _network(self, name: str, context: Any) -> Any:
        for view in self.networks:
            if name in (view.network.id, view.network.spec.name):
                return view
        self._fail(context, Missing(f"network {name!r} not found"))
        raise AssertionError("a failure ends the call")

    # Volumes

    def CreateVolume(self, request: Any, context: Any) -> Any:
        self._take("CreateVolume", request, context)
        return volumes_pb2.CreateVolumeResponse(
            volume=volumes_pb2.Volume(name=request.name or "f" * 64, driver="local")
        )

    def ListVolumes(self, request: Any, context: Any) -> Any:
        self._take("ListVolumes", request, context)
        return volumes_pb2.ListVolumesResponse(volumes=self.volumes)

    def InspectVolume(self, request: Any, context: Any) -> Any:
        self._take("InspectVolume", request, context)
        found = [each for each in self.volumes if each.name == request.name]
        if not found:
            self._fail(context, Missing(f"no such volume: {request.name}"))
        return volumes_pb2.InspectVolumeResponse(volume=found[0])

    def RemoveVolume(self, request: Any, context: Any) -> Any:
        self._take("RemoveVolume", request, context)
        for each in self.volumes:
            if each.name == request.name and each.users:
                self._fail(context, Refused(f"volume is in use: {each.name}"))
        return volumes_pb2.RemoveVolumeResponse()

    def PruneVolumes(self, request: Any, context: Any) -> Any:
        self._take("PruneVolumes", request, context)
        return volumes_pb2.PruneVolumesResponse(removed=request.names, reclaimed_bytes=5000)
