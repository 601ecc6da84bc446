"""Containers as clients read them: in lists, in full, and by what they use."""

import pytest

from engine.containers import endpoints, inspection, listing, pruning, states, stats
from engine.versions import LATEST, Version
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2, specs_pb2
from swarm.errors import Invalid, Missing

NOW = 1_700_000_000.0
ID = "a" * 64


def view(container_id: str = ID, name: str = "web", **fields: object) -> pb.ContainerView:
    found = pb.ContainerView(
        id=container_id, name=name, image_id="sha256:1", created_at=NOW - 7200, **fields  # type: ignore[arg-type]
    )  # fmt: skip
    found.spec.name = name
    found.spec.container.image = "busybox"
    return found


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"state": 0}, "Created"),
        ({"state": 1, "started_at": NOW - 3}, "Up 3 seconds"),
        ({"state": 1, "started_at": NOW - 90, "has_healthcheck": True, "health": 1},
         "Up About a minute (health: starting)"),
        ({"state": 1, "started_at": NOW - 7200, "has_healthcheck": True, "health": 3},
         "Up 2 hours (unhealthy)"),
        ({"state": 2, "started_at": NOW - 3}, "Up 3 seconds (Paused)"),
        ({"state": 3, "finished_at": NOW - 1, "exit_code": 2}, "Restarting (2) 1 second ago"),
        ({"state": 4}, "Removal In Progress"),
        ({"state": 5, "finished_at": NOW - 86400 * 3, "exit_code": 137}, "Exited (137) 3 days ago"),
        ({"state": 6}, "Dead"),
    ],
)  # fmt: skip
def test_a_line_says_how_a_container_is(fields: dict[str, object], status: str) -> None:
    assert states.status(view(**fields), now=NOW) == status


def test_one_that_is_started_again_counts_as_running() -> None:
    shown = states.write_state(view(state=3, has_healthcheck=True, health=1, failing_streak=2))

    assert (shown["Status"], shown["Running"], shown["Restarting"]) == ("restarting", True, True)
    assert shown["Health"] == {"Status": "starting", "FailingStreak": 2, "Log": []}


def chosen(filters: dict[str, tuple[str, ...]], *views: pb.ContainerView, **how: object) -> str:
    asked = listing.Listing(filters=filters, **how)  # type: ignore[arg-type]
    found = listing.choose(views, asked, ancestors={"base": frozenset({"sha256:1"})})
    return " ".join(each.name for each in found)


def test_filters_select_by_all_that_is_known_of_containers() -> None:
    web = view(
        state=1, labels={"a": "b"}, exposed=["80/tcp", "53/udp"],
        mounts=[pb.ContainerMount(volume="data", target="/data")],
        ports=[specs_pb2.Port(target=80, published=8080)],
        endpoints=[pb.ContainerEndpoint(network_name="front", network_id="n" * 64)],
    )  # fmt: skip
    old = view("b" * 64, "old", state=5, exit_code=3, task_id="t")
    old.created_at, old.image_id = NOW - 9000, "sha256:2"
    both = (web, old)

    assert chosen({}, *both) == "web"
    assert chosen({}, *both, every=True) == "web old"
    assert chosen({}, *both, limit=1) == "web"
    for key, value in (
        ("name", "we"), ("name", "^/web$"), ("id", "aaa"), ("label", "a"), ("label", "a=b"),
        ("status", "running"), ("network", "front"), ("network", "n" * 64), ("volume", "data"),
        ("volume", "/data"), ("expose", "80"), ("expose", "50-60/udp"), ("publish", "80/tcp"),
        ("health", "none"), ("ancestor", "base"), ("since", "old"), ("is-task", "false"),
    ):  # fmt: skip
        assert chosen({key: (value,)}, *both) == "web", key
    for key, value in (("exited", "3"), ("status", "exited"), ("before", "web"), ("name", "old")):
        assert chosen({key: (value,)}, *both, every=True) == "old", key
    assert chosen({"is-task": ("true",)}, *both, every=True) == "old"
    assert chosen({"name": ("(", "web")}, *both) == "web"


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "x"), ("health", "x"), ("exited", "x"), ("expose", "x"), ("is-task", "x"),
     ("nope", "x")],
)  # fmt: skip
def test_what_selects_nothing_by_mistake_is_refused(key: str, value: str) -> None:
    with pytest.raises(Invalid):
        chosen({key: (value,)}, view(state=1))


def test_a_container_that_nobody_knows_has_no_before() -> None:
    with pytest.raises(Missing, match="No such container: x"):
        chosen({"before": ("x",)}, view())


def test_a_line_has_what_clients_print() -> None:
    found = view(
        state=1, started_at=NOW - 60, args=["sh", "-c", "sleep 1"], exposed=["80/tcp", "90/tcp"],
        ports=[specs_pb2.Port(target=80, published=8080)], written_bytes=5, root_bytes=9,
    )  # fmt: skip

    shown = listing.write_line(found, image="busybox", sized=True, now=NOW, version=LATEST)

    assert shown["Command"] == "sh -c 'sleep 1'"
    assert shown["Ports"] == [
        {"PrivatePort": 90, "Type": "tcp"},
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
    ]
    assert (shown["SizeRw"], shown["SizeRootFs"]) == (5, 9)


def test_an_image_whose_name_means_another_one_is_shown_by_its_id() -> None:
    assert listing.image_name(view(), {"busybox:latest": "sha256:1"}) == "busybox"
    assert listing.image_name(view(), {"busybox:latest": "sha256:2"}) == "sha256:1"
    assert listing.image_name(view(), {}) == "sha256:1"
    assert listing.image_name(view(), None) == "busybox"


def test_an_image_that_was_asked_for_by_its_id_or_digest_is_shown_so() -> None:
    for asked in ("1", "sha256:1", f"busybox@sha256:{'1' * 64}"):
        found = view()
        found.spec.container.image = asked
        assert listing.image_name(found, {}) == asked


def test_only_what_rests_and_is_nobodys_task_is_pruned() -> None:
    views = [
        view("1", "up", state=1), view("2", "over", state=5), view("3", "made", state=0),
        view("4", "task", state=5, task_id="t"), view("5", "kept", state=5, labels={"keep": ""}),
    ]  # fmt: skip

    assert pruning.choose(views, {"label!": ("keep",)}, now=NOW) == ["2", "3"]
    assert pruning.choose(views, {"label": ("keep",)}, now=NOW) == ["5"]
    assert pruning.choose(views, {"until": ("3h",)}, now=NOW) == []
    for wrong in ({"name": ("x",)}, {"until": ("1h", "2h")}):
        with pytest.raises(Invalid):
            pruning.choose(views, wrong, now=NOW)


def test_endpoints_tell_of_addresses_of_both_families() -> None:
    found = view(pid=7, sandbox_key="/proc/7/ns/net")
    endpoint = found.endpoints.add(
        network_name="front", network_id="n1", addresses=["10.0.0.2/24", "fd00::2/64"],
        gateways=["10.0.0.1", "fd00::1"], mac_address="02:00:00:00:00:01", names=["web"],
    )  # fmt: skip
    endpoint.asked.aliases.append("w")
    endpoint.asked.ipv4_address = "10.0.0.2"

    shown = endpoints.write_endpoint(endpoint, LATEST, short_id=ID[:12])
    assert (shown["IPAddress"], shown["IPPrefixLen"], shown["Gateway"]) == (
        "10.0.0.2", 24, "10.0.0.1",
    )  # fmt: skip
    assert (shown["GlobalIPv6Address"], shown["GlobalIPv6PrefixLen"]) == ("fd00::2", 64)
    assert (shown["Aliases"], shown["DNSNames"]) == (["w"], ["web"])
    assert shown["IPAMConfig"] == {"IPv4Address": "10.0.0.2"}
    old = endpoints.write_endpoint(endpoint, Version(1, 43), short_id=ID[:12])
    assert old["Aliases"] == ["w", ID[:12]]
    assert "DNSNames" not in old
    assert endpoints.write_endpoint(endpoint, Version(1, 43))["Aliases"] == ["w"]
    assert endpoints.write_settings(found, LATEST)["IPAddress"] == ""


def test_an_inspection_has_what_runs_and_what_was_asked_for() -> None:
    found = view(
        state=1, pid=7, args=["sleep", "1"], env=["A=1"], command=["sleep", "1"],
        layers=["/own", "/top", "/low"], exposed=["80/tcp"], stop_signal="SIGINT",
    )  # fmt: skip
    found.healthcheck.test.extend(("CMD", "true"))
    found.healthcheck.interval_s = 1.5

    response = pb.InspectContainerResponse(
        container=found, health_log=[control_pb2.HealthResult(exit_code=1, output="no")]
    )
    found.has_healthcheck = True
    shown = inspection.write_inspection(response, exec_ids=["e"], with_size=True, version=LATEST)

    assert (shown["Path"], shown["Args"], shown["ExecIDs"]) == ("sleep", ["1"], ["e"])
    assert shown["GraphDriver"]["Data"] == {"LowerDir": "/top:/low", "UpperDir": "/own"}
    assert shown["Config"]["ExposedPorts"] == {"80/tcp": {}}
    assert shown["Config"]["Healthcheck"] == {"Test": ("CMD", "true"), "Interval": 1_500_000_000}
    assert shown["NetworkSettings"]["Ports"] == {"80/tcp": None}
    assert "SizeRw" in shown


def test_samples_are_what_clients_work_out_shares_from() -> None:
    sample = pb.ContainerStats(
        name="web", id=ID, at=NOW, before_at=NOW - 1, is_running=True, memory_bytes=100,
        memory_limit_bytes=1000, memory={"total_inactive_file": 40}, pids=3,
        devices=[pb.DeviceSample(major=8, read_bytes=5)],
        interfaces=[pb.InterfaceSample(name="eth0", rx_bytes=7)],
    )  # fmt: skip
    sample.cpu.usage_ns, sample.cpu.host_ns, sample.cpu.online_cpus = 300, 2000, 2
    sample.cpu_before.usage_ns, sample.cpu_before.host_ns = 100, 1000

    shown = stats.write_stats(sample)

    now, before = shown["cpu_stats"], shown["precpu_stats"]
    used = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = now["system_cpu_usage"] - before["system_cpu_usage"]
    assert used / passed * now["online_cpus"] * 100 == 40
    memory = shown["memory_stats"]
    assert (memory["usage"] - memory["stats"]["total_inactive_file"]) / memory["limit"] == 0.06
    assert shown["networks"]["eth0"]["rx_bytes"] == 7
    assert shown["blkio_stats"]["io_service_bytes_recursive"][0] == {
        "major": 8, "minor": 0, "op": "read", "value": 5,
    }  # fmt: skip
    assert shown["pids_stats"]["current"] == 3


def test_what_does_not_run_uses_nothing() -> None:
    shown = stats.write_stats(pb.ContainerStats(name="web", id=ID, at=NOW))

    assert (shown["read"], shown["memory_stats"], shown["pids_stats"]) == (
        "0001-01-01T00:00:00Z", {}, {},
    )  # fmt: skip
