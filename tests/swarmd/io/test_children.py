import asyncio
import subprocess
import time
from pathlib import Path

import msgspec

from swarmd.io.children import Child, wait_gone, write_children


def test_the_next_swarmd_waits_for_the_children_of_the_last(tmp_path: Path) -> None:
    record = tmp_path / "children.json"
    with subprocess.Popen(["sleep", "1000"]) as child:
        write_children(record, [child.pid])

        asyncio.run(wait_gone(record))

        assert child.wait(30) < 0


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    record, ready = tmp_path / "children.json", tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; exec sleep 1000"
    with subprocess.Popen(["sh", "-c", script]) as child:
        deadline = time.monotonic() + 30
        while not ready.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        write_children(record, [child.pid])

        asyncio.run(wait_gone(record, grace_s=0.1))

        assert child.wait(30) == -9


def test_a_process_that_took_over_an_id_is_left_alone(tmp_path: Path) -> None:
    record = tmp_path / "children.json"
    with subprocess.Popen(["sleep", "1000"]) as stranger:
        record.write_bytes(msgspec.json.encode([Child(stranger.pid, 1)]))

        asyncio.run(wait_gone(record))

        assert stranger.poll() is None
        stranger.kill()


def test_a_missing_or_damaged_list_is_no_reason_to_wait(tmp_path: Path) -> None:
    record = tmp_path / "children.json"
    asyncio.run(wait_gone(record))
    record.write_text("[{")

    asyncio.run(wait_gone(record))
