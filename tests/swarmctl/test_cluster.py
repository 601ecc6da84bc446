"""The swarm's own settings have bounds."""

import pytest

from swarm.errors import Invalid
from swarm.specs import ClusterSpec
from swarmctl.cluster import ClusterFlags, changed, refuse


def test_without_flags_nothing_changes() -> None:
    spec = ClusterSpec(task_history_limit=9, prometheus_url="http://p:9090")

    assert changed(spec, ClusterFlags()) == spec


def test_flags_are_taken_over() -> None:
    flags = ClusterFlags(
        cert_expiry=7200.0,
        dispatcher_heartbeat=0.5,
        task_history_limit=0,
        rebalance_on_join=True,
        prometheus_url="https://prometheus",
    )

    assert changed(ClusterSpec(), flags) == ClusterSpec(
        cert_expiry_s=7200.0,
        heartbeat_s=0.5,
        task_history_limit=0,
        rebalance_on_join=True,
        prometheus_url="https://prometheus",
    )
    assert not changed(
        ClusterSpec(rebalance_on_join=True), ClusterFlags(rebalance_on_join=False)
    ).rebalance_on_join


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (ClusterFlags(cert_expiry=60.0), "--cert-expiry"),
        (ClusterFlags(dispatcher_heartbeat=0.01), "--dispatcher-heartbeat"),
        (ClusterFlags(dispatcher_heartbeat=300.0), "--dispatcher-heartbeat"),
        (ClusterFlags(prometheus_url="prometheus:9090"), "--prometheus-url"),
        (ClusterFlags(autolock=True), "--autolock is not supported"),
        (ClusterFlags(external_ca=("x",)), "--external-ca is not supported"),
    ],
)
def test_what_would_break_the_swarm_is_refused(flags: ClusterFlags, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        changed(ClusterSpec(), flags)


@pytest.mark.parametrize(
    "name",
    [
        "data_path_addr",
        "data_path_port",
        "default_addr_pool",
        "default_addr_pool_mask_length",
        "force_new_cluster",
    ],
)
def test_flags_of_docker_that_lead_nowhere_are_refused_with_the_reason(name: str) -> None:
    with pytest.raises(Invalid, match=f"--{name.replace('_', '-')} is not supported: .{{20}}"):
        refuse(**{name: "x"})

    refuse(**{name: ""})
