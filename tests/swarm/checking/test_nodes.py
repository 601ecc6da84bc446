"""A node's spec and the swarm's settings are checked whole."""

import pytest

from swarm.checking.nodes import check_cluster, check_node
from swarm.specs import ClusterSpec, NodeSpec, Taint, TaintEffect


def test_sound_settings_have_no_problems() -> None:
    assert check_node(NodeSpec(labels={"a": "b"}, taints=(Taint(key="gpu", value="x"),))) == ()
    assert check_cluster(ClusterSpec(prometheus_url="http://p:9090/prefix")) == ()


def test_all_problems_are_told_at_once() -> None:
    twice = (Taint(key="a"), Taint(key="a", value="b"), Taint(key="a", effect=TaintEffect(2)))
    spec = NodeSpec(labels={"a b": ""}, drain_timeout_s=-1, taints=(*twice, Taint(key="x y")))

    assert [each.partition(":")[0] for each in check_node(spec)] == [
        "labels[a b]",
        "drain_timeout_s",
        "taints[1]",
        "taints[3]",
    ]


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        (ClusterSpec(cert_expiry_s=60), "cert_expiry_s"),
        (ClusterSpec(heartbeat_s=float("nan")), "heartbeat_s"),
        (ClusterSpec(heartbeat_s=61), "heartbeat_s"),
        (ClusterSpec(task_history_limit=-1), "task_history_limit"),
        (ClusterSpec(prometheus_url="p:9090"), "prometheus_url"),
        (ClusterSpec(prometheus_url="http://"), "prometheus_url"),
        (ClusterSpec(prometheus_url="http://p:x"), "prometheus_url"),
    ],
)
def test_a_setting_has_its_path(spec: ClusterSpec, path: str) -> None:
    assert [each.partition(":")[0] for each in check_cluster(spec)] == [path]
