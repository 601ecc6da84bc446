"""Ask the cluster about its secrets and configs.

Both have the same calls, each in messages of its own: who holds `Contents` need not know of
which, and has its `word`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec import Struct

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import specs_pb2
from swarm.errors import Invalid
from swarm.quantities import format_memory
from swarmctl.contents import View
from swarmctl.io.archives import opened
from swarmctl.io.channel import Channel

# Rolling every service that uses it is a change of all of them.
_TIMEOUT_S = 90.0
_MOST_BYTES = 1 << 20  # more than any of them may have, which a manager judges


class Change(Struct, frozen=True, kw_only=True):
    """What to change: None stays as it is. To `keep` is to refuse data that is not there yet."""

    data: bytes | None = None
    labels: Mapping[str, str] | None = None
    roll: bool = False
    keep: bool = False


class Secrets:
    """The calls about secrets."""

    word = "secret"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(self, names: Iterable[str] = ()) -> list[View]:
        """Those that are meant, or all."""
        answer = self._call("ListSecrets", pb.ListSecretsRequest(secrets=names).SerializeToString())
        return [*pb.ListSecretsResponse.FromString(answer).secrets]

    def create(self, name: str, labels: Mapping[str, str], driver: str, data: bytes) -> View:
        """Store one."""
        spec = specs_pb2.SecretSpec(name=name, labels=labels, template_driver=driver)
        request = pb.CreateSecretRequest(spec=spec, data=data).SerializeToString()
        return pb.CreateSecretResponse.FromString(self._call("CreateSecret", request)).secret

    def update(self, view: View, change: Change) -> tuple[str, ...]:
        """Change one; the services that roll because of it."""
        request = pb.UpdateSecretRequest(
            secret=view.id, data=change.data, roll=change.roll, keep=change.keep
        )
        if change.labels is not None:
            request.spec.CopyFrom(
                specs_pb2.SecretSpec(
                    name=view.spec.name,
                    labels=change.labels,
                    template_driver=view.spec.template_driver,
                )
            )
        answer = self._call("UpdateSecret", request.SerializeToString())
        return tuple(pb.UpdateSecretResponse.FromString(answer).rolled)

    def remove(self, content_id: str) -> None:
        """Remove one that no service uses."""
        self._call("RemoveSecret", pb.RemoveSecretRequest(secret=content_id).SerializeToString())

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Control/{method}", request, timeout_s=_TIMEOUT_S)


class Configs:
    """The calls about configs."""

    word = "config"

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def list(self, names: Iterable[str] = ()) -> list[View]:
        """Those that are meant, or all."""
        answer = self._call("ListConfigs", pb.ListConfigsRequest(configs=names).SerializeToString())
        return [*pb.ListConfigsResponse.FromString(answer).configs]

    def create(self, name: str, labels: Mapping[str, str], driver: str, data: bytes) -> View:
        """Store one."""
        spec = specs_pb2.ConfigSpec(name=name, labels=labels, template_driver=driver)
        request = pb.CreateConfigRequest(spec=spec, data=data).SerializeToString()
        return pb.CreateConfigResponse.FromString(self._call("CreateConfig", request)).config

    def update(self, view: View, change: Change) -> tuple[str, ...]:
        """Change one; the services that roll because of it."""
        request = pb.UpdateConfigRequest(
            config=view.id, data=change.data, roll=change.roll, keep=change.keep
        )
        if change.labels is not None:
            request.spec.CopyFrom(
                specs_pb2.ConfigSpec(
                    name=view.spec.name,
                    labels=change.labels,
                    template_driver=view.spec.template_driver,
                )
            )
        answer = self._call("UpdateConfig", request.SerializeToString())
        return tuple(pb.UpdateConfigResponse.FromString(answer).rolled)

    def remove(self, content_id: str) -> None:
        """Remove one that no service uses."""
        self._call("RemoveConfig", pb.RemoveConfigRequest(config=content_id).SerializeToString())

    def _call(self, method: str, request: bytes) -> bytes:
        return self._channel.unary(f"Control/{method}", request, timeout_s=_TIMEOUT_S)


Contents = Secrets | Configs


def read_data(path: str, word: str) -> bytes:
    """What is in the file at `path`, or on standard input for `-`."""
    if path != "-" and Path(path).is_dir():
        raise Invalid(f"{path} is a directory", hint=f"give a file with the {word}")
    with opened(path, flag="FILE") as source:
        data = source.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise Invalid(
            f"{path} has more than {_MOST_BYTES} bytes ({format_memory(_MOST_BYTES)})",
            hint=f"a {word} cannot be as large as that",
        )
    if not data:
        where = "standard input" if path == "-" else path
        raise Invalid(f"{where} is empty", hint=f"a {word} must have content")
    return data
