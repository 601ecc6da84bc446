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


def test_pools_are_taken_over_and_told_of_under_their_flags() -> None:
    flags = ClusterFlags(
        default_addr_pool=("10.20.0.0/16,10.30.0.0/16", "10.40.0.0/16"),
        default_addr_pool_mask_length=26,
        data_path_port=7789,
    )

    spec = changed(ClusterSpec(), flags)

    assert spec.address_pools == ("10.20.0.0/16", "10.30.0.0/16", "10.40.0.0/16")
    assert (spec.subnet_bits, spec.data_path_port) == (26, 7789)
    with pytest.raises(Invalid) as caught:
        changed(ClusterSpec(), ClusterFlags(default_addr_pool=("x",), data_path_port=1))
    assert [each.partition(":")[0] for each in caught.value.problems] == [
        "--default-addr-pool", "--default-addr-pool", "--data-path-port",
    ]  # fmt: skip


def test_a_flag_of_docker_that_leads_nowhere_is_refused_with_the_reason() -> None:
    with pytest.raises(Invalid, match=r"--force-new-cluster is not supported: .{20}"):
        refuse(force_new_cluster=True)

    refuse(force_new_cluster=False)
