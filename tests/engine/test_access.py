"""Who may ask what over the network."""

import pytest

from engine.access import FOR_WORKERS, objection
from swarm.peers import Peer, Standing


def peer(standing: Standing) -> Peer:
    return Peer(standing=standing, node_id="node1", public_key=b"", not_before=0, not_after=1)  # type: ignore[arg-type]


ANYTHING = (
    ("GET", "/_ping"),
    ("GET", "/info"),
    ("GET", "/containers/json"),
    ("POST", "/containers/create"),
    ("GET", "/swarm"),
    ("POST", "/swarm/leave"),
    ("DELETE", "/secrets/x"),
)


@pytest.mark.parametrize(("method", "path"), ANYTHING)
def test_a_manager_may_do_everything(method: str, path: str) -> None:
    assert objection(peer(Standing.MANAGER), method, path) is None


@pytest.mark.parametrize(("method", "path"), sorted(FOR_WORKERS))
def test_a_worker_may_ask_who_is_there(method: str, path: str) -> None:
    assert objection(peer(Standing.WORKER), method, path) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/containers/json"),
        ("POST", "/info"),
        ("GET", "/info/"),
        ("get", "/info"),
        ("GET", "/../info"),
        ("GET", "/swarm"),
        ("GET", "/swarm/unlockkey"),
        ("POST", "/containers/create"),
        ("GET", "/events"),
        ("GET", ""),
    ],
)
def test_a_worker_may_do_nothing_else(method: str, path: str) -> None:
    reason = objection(peer(Standing.WORKER), method, path)

    assert reason == (
        f"node node1 is a worker and may not {method} {path}, "
        "which takes the certificate of a manager"
    )


@pytest.mark.parametrize("standing", [Standing.JOINING_MANAGER, Standing.JOINING_WORKER])
def test_who_is_only_invited_may_do_nothing(standing: Standing) -> None:
    assert objection(peer(standing), "GET", "/_ping") is not None
