"""Flags of secrets and configs: some reach the file that a container is given."""

import asyncio
from random import Random
from typing import Any

from agent.contents import Filling, files
from manager import layout
from manager.control import contents
from manager.control.contents import CONFIG, SECRET
from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import specs_pb2
from swarm.codec import from_message
from swarm.ids import ConfigId, SecretId, ServiceId
from swarm.objects import Config, Secret
from swarm.sealing import make_data_key, seal
from swarm.specs import ConfigSpec, ContainerSpec, FileReference, SecretSpec, ServiceSpec, TaskSpec
from tests.flags.asking import asks, inspecting, listing
from tests.flags.lab import Lab
from tests.flags.table import KERNEL, PLAN, Proof, Row, refused
from tests.manager.io.swarm import found_swarm, swarming
from tests.manager.world import World
from tests.sim.fake_store import FakeStore

TEMPLATE = "I am {{.Service.Name}}"
_KEY = make_data_key(Random(1))
_CREATE = {"secret": pb.CreateSecretRequest, "config": pb.CreateConfigRequest}
_UPDATE = {"secret": pb.UpdateSecretRequest, "config": pb.UpdateConfigRequest}


def _furnish(lab: Lab) -> None:
    """Two secrets and two configs, one of each with a label."""
    red = {"team": "red"}
    lab.swarm.secrets = [
        pb.SecretView(id="id-key", spec=specs_pb2.SecretSpec(name="key", labels=red)),
        pb.SecretView(id="id-old", spec=specs_pb2.SecretSpec(name="old")),
    ]
    lab.swarm.configs = [
        pb.ConfigView(id="id-key", spec=specs_pb2.ConfigSpec(name="key", labels=red), data=b"A=1"),
        pb.ConfigView(id="id-old", spec=specs_pb2.ConfigSpec(name="old")),
    ]


def _stored(kind: str, request: Any) -> tuple[str, Secret | Config]:
    """What the manager keeps of what was created, and under which key."""
    random = Random(2)
    if kind == "secret":
        data = seal(_KEY, request.data, purpose=contents.purpose(SECRET, "x"), random=random)
        secret = Secret(id=SecretId("x"), spec=from_message(SecretSpec, request.spec), data=data)
        return layout.secret_key(secret.id), secret
    data = seal(_KEY, request.data, purpose=contents.purpose(CONFIG, "x"), random=random)
    config = Config(id=ConfigId("x"), spec=from_message(ConfigSpec, request.spec), data=data)
    return layout.config_key(config.id), config


def _read(kind: str, request: Any) -> bytes:
    """What a task of the service web reads in the file."""
    world = World()
    world.write(_stored(kind, request))
    content = contents.opened(world.view, _KEY, "x")
    assert content is not None
    asked = ContainerSpec(configs=(FileReference(id="x", name="x", target="/t"),))
    filling = Filling(names={".Service.Name": "web"})
    [written] = files(asked, {"x": content}, filling, None).written
    return written.data


def _template(kind: str) -> Row:
    def look(lab: Lab, flag: str) -> None:
        def read(*flags: str) -> bytes:
            ran = lab.run(kind, "create", *flags, "new", lab.file("content", TEMPLATE))
            assert ran.status == 0, ran.err
            return _read(kind, lab.sent(_CREATE[kind]))

        assert read(flag, "golang") == b"I am web"
        assert read() == TEMPLATE.encode()

    return Row(f"{kind} create", "--template-driver", Proof(KERNEL, look))


def _version(lab: Lab, kind: str, request: Any) -> int:
    """The version of a service that uses it, once a manager has done what was asked."""

    async def story() -> int:
        async with swarming(FakeStore(), found_swarm(lab.directory)) as swarm:
            first = _CREATE[kind](spec={"name": "key"}, data=b"x")
            stored = await swarm.call(f"Create{kind.title()}", first)
            references = (FileReference(name="key"),)
            container = (
                ContainerSpec(image="app", secrets=references)
                if kind == "secret"
                else ContainerSpec(image="app", configs=references)
            )
            made = await swarm.create(ServiceSpec(name="web", task=TaskSpec(container=container)))
            setattr(request, kind, getattr(stored, kind).id)
            await swarm.call(f"Update{kind.title()}", request)
            return swarm.view.services[ServiceId(made.service.service.id)].spec_version

    return asyncio.run(story())


def _roll(kind: str) -> Row:
    """Another version of a service is what has its tasks replaced."""

    def look(lab: Lab, flag: str) -> None:
        def rolled(*flags: str) -> int:
            _furnish(lab)
            ran = lab.run(kind, "update", *flags, "key", lab.file("content", "new"))
            assert ran.status == 0, ran.err
            return _version(lab, kind, lab.sent(_UPDATE[kind]))

        assert rolled(flag) == 2
        assert rolled() == 1

    return Row(f"{kind} update", "--roll", Proof(PLAN, look))


def _labels(kind: str) -> tuple[Row, ...]:
    def updating(flag: str, words: str, expected: dict[str, str]) -> Row:
        return asks(
            f"{kind} update",
            flag,
            words,
            _UPDATE[kind],
            lambda r: r and dict(r.spec.labels),
            expected,
            rest="--label-add b=c key",
            given=_furnish,
        )

    return (
        asks(
            f"{kind} create",
            "--label",
            "-l a=b",
            _CREATE[kind],
            lambda r: dict(r.spec.labels),
            {"a": "b"},
            rest="new /etc/hostname",
        ),
        updating("--label-add", "--label-add a=b", {"team": "red", "a": "b", "b": "c"}),
        updating("--label-rm", "--label-rm team", {"b": "c"}),
    )


def _of(kind: str) -> tuple[Row, ...]:
    return (
        _template(kind),
        _roll(kind),
        *_labels(kind),
        *inspecting(f"{kind} inspect", "key", "Labels:\n", given=_furnish),
        *listing(f"{kind} ls", "label=team=red", 1, given=_furnish),
    )


ROWS: tuple[Row, ...] = (
    refused("secret create", "--driver", "secret create -d vault key -", "there are no drivers"),
    *_of("secret"),
    *_of("config"),
)
