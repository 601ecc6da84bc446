"""Our gRPC client holds a conversation with the stock gRPC server."""

import socket as sockets
import struct
import threading
from itertools import islice
from pathlib import Path

import pytest
from hpack import Encoder

from swarm.api.v1 import control_pb2, images_pb2
from swarm.errors import Conflict, Invalid, Missing, Refused, SwarmError, Unavailable
from swarmctl.io.channel import Channel
from swarmctl.io.control import Control
from swarmctl.io.daemon import Daemon
from swarmctl.io.images import Images
from tests.swarmctl.fake_swarm import FakeSwarm


def test_a_call_is_answered(swarm: FakeSwarm, channel: Channel) -> None:
    assert Daemon(channel).status().node_id == swarm.node_id


def test_calls_follow_each_other_on_one_connection(swarm: FakeSwarm, channel: Channel) -> None:
    control = Control(channel)

    for number in range(50):
        control.remove_service(f"service-{number}")

    assert [each.service_id for each in swarm.requests] == [f"service-{n}" for n in range(50)]


def test_an_answer_may_be_larger_than_every_window(swarm: FakeSwarm, channel: Channel) -> None:
    swarm.images = [images_pb2.Image(id=f"sha256:{n:064}") for n in range(30_000)]

    images = Images(channel).list()

    assert [each.id for each in images] == [each.id for each in swarm.images]


def test_a_stream_ends_with_the_call(swarm: FakeSwarm, channel: Channel) -> None:
    swarm.logs = [control_pb2.LogBatch(lines=[control_pb2.LogLine(slot=n)]) for n in range(9)]

    batches = list(Control(channel).logs(control_pb2.ReadLogsRequest(services=["web"])))

    assert batches == swarm.logs


def test_a_stream_is_read_message_by_message(swarm: FakeSwarm, channel: Channel) -> None:
    swarm.progress = [control_pb2.ServiceProgress(running=n) for n in range(1000)]

    progress = Control(channel).watch_service("web")
    seen = [each.running for each in islice(progress, 1000) if each]
    progress.close()

    assert seen == list(range(1000))


def test_a_stream_tells_when_patience_ends(swarm: FakeSwarm, channel: Channel) -> None:
    swarm.progress = [control_pb2.ServiceProgress(running=1)]

    seen: list[control_pb2.ServiceProgress | None] = []
    progress = Control(channel).watch_service("web", patience=lambda: 0.0 if seen else None)
    for each in islice(progress, 2):
        seen.append(each)
    progress.close()

    assert seen == [swarm.progress[0], None]


def test_a_stream_that_is_left_does_not_hinder_the_next_call(
    swarm: FakeSwarm, channel: Channel
) -> None:
    swarm.progress = [control_pb2.ServiceProgress(running=1)]

    progress = Control(channel).watch_service("web")
    first = next(progress)
    assert first is not None
    progress.close()
    status = Daemon(channel).status()

    assert (first.running, status.node_id) == (1, swarm.node_id)


def test_an_upload_waits_for_room_and_arrives_whole(swarm: FakeSwarm, channel: Channel) -> None:
    chunks = [bytes([n]) * 250_000 for n in range(80)]

    answer = Images(channel).load(iter(chunks))

    assert answer.references == ["docker.io/library/app:1"]
    assert swarm.uploaded == b"".join(chunks)


def test_an_upload_that_is_refused_stops_early(swarm: FakeSwarm, channel: Channel) -> None:
    swarm.refuse("LoadImage", Invalid("the archive is broken"))
    sent: list[int] = []

    def chunks():
        for number in range(10_000):
            sent.append(number)
            yield b"x" * 100_000

    with pytest.raises(Invalid, match="the archive is broken"):
        Images(channel).load(chunks())

    assert len(sent) < 10_000


@pytest.mark.parametrize(
    "error",
    [
        Invalid("two problems", hint="fix them", problems=("a: is b", "c: is d")),
        Missing("no such service: wéb"),
        Refused("this node is not a manager", hint="run it on a manager"),
        Conflict("update out of sequence"),
        Unavailable("no leader " + "x" * 1000),
    ],
)
def test_a_failure_arrives_as_it_was_raised(
    swarm: FakeSwarm, channel: Channel, error: SwarmError
) -> None:
    swarm.refuse("RemoveService", error)

    with pytest.raises(type(error)) as caught:
        Control(channel).remove_service("web")

    assert (caught.value.message, caught.value.hint) == (error.message, error.hint)
    assert getattr(caught.value, "problems", ()) == getattr(error, "problems", ())


def test_a_call_that_nobody_serves_blames_the_versions(swarm: FakeSwarm, channel: Channel) -> None:
    with pytest.raises(Refused) as caught:
        channel.unary("Control/Divine", b"", timeout_s=5)

    assert "one version" in caught.value.hint


def test_a_daemon_that_is_not_there_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(Unavailable) as caught:
        Daemon(Channel(str(tmp_path / "none.sock"))).status()

    assert "is it running?" in caught.value.message
    assert "swarmctl init" in caught.value.hint


def answering(path: Path, answer: bytes | None) -> threading.Thread:
    """Somebody else who listens on `path`: says `answer` and hangs up, or says nothing at all."""
    server = sockets.socket(sockets.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        with server, server.accept()[0] as connection:
            if answer is None:
                while connection.recv(1 << 16):
                    pass
            else:
                connection.recv(1 << 16)
                connection.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/2"),
        (b"", "hung up"),
        (b"\0\0\4\x08\0\0\0\0\0abcd\0\0\1\x08\0\0\0\0\0a", "HTTP/2"),
    ],
)
def test_someone_else_on_the_socket_is_not_mistaken_for_the_daemon(
    socket: Path, channel: Channel, answer: bytes, words: str
) -> None:
    thread = answering(socket, answer)

    with pytest.raises(Unavailable, match=words):
        Daemon(channel).status()
    channel.close()
    thread.join()


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


SETTINGS = frame(4, 0, 0, b"")
ANSWER = (
    frame(1, 4, 1, Encoder().encode([(":status", "200")]))
    + frame(0, 0, 1, struct.pack(">BI", 0, 3) + b"yes")
    + frame(1, 5, 1, Encoder().encode([("grpc-status", "0")]))
)
GOODBYE = frame(7, 0, 0, struct.pack(">II", 1, 0))


def test_a_daemon_that_said_goodbye_is_called_anew(socket: Path, channel: Channel) -> None:
    first = answering(socket, SETTINGS + GOODBYE + ANSWER)
    assert channel.unary("Daemon/GetStatus", b"", timeout_s=5) == b"yes"
    first.join()
    socket.unlink()

    second = answering(socket, SETTINGS + ANSWER)
    answer = channel.unary("Daemon/GetStatus", b"", timeout_s=5)
    second.join()

    assert answer == b"yes"


def test_a_call_after_nonsense_has_a_connection_of_its_own(socket: Path, channel: Channel) -> None:
    first = answering(socket, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(Unavailable):
        channel.unary("Daemon/GetStatus", b"", timeout_s=5)
    first.join()
    socket.unlink()

    second = answering(socket, SETTINGS + ANSWER)
    answer = channel.unary("Daemon/GetStatus", b"", timeout_s=5)
    second.join()

    assert answer == b"yes"


def test_a_daemon_that_never_answers_is_given_up(socket: Path, channel: Channel) -> None:
    thread = answering(socket, None)

    with pytest.raises(Unavailable, match="in time"):
        channel.unary("Daemon/GetStatus", b"", timeout_s=-0.9)
    channel.close()
    thread.join()
