"""The swarm's own settings have bounds."""

import pytest

from swarm.errors import Invalid
from swarm.specs import ClusterSpec
from swarmctl.cluster import cluster_spec


def test_without_flags_the_defaults_hold() -> None:
    spec = cluster_spec(cert_expiry_s=None, heartbeat_s=None, task_history_limit=None)

    assert spec == ClusterSpec()


def test_flags_are_taken_over() -> None:
    spec = cluster_spec(cert_expiry_s=7200.0, heartbeat_s=0.5, task_history_limit=0)

    assert spec == ClusterSpec(cert_expiry_s=7200.0, heartbeat_s=0.5, task_history_limit=0)


@pytest.mark.parametrize(
    ("cert", "heartbeat", "flag"),
    [(60.0, 1.0, "--cert-expiry"), (None, 0.01, "--dispatcher"), (None, 300.0, "--dispatcher")],
)
def test_what_would_break_the_swarm_is_refused(
    cert: float | None, heartbeat: float, flag: str
) -> None:
    with pytest.raises(Invalid, match=flag) as caught:
        cluster_spec(cert_expiry_s=cert, heartbeat_s=heartbeat, task_history_limit=None)

    assert caught.value.hint
