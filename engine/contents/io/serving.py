"""Serve secrets and configs: make, show, label and remove them.

`docker stack deploy` sends the data again with the labels: it has to be what is there.
"""

from collections.abc import Iterable

from engine import replies
from engine.cluster.io.managing import managing
from engine.contents.specs import (
    View,
    check_change,
    choose,
    content_json,
    read_config,
    read_data,
    read_secret,
    taken,
)
from engine.io.exchange import Exchange, Handler
from engine.replies import Reply
from engine.routing import Route
from engine.services.io.serving import out_of_sequence, version_of
from engine.wire.contents import ContentSpecJson
from swarm.api.v1 import control_pb2
from swarm.errors import Conflict, Refused, SwarmError


async def list_secrets(ask: Exchange) -> Reply:
    """GET /secrets"""
    filters = ask.query.filters()
    async with managing(ask) as control:
        found = await control.ListSecrets(control_pb2.ListSecretsRequest())
    return replies.json([content_json(each) for each in choose(found.secrets, filters)])


async def inspect_secret(ask: Exchange) -> Reply:
    """GET /secrets/{id}"""
    return replies.json(content_json(await _secret(ask)))


async def create_secret(ask: Exchange) -> Reply:
    """POST /secrets/create"""
    asked = await ask.decoded(ContentSpecJson)
    request = control_pb2.CreateSecretRequest(spec=read_secret(asked), data=read_data(asked))
    async with managing(ask) as control:
        try:
            made = await control.CreateSecret(request)
        except Refused as err:
            found = (await control.ListSecrets(control_pb2.ListSecretsRequest())).secrets
            raise _explained(err, "secret", asked.name, found) from err
    return replies.json({"ID": made.secret.id}, status=201)


async def update_secret(ask: Exchange) -> Reply:
    """POST /secrets/{id}/update"""
    asked, version = await ask.decoded(ContentSpecJson), version_of(ask, "secret")
    view = await _secret(ask)
    check_change(asked, view)
    request = control_pb2.UpdateSecretRequest(
        secret=view.id,
        spec=read_secret(asked),
        revision=version,
        data=read_data(asked) or None,
        keep=True,
    )
    async with managing(ask) as control:
        try:
            await control.UpdateSecret(request)
        except Conflict as err:
            raise out_of_sequence(err) from err
    return replies.nothing(200)


async def remove_secret(ask: Exchange) -> Reply:
    """DELETE /secrets/{id}"""
    async with managing(ask) as control:
        await control.RemoveSecret(control_pb2.RemoveSecretRequest(secret=ask.params["id"]))
    return replies.nothing()


async def list_configs(ask: Exchange) -> Reply:
    """GET /configs"""
    filters = ask.query.filters()
    async with managing(ask) as control:
        found = await control.ListConfigs(control_pb2.ListConfigsRequest())
    return replies.json([content_json(each) for each in choose(found.configs, filters)])


async def inspect_config(ask: Exchange) -> Reply:
    """GET /configs/{id}"""
    return replies.json(content_json(await _config(ask)))


async def create_config(ask: Exchange) -> Reply:
    """POST /configs/create"""
    asked = await ask.decoded(ContentSpecJson)
    request = control_pb2.CreateConfigRequest(spec=read_config(asked), data=read_data(asked))
    async with managing(ask) as control:
        try:
            made = await control.CreateConfig(request)
        except Refused as err:
            found = (await control.ListConfigs(control_pb2.ListConfigsRequest())).configs
            raise _explained(err, "config", asked.name, found) from err
    return replies.json({"ID": made.config.id}, status=201)


async def update_config(ask: Exchange) -> Reply:
    """POST /configs/{id}/update"""
    asked, version = await ask.decoded(ContentSpecJson), version_of(ask, "config")
    view = await _config(ask)
    check_change(asked, view)
    request = control_pb2.UpdateConfigRequest(
        config=view.id,
        spec=read_config(asked),
        revision=version,
        data=read_data(asked) or None,
        keep=True,
    )
    async with managing(ask) as control:
        try:
            await control.UpdateConfig(request)
        except Conflict as err:
            raise out_of_sequence(err) from err
    return replies.nothing(200)


async def remove_config(ask: Exchange) -> Reply:
    """DELETE /configs/{id}"""
    async with managing(ask) as control:
        await control.RemoveConfig(control_pb2.RemoveConfigRequest(config=ask.params["id"]))
    return replies.nothing()


def _explained(err: Refused, word: str, name: str, found: Iterable[View]) -> SwarmError:
    """`err` in Docker's words, where there is one of that name already."""
    return taken(word, name) if any(each.spec.name == name for each in found) else err


async def _secret(ask: Exchange) -> control_pb2.SecretView:
    request = control_pb2.ListSecretsRequest(secrets=[ask.params["id"]])
    async with managing(ask) as control:
        return (await control.ListSecrets(request)).secrets[0]


async def _config(ask: Exchange) -> control_pb2.ConfigView:
    request = control_pb2.ListConfigsRequest(configs=[ask.params["id"]])
    async with managing(ask) as control:
        return (await control.ListConfigs(request)).configs[0]


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/secrets", list_secrets),
    Route("POST", "/secrets/create", create_secret),
    Route("GET", "/secrets/{id}", inspect_secret),
    Route("POST", "/secrets/{id}/update", update_secret),
    Route("DELETE", "/secrets/{id}", remove_secret),
    Route("GET", "/configs", list_configs),
    Route("POST", "/configs/create", create_config),
    Route("GET", "/configs/{id}", inspect_config),
    Route("POST", "/configs/{id}/update", update_config),
    Route("DELETE", "/configs/{id}", remove_config),
)
