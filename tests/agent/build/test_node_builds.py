"""Builds on a real agent's socket: what callers see, and what a killed agent leaves."""

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from swarm.api.v1 import builds_pb2 as pb
from swarm.api.v1 import (
    builds_pb2_grpc,
    containers_pb2,
    containers_pb2_grpc,
    images_pb2,
    images_pb2_grpc,
)
from tests.agent.lone import IMAGE, LoneNode, lone_node
from tests.agent.node import CONTROLLERS, wait_for
from tests.kernel.builder import tar

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

PIECE = 700


class Calls:
    """Builds of one node."""

    def __init__(self, node: LoneNode) -> None:
        self.node = node
        node.start()
        self.connect()

    def connect(self) -> None:
        channel = grpc.insecure_channel(f"unix:{self.node.run_root}/agent.sock")
        grpc.channel_ready_future(channel).result(30)
        self.builds = builds_pb2_grpc.BuildsStub(channel)
        self.images = images_pb2_grpc.ImagesStub(channel)
        self.containers = containers_pb2_grpc.ContainersStub(channel)

    def build(self, text: str, **asked: object) -> Any:
        """Begin to build, in the network `none` unless another is asked for."""
        asked = {"network_mode": "none"} | asked
        context = tar({"Dockerfile": text})
        messages = [pb.BuildImageRequest(spec=pb.BuildSpec(**asked))]  # type: ignore[arg-type]
        messages += [
            pb.BuildImageRequest(chunk=context[start : start + PIECE])
            for start in range(0, len(context), PIECE)
        ]
        return self.builds.BuildImage(iter(messages), timeout=60)

    def names(self) -> set[str]:
        listed = self.images.ListImages(images_pb2.ListImagesRequest(), timeout=30)
        return {name for each in listed.images for name in each.references}

    def restart(self, number: int) -> None:
        self.node.stop_agent(number)
        (self.node.run_root / "agent.sock").unlink(missing_ok=True)
        self.node.start_agent()
        wait_for("the agent is back", (self.node.run_root / "agent.sock").exists)
        self.connect()

    def left(self) -> list[str]:
        """What builds have left: directories, containers and groups. Some go while we look."""
        places = (
            self.node.data_root / "agent/images/tmp",
            self.node.run_root / "containers",
            CONTROLLERS / "pids" / self.node.cgroup_parent,
        )
        return [
            str(each)
            for place in places
            for each in _listed(place)
            if not each.name.startswith(".") and (place != places[2] or each.is_dir())
            if not _is_spare(each)
        ]


def _is_spare(path: Path) -> bool:
    """A worker that waits for the next build has an empty directory."""
    return path.name.startswith("build-") and {each.name for each in _listed(path)} <= {"root"}


def _listed(path: Path) -> list[Path]:
    try:
        return list(path.iterdir())
    except FileNotFoundError:
        return []


@pytest.fixture(scope="module")
def calls() -> Iterator[Calls]:
    with lone_node() as node:
        try:
            yield Calls(node)
        except BaseException:
            print(node.log.read_text())
            raise


def text_of(answers: list[pb.BuildImageResponse]) -> str:
    return "".join(each.text for each in answers)


def begun(calls: Calls, text: str, words: str) -> tuple[Any, list[pb.BuildImageResponse]]:
    """A build that goes on, once it has said `words`; the rest of it is read aside."""
    call, heard = calls.build(text), list[pb.BuildImageResponse]()

    def listen() -> None:
        try:
            for each in call:
                heard.append(each)
        except grpc.RpcError:
            return

    threading.Thread(target=listen, daemon=True).start()
    wait_for(f"it says {words}", lambda: words in text_of(heard))
    return call, heard


def test_callers_see_output_and_the_image_and_errors_with_exit_codes(calls: Calls) -> None:
    answers = list(calls.build(f"FROM {IMAGE}\nRUN echo out; echo err >&2\n", tags=["made"]))

    assert text_of(answers).startswith("Step 1/2 : FROM busybox:test\n ---> ")
    assert [each.text for each in answers if each.is_error_output] == ["err\n"]
    assert answers[-1].image_id.startswith("sha256:")
    assert "made:latest" in calls.names()
    failing = calls.build(f"FROM {IMAGE}\nRUN exit 9\n")
    heard = list[pb.BuildImageResponse]()
    with pytest.raises(grpc.RpcError) as caught:
        heard.extend(each for each in failing)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "returned a non-zero code: 9" in str(caught.value.details())
    quiet = list(calls.build(f"FROM {IMAGE}\nRUN echo x\n", quiet=True))
    assert [each.text for each in quiet] == [""]
    wait_for("nothing of them is left", lambda: not calls.left())


def test_the_names_that_a_build_gives_are_told(calls: Calls) -> None:
    text = f"FROM {IMAGE}\nLABEL of=build\n"

    image_id = list(calls.build(text, tags=["told", "r:5000/told:2"]))[-1].image_id

    asked = containers_pb2.WatchNodeEventsRequest(since=1.0, until=time.time())
    told = [each for each in calls.containers.WatchNodeEvents(asked) if each.id == image_id]
    assert [each.action for each in told] == ["tag", "tag"]
    assert [each.attributes["name"] for each in told] == ["told:latest", "r:5000/told:2"]
    assert {each.attributes["of"] for each in told} == {"build"}


def test_the_cache_outlives_the_agent_and_is_pruned(calls: Calls) -> None:
    text = f"FROM {IMAGE}\nRUN echo x > /x\n"
    first = list(calls.build(text))[-1].image_id
    calls.restart(signal.SIGTERM)

    again = list(calls.build(text))
    listed = calls.builds.ListBuildCache(pb.ListBuildCacheRequest(), timeout=30).records
    spared = calls.builds.PruneBuildCache(pb.PruneBuildCacheRequest(), timeout=30)
    pruned = calls.builds.PruneBuildCache(pb.PruneBuildCacheRequest(all=True), timeout=30)
    anew = list(calls.build(text))

    assert "Using cache" in text_of(again)
    assert again[-1].image_id == first
    assert listed[0].description == "/bin/sh -c echo x > /x"
    assert (listed[0].size_bytes, listed[0].shared, listed[0].uses) == (2, True, 2)
    assert set(spared.removed) == {each.id for each in listed if not each.shared}
    assert set(pruned.removed) == {each.id for each in listed if each.shared}
    assert not pruned.reclaimed_bytes
    assert "Using cache" not in text_of(anew)


def test_a_caller_that_goes_away_takes_its_build_along(calls: Calls) -> None:
    call, _ = begun(calls, f"FROM {IMAGE}\nRUN echo begun; sleep 100\n", "begun")

    call.cancel()

    wait_for("nothing of it is left", lambda: not calls.left())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_agent_that_ends_in_mid_build_leaves_nothing(calls: Calls, number: int) -> None:
    """1. A build runs a program. 2. The agent ends. 3. The next one finds nothing, and builds."""
    text = f"FROM {IMAGE}\nRUN echo done > /done\nRUN echo begun; sleep 100\n"
    begun(calls, text, "begun")

    calls.restart(number)

    wait_for("nothing of it is left", lambda: not calls.left())
    mounts, root = Path("/proc/self/mountinfo"), str(calls.node.data_root)
    wait_for("nothing is mounted", lambda: root not in mounts.read_text())
    assert list(calls.build(f"FROM {IMAGE}\nRUN echo done > /done\n"))[-1].image_id


def test_nobody_s_requests_end_the_agent(calls: Calls) -> None:
    for spec in (
        pb.BuildSpec(platform="foobar"),
        pb.BuildSpec(tags=["UPPER"]),
        pb.BuildSpec(tags=["x@sha256:" + "0" * 64]),
        pb.BuildSpec(dockerfile="../../etc/passwd"),
        pb.BuildSpec(remote="ftp://x"),
        pb.BuildSpec(target="\0"),
        pb.BuildSpec(extra_hosts=["nonsense"], dockerfile_text=f"FROM {IMAGE}\nRUN x\n"),
        pb.BuildSpec(cpuset_cpus="x", dockerfile_text=f"FROM {IMAGE}\nRUN x\n"),
        pb.BuildSpec(network_mode="nosuch", dockerfile_text=f"FROM {IMAGE}\nRUN x\n"),
        pb.BuildSpec(dockerfile_text="FROM scratch\n"),
        pb.BuildSpec(dockerfile_text="\0"),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            list(calls.builds.BuildImage(iter([pb.BuildImageRequest(spec=spec)]), timeout=30))
        assert caught.value.details()
        assert caught.value.code() is not grpc.StatusCode.UNKNOWN, caught.value
    with pytest.raises(grpc.RpcError) as caught:
        list(calls.builds.BuildImage(iter([pb.BuildImageRequest(chunk=b"x")]), timeout=30))
    assert "nothing to build" in str(caught.value.details())
    wait_for("nothing of them is left", lambda: not calls.left())
