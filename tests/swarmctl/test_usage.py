from typing import Any

import pytest

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2
from swarmctl.usage import STATS, Usage, screen, should_run


def sample(task_id: str, slot: int = 1, service: str = "web", **fields: Any) -> pb.TaskStats:
    return pb.TaskStats(task_id=task_id, service_name=service, slot=slot, **fields)


def batch(node: str, *samples: pb.TaskStats) -> pb.StatsBatch:
    return pb.StatsBatch(node_id=node, node_hostname=f"host-{node}", tasks=samples)


def view(task_id: str, slot: int, desired: int = objects_pb2.TASK_STATE_RUNNING) -> pb.TaskView:
    task = objects_pb2.Task(id=task_id, service_name="web", slot=slot, desired=desired)  # type: ignore[arg-type]
    return pb.TaskView(task=task, node_hostname="host-n1")


def names(usage: Usage) -> list[str]:
    return [row["Name"] for row in usage.rows()]


def test_a_row_has_what_docker_shows() -> None:
    usage = Usage()
    usage.take(
        batch(
            "n1",
            sample(
                "a" * 25,
                cpu_percent=12.345,
                memory_bytes=5 << 20,
                memory_limit_bytes=512 << 20,
                received_bytes=1234,
                sent_bytes=0,
                read_bytes=5_600_000,
                written_bytes=12,
                pids=3,
            ),
        )
    )

    (row,) = usage.rows()

    assert row == {
        "Container": "a" * 25,
        "ID": "a" * 12,
        "Name": "web.1",
        "Node": "host-n1",
        "CPUPerc": "12.35%",
        "MemUsage": "5MiB / 512MiB",
        "MemPerc": "0.98%",
        "NetIO": "1.23kB / 0B",
        "BlockIO": "5.6MB / 12B",
        "PIDs": "3",
    }
    assert set(row) == set(STATS.headings)
    assert usage.rows(full=True)[0]["ID"] == "a" * 25


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0B"), (1023, "1023B"), (1024, "1KiB"), (1300, "1.27KiB"), (123456789, "117.7MiB"),
     (1 << 40, "1TiB"), (1023 << 20, "1023MiB"), ((1 << 30) - 1, "1GiB")],
)  # fmt: skip
def test_sizes_are_short(count: int, text: str) -> None:
    usage = Usage()
    usage.take(batch("n1", sample("t", memory_bytes=count, memory_limit_bytes=1)))

    assert usage.rows()[0]["MemUsage"] == f"{text} / 1B"


def test_a_size_just_below_the_next_unit_is_rounded_up_to_it() -> None:
    usage = Usage()
    usage.take(batch("n1", sample("t", received_bytes=999_900, sent_bytes=999_400)))

    assert usage.rows()[0]["NetIO"] == "1MB / 999kB"


def test_the_latest_batch_of_a_node_replaces_what_it_told_before() -> None:
    usage = Usage()
    usage.take(batch("n1", sample("a", 1), sample("b", 2)))
    usage.take(batch("n2", sample("c", 3)))
    usage.take(batch("n1", sample("b", 2)))

    assert names(usage) == ["web.2", "web.3"]

    usage.take(batch("n1"))
    assert names(usage) == ["web.3"]


def test_rows_are_in_the_order_of_services_and_slots() -> None:
    usage = Usage()
    usage.take(batch("n1", sample("a", 10), sample("b", 9), sample("c", 1, "api"), sample("d", 0)))

    assert names(usage) == ["api.1", "web.host-n1", "web.9", "web.10"]


def test_tasks_that_do_not_run_have_a_row_on_demand() -> None:
    usage = Usage()
    usage.take(batch("n1", sample("a", 1, pids=4)))

    rows = usage.rows(idle=[view("a", 1), view("b", 2)])

    assert [(row["Name"], row["PIDs"]) for row in rows] == [("web.1", "4"), ("web.2", "--")]
    assert should_run(view("a", 1))
    assert not should_run(view("a", 1, objects_pb2.TASK_STATE_SHUTDOWN))


def test_a_screen_is_cut_to_the_terminal() -> None:
    shown = screen("abcdef\nsecond\nthird\nfourth\n", columns=4, lines=3)

    assert shown == "\x1b[Habcd\x1b[K\nseco\x1b[K\n\x1b[J"
