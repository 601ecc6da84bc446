"""What swarmd tells the engine."""

import msgspec
import pytest

from engine.config import Config, parse
from swarm.errors import Invalid

CONFIG = Config(
    swarmd_socket="/run/swarmd/swarmd.sock",
    agent_socket="/run/swarmd/agent.sock",
    identity="/var/lib/swarmd/certificates",
    data_root="/var/lib/swarmd",
    run_root="/run/swarmd",
    hostname="host1",
    docker_socket="/run/swarmd/docker.sock",
    labels={"rack": "r1"},
)


def test_what_swarmd_writes_is_read_back() -> None:
    assert parse(msgspec.json.encode(CONFIG), name="engine.json") == CONFIG


def test_every_path_that_is_not_absolute_is_named() -> None:
    wrong = msgspec.structs.replace(CONFIG, run_root="run", agent_socket="")

    with pytest.raises(Invalid) as caught:
        parse(msgspec.json.encode(wrong), name="engine.json")

    assert caught.value.problems == (
        "agent_socket: '' must be absolute",
        "run_root: 'run' must be absolute",
    )


@pytest.mark.parametrize("text", [b"", b"{}", b'{"socket": 1}', b"[]"])
def test_what_is_no_configuration_is_refused(text: bytes) -> None:
    with pytest.raises(Invalid):
        parse(text, name="engine.json")
