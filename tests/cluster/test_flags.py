"""Flags whose work is spread over a swarm: taints, ports of nodes, drains, crash loops."""

import json

import pytest

from tests.cluster.conftest import Swarm
from tests.cluster.hosts import wait_for
from tests.cluster.test_services import create, logs, remove, tasks

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(120)]


def test_a_resolver_and_its_output_are_as_the_flags_say(swarm: Swarm) -> None:
    flags = ("--dns", "9.9.9.9", "--dns-search", "lan", "--log-opt", "max-size=64k")
    create(
        swarm, "--name", "dns", *flags, swarm.image, "sh", "-c", "cat /etc/resolv.conf; sleep 99"
    )
    try:
        wait_for("output", lambda: "options" in logs(swarm, "dns"), within_s=30)

        assert logs(swarm, "dns") == "nameserver 127.0.0.11\nsearch lan\noptions ndots:0\n"
        [task] = json.loads(swarm.manager.ctl("service", "inspect", "dns").stdout)
        template = task["Spec"]["TaskTemplate"]
        assert template["ContainerSpec"]["DNSConfig"]["Nameservers"] == ["9.9.9.9"]
        assert template["LogDriver"]["Options"] == {"max-size": "64k"}
    finally:
        remove(swarm, "dns")


def test_a_tainted_node_takes_only_what_bears_it(swarm: Swarm) -> None:
    swarm.manager.ctl("node", "update", "--taint-add", "gpu:no-schedule", "host3")
    create(swarm, "--name", "plain", "--mode", "global", swarm.image)
    create(swarm, "--name", "bears", "--mode", "global", "--toleration", "gpu", swarm.image)
    try:
        assert {t["node"] for t in swarm.running("bears")} == {"host1", "host2", "host3", "host4"}
        assert {t["node"] for t in swarm.running("plain")} == {"host1", "host2", "host4"}
    finally:
        swarm.manager.ctl("node", "update", "--taint-rm", "gpu", "host3")
        remove(swarm, "plain")
        remove(swarm, "bears")


def test_a_published_port_is_one_tasks_own_on_a_node(swarm: Swarm) -> None:
    port = "mode=host,target=18080,published=18080"
    flags = ("--network", "host", "--publish", port, "--replicas", "5")
    create(swarm, "-d", "--name", "ports", *flags, swarm.image)
    try:
        swarm.wait_running("ports", 4, within_s=30)
        waiting = wait_for(
            "the fifth says why",
            lambda: [
                t for t in tasks(swarm, "ports") if "Pending" in t["CurrentState"] and t["Error"]
            ],
            within_s=30,
        )

        assert "18080" in waiting[0]["Error"]
        listed = swarm.manager.ctl("service", "ps", "ports").stdout
        assert "*:18080->18080/tcp" in listed
        assert "4/5" in swarm.manager.ctl("service", "ls", "-f", "name=ports").stdout
    finally:
        remove(swarm, "ports")


def test_a_crash_loop_says_how_often_it_was_tried(swarm: Swarm) -> None:
    flags = ("--restart-delay", "4s", "--restart-max-delay", "30s")
    swarm.manager.ctl("service", "create", "-d", "--name", "loop", *flags, swarm.image, "false")
    try:
        found = wait_for(
            "a third attempt is due",
            lambda: [t for t in tasks(swarm, "loop") if "attempt 3, next in" in t["CurrentState"]],
            within_s=60,
        )

        assert "non-zero exit (1)" in found[0]["Error"]
    finally:
        remove(swarm, "loop")


def test_a_drain_is_watched_until_the_node_is_empty(swarm: Swarm) -> None:
    create(
        swarm, "--name", "moving", "--replicas", "8", "--update-order", "start-first", swarm.image
    )
    try:
        ran = swarm.manager.ctl("node", "update", "--availability", "drain", "host4")

        assert ran.stdout.endswith("Node host4 is empty.\n")
        assert "host4" not in {task["node"] for task in swarm.running("moving")}
        swarm.wait_running("moving", 8, within_s=30)
    finally:
        swarm.manager.ctl("node", "update", "--availability", "active", "host4")
        remove(swarm, "moving")
