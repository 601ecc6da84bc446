"""Flags of services that end in what the leader decides."""

from swarm.states import TaskState
from tests.flags import stories
from tests.flags.stories import go_on, rolling_back, updating
from tests.flags.table import Flag, in_plan

JOB = "--mode replicated-job"
EVERY_5_MINUTES = ("--schedule", "*/5 * * * *")
SCHEDULED = ("--mode", "replicated-job", *EVERY_5_MINUTES)
LEISURELY = "--replicas 2 --update-parallelism 2"

SHARED: tuple[Flag, ...] = (
    in_plan(
        "--endpoint-mode",
        "--endpoint-mode dnsrr",
        stories.has_own_address,
        False,
        besides="--network back",
    ),
    in_plan("--replicas", "--replicas 3", stories.count, 3),
    in_plan(
        "--max-concurrent", "--max-concurrent 1", stories.count, 1, besides=f"{JOB} --replicas 3"
    ),
    in_plan(
        "--replicas-max-per-node",
        "--replicas-max-per-node 1",
        stories.count,
        1,
        besides="--replicas 2",
    ),
    in_plan("--reserve-cpu", "--reserve-cpu 3", stories.count, 1, besides="--replicas 2"),
    in_plan("--reserve-memory", "--reserve-memory 3g", stories.count, 1, besides="--replicas 2"),
    in_plan(
        "--strategy",
        "--strategy binpack",
        stories.among_two,
        [4],
        besides="--replicas 4 --reserve-cpu 0.5",
    ),
    in_plan("--priority", "--priority 5", stories.in_a_full_swarm, 1, besides="--reserve-cpu 1"),
    in_plan(
        "--max-unavailable", "--max-unavailable 1", stories.in_the_way, 1, besides="--replicas 3"
    ),
    in_plan("--autoscale", "--autoscale min=1,max=9,cpu=50", stories.scaled_by_use, 4),
    in_plan(
        "--restart-condition",
        "--restart-condition none",
        lambda spec: stories.after_a_failure(spec, within_s=60.0),
        0,
    ),
    in_plan(
        "--restart-delay",
        "--restart-delay 20s",
        lambda spec: stories.after_a_failure(spec, within_s=10.0),
        0,
    ),
    in_plan("--restart-max-attempts", "--restart-max-attempts 1", stories.attempts, 2),
    in_plan(
        "--restart-window",
        "--restart-window 10s",
        stories.attempts,
        7,
        besides="--restart-max-attempts 1",
    ),
    in_plan(
        "--restart-max-delay",
        "--restart-max-delay 40s",
        stories.third_delay,
        40.0,
        besides="--restart-delay 10s",
    ),
    in_plan("--schedule", EVERY_5_MINUTES, stories.now_and_later, (0, 1), besides=JOB),
    Flag(
        "--schedule-timezone",
        ("--schedule-timezone", "Asia/Tokyo"),
        "plan",
        stories.firing_hour,
        3,
        ("--mode", "replicated-job", "--schedule", "0 12 * * *"),
    ),
    Flag(
        "--schedule-catchup",
        ("--schedule-catchup", "none"),
        "plan",
        stories.made_up,
        0,
        SCHEDULED,
    ),
    Flag(
        "--schedule-concurrency",
        ("--schedule-concurrency", "forbid"),
        "plan",
        stories.overlapping,
        ["running", "skipped"],
        SCHEDULED,
    ),
    Flag(
        "--schedule-keep",
        ("--schedule-keep", "1"),
        "plan",
        lambda spec: stories.remembered(spec, TaskState.COMPLETE),
        1,
        SCHEDULED,
    ),
    Flag(
        "--schedule-keep-failed",
        ("--schedule-keep-failed", "2"),
        "plan",
        lambda spec: stories.remembered(spec, TaskState.FAILED),
        2,
        (*SCHEDULED, "--restart-condition", "none"),
    ),
    in_plan(
        "--update-parallelism",
        "--update-parallelism 2",
        lambda spec: stories.stopped(updating(spec)),
        2,
        besides="--replicas 4",
    ),
    in_plan(
        "--update-delay",
        "--update-delay 30s",
        lambda spec: stories.moved_on(go_on(updating(spec), 20)),
        1,
        besides="--replicas 2",
    ),
    in_plan(
        "--update-order",
        "--update-order start-first",
        lambda spec: len(updating(spec).live()),
        2,
    ),
    in_plan(
        "--update-monitor",
        "--update-monitor 30s",
        lambda spec: stories.state(go_on(updating(spec), 20)),
        "updating",
    ),
    in_plan(
        "--update-failure-action",
        "--update-failure-action rollback",
        lambda spec: stories.image(go_on(updating(spec), 20, fails=stories.NEW)),
        "busybox",
    ),
    in_plan(
        "--update-max-failure-ratio",
        "--update-max-failure-ratio 1",
        lambda spec: stories.state(go_on(updating(spec), 20, fails=stories.NEW)),
        "completed",
    ),
    in_plan(
        "--update-canary",
        "--update-canary 1",
        lambda spec: stories.state(go_on(updating(spec), 30)),
        "canary",
        besides="--replicas 3",
    ),
    in_plan(
        "--rollback-parallelism",
        "--rollback-parallelism 2",
        lambda spec: stories.stopped(rolling_back(spec)),
        2,
        besides="--replicas 4",
    ),
    in_plan(
        "--rollback-delay",
        "--rollback-delay 30s",
        lambda spec: stories.moved_on(go_on(rolling_back(spec), 20)),
        1,
        besides="--replicas 2",
    ),
    in_plan(
        "--rollback-order",
        "--rollback-order start-first",
        lambda spec: len(rolling_back(spec).live()),
        2,
    ),
    in_plan(
        "--rollback-monitor",
        "--rollback-monitor 30s",
        lambda spec: stories.state(go_on(rolling_back(spec), 20)),
        "rollback_started",
    ),
    in_plan(
        "--rollback-failure-action",
        "--rollback-failure-action continue",
        lambda spec: stories.state(go_on(rolling_back(spec), 20, fails="busybox")),
        "rollback_completed",
    ),
    in_plan(
        "--rollback-max-failure-ratio",
        "--rollback-max-failure-ratio 1",
        lambda spec: stories.state(go_on(rolling_back(spec), 20, fails="busybox")),
        "rollback_completed",
    ),
)

LISTS: tuple[Flag, ...] = (
    in_plan("--affinity", "--affinity service==db", stories.beside_db, {"b": 1}, removed="db"),
    in_plan(
        "--constraint",
        "--constraint node.labels.zone==west",
        stories.among_zones,
        {"e": 0, "w": 6},
        besides="--replicas 6",
        removed="node.labels.zone==west",
    ),
    in_plan("--depends-on", "--depends-on db", stories.count, 0, removed="db"),
    in_plan(
        "--generic-resource",
        "--generic-resource gpu=1",
        stories.of_counted,
        1,
        besides="--replicas 2",
        removed="gpu",
    ),
    in_plan("--label", "-l a=b", stories.label_in_template, "b", removed="a"),
    in_plan(
        "--placement-pref",
        "--placement-pref spread=node.labels.zone",
        stories.among_zones,
        {"e": 3, "w": 3},
        besides="--replicas 6",
        removed="spread=node.labels.zone",
    ),
    in_plan(
        "--platform",
        "--platform linux/arm64",
        stories.among_machines,
        {"arm": 2},
        besides="--replicas 2",
        removed="linux/arm64",
    ),
    in_plan(
        "--publish",
        "-p mode=host,target=8080,published=8080",
        stories.count,
        1,
        besides="--network host --replicas 2",
        removed="8080",
    ),
    in_plan(
        "--toleration",
        "--toleration gpu",
        stories.past_taint,
        {"a": 1, "b": 1},
        besides="--replicas 2",
        removed="gpu",
    ),
)
