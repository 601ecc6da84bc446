"""Images on demand, and what is remembered of managers."""

import asyncio
import os
from collections.abc import Collection
from pathlib import Path

import pytest
import structlog

from agent.images.image import Image, LayerProgress, Progress, RootFs
from agent.io import lock, memory
from agent.io.supply import Supply, vouched
from agent.metrics import Metrics
from swarm.errors import Missing, Unavailable
from swarm.images.config import ImageConfig
from swarm.images.credentials import Credentials
from swarm.objects import LocalImage


class FakeStore:
    """Has what was pulled; `refusal` is the registry's answer."""

    def __init__(self) -> None:
        self.here: set[str] = set()
        self.pulls: list[tuple[str, tuple[str, ...]]] = []
        self.logins: list[Credentials | None] = []
        self.refusal: Exception | None = None

    async def rootfs(self, text: str) -> RootFs:
        if text not in self.here:
            raise Missing(f"image {text} is not on this node")
        return RootFs(layer_dirs=(Path("/l"),), config=ImageConfig(), id="i", digest="d")

    async def pull(
        self,
        reference: str,
        *,
        credentials: Credentials | None,
        progress: Progress,
        insecure_registries: Collection[str],
    ) -> Image:
        self.pulls.append((reference, tuple(insecure_registries)))
        self.logins.append(credentials)
        if self.refusal is not None:
            raise self.refusal
        for layer, size in (("a", 3), ("a", 5), ("b", 7)):
            progress(LayerProgress(layer=layer, status="downloading", current_bytes=size))
        self.here.add(reference)
        return image("i", reference)


def image(image_id: str, *references: str, local: bool = False) -> Image:
    return Image(
        id=image_id, digest=f"sha256:{image_id}", references=references, created_at=0.0,
        size_bytes=1, local=local,
    )  # fmt: skip


def supply(store: FakeStore, metrics: Metrics, changes: list[str]) -> Supply:
    return Supply(
        store,
        insecure_registries=("r:5000",),
        changed=lambda: changes.append("changed"),
        metrics=metrics,
        log=structlog.get_logger(),
    )


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_an_image_that_is_here_is_not_asked_for_anywhere() -> None:
    store, metrics, changes = FakeStore(), Metrics(), list[str]()
    store.here.add("web:1")

    asyncio.run(supply(store, metrics, changes).ready("web:1"))

    assert store.pulls == []
    assert changes == []


def test_an_image_that_is_not_here_is_pulled_and_counted() -> None:
    store, metrics, changes = FakeStore(), Metrics(), list[str]()

    found = asyncio.run(supply(store, metrics, changes).ready("web:1"))

    assert found.id == "i"
    assert store.pulls == [("web:1", ("r:5000",))]
    assert changes == ["changed"]
    assert value(metrics, "swarm_agent_image_pulls_total", outcome="done") == 1
    assert value(metrics, "swarm_agent_image_pulled_bytes_total") == 12


def test_an_image_is_pulled_with_the_login_of_whoever_needs_it() -> None:
    store, me = FakeStore(), Credentials("me", "pw")
    images = supply(store, Metrics(), [])

    asyncio.run(images.ready("mine:1", me))
    asyncio.run(images.ready("theirs:1"))

    assert store.logins == [me, None]


def test_what_the_registry_says_is_the_reason() -> None:
    store, metrics = FakeStore(), Metrics()
    store.refusal = Unavailable("registry r:5000 does not answer")

    with pytest.raises(Unavailable, match="r:5000"):
        asyncio.run(supply(store, metrics, []).ready("web:1"))

    assert value(metrics, "swarm_agent_image_pulls_total", outcome="failed") == 1


def test_only_names_of_local_images_are_vouched_for() -> None:
    images = (image("1", "a:1", "a@sha256:x", local=True), image("2", "b:1"))

    assert vouched(images) == (LocalImage(reference="a:1", digest="sha256:1"),)


def test_managers_are_remembered_and_damage_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "managers.json"
    assert memory.recall(path) == ()

    memory.remember(path, ("a:1", "b:2"))
    assert memory.recall(path) == ("a:1", "b:2")

    path.write_text("{")
    assert memory.recall(path) == ()


def test_one_agent_at_a_time_has_a_run_root(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path / "agent.lock", within_s=0.0)
    try:
        with pytest.raises(Unavailable, match="another agent runs"):
            lock.acquire(tmp_path / "agent.lock", within_s=0.05)
    finally:
        os.close(held)

    os.close(lock.acquire(tmp_path / "agent.lock", within_s=0.0))
