import asyncio
from pathlib import Path

import pytest
import structlog
from msgspec.structs import replace

from agent.standalone.io.storage import Storage
from agent.standalone.life import Life
from agent.standalone.record import Record
from swarm.errors import Refused
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec
from swarm.standalone import ContainerState, StandaloneSpec

ENDED = Life(state=ContainerState.EXITED, run=1, started_at=3.0)


def record(container_id: str = "a" * 64, name: str = "it", created_at: float = 1.0) -> Record:
    spec = StandaloneSpec(name=name, container=ContainerSpec(image="i"))
    return Record(
        id=container_id, spec=spec, image_id="sha256:1", image=ImageConfig(), created_at=created_at
    )


def storage(directory: Path) -> Storage:
    found = Storage(directory / "standalone", structlog.get_logger())
    assert found.load() == []
    return found


def test_what_was_added_changed_and_lived_is_loaded(tmp_path: Path) -> None:
    kept = storage(tmp_path)
    asyncio.run(kept.add(record()))
    asyncio.run(kept.add(record("b" * 64, "older", created_at=0.5)))
    renamed = replace(record(name="other"), life=ENDED)
    asyncio.run(kept.change(renamed))
    kept.progress(renamed)
    assert kept.load() == [record("b" * 64, "older", created_at=0.5), renamed]


def test_what_was_half_made_or_half_removed_goes(tmp_path: Path) -> None:
    kept = storage(tmp_path)
    asyncio.run(kept.add(record()))
    home = Path(kept.own("a" * 64))
    (home / "upper").mkdir()
    (home / "upper" / "file").write_text("x")
    home.rename(home.with_name(f".{home.name}.removed"))
    home.with_name(".half.new").mkdir()
    assert kept.load() == []
    assert list(home.parent.iterdir()) == []


def test_what_cannot_be_read_stays_where_it_is(tmp_path: Path) -> None:
    kept = storage(tmp_path)
    asyncio.run(kept.add(record()))
    (Path(kept.own("a" * 64)) / "container.json").write_text("{")
    assert kept.load() == []
    assert Path(kept.own("a" * 64)).exists()


def test_removing_twice_is_fine_and_takes_all(tmp_path: Path) -> None:
    kept = storage(tmp_path)
    asyncio.run(kept.add(record()))
    (Path(kept.own("a" * 64)) / "output.log").write_text("x")
    for _ in range(2):
        asyncio.run(kept.remove("a" * 64))
    assert kept.load() == []


def test_a_disk_that_takes_nothing_refuses_the_container_and_keeps_nothing(
    tmp_path: Path,
) -> None:
    kept = storage(tmp_path)
    home = tmp_path / "standalone"
    home.rmdir()
    home.write_text("no directory")
    with pytest.raises(Refused, match="cannot be kept"):
        asyncio.run(kept.add(record()))
    kept.progress(record())  # the container goes on all the same
