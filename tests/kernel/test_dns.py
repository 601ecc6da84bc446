"""Names are answered in containers, whatever containers, servers and processes do.

The host and the containers are network namespaces, the service is a process, and what asks are
the resolvers that real containers have.
"""

import asyncio
import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest

from agent.dns.io.client import Names
from agent.dns.link import PROTOCOL, Welcome, encode
from agent.network.io.namespaces import entered, mine
from agent.topology import Changes
from runtime import constants as k
from runtime.io import kernel
from runtime.io import sockets as unix
from swarm.errors import KernelRefused
from swarm.ids import TaskId
from tests.agent.dns.questions import ask, reply
from tests.agent.dns.records import asker, endpoint, network, service
from tests.kernel.dns_namespaces import Container, containers
from tests.kernel.dns_node import (
    RESOLVER,
    Node,
    asked,
    asked_by_tcp,
    cpu_s,
    memory_kb,
    on_a_node,
    says,
    says_nothing,
    sent,
    until,
    upstream,
    values,
)

pytestmark = pytest.mark.kernel

RECORDS = (
    network("n1", "back", "10.0.1.0/24"),
    service("web", "10.0.1.2", "fd00::2", aliases=("www",)),
    endpoint("t1", "10.0.1.5", "fd00::5", slot=1),
    endpoint("t2", "10.0.1.6", slot=2),
    *(endpoint(f"many{each}", f"10.0.2.{each}", name="many") for each in range(200)),
)
OWN_53 = """
import socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", 53))
tcp = socket.create_server(("0.0.0.0", 53))
print("bound", flush=True)
while True:
    packet, whom = udp.recvfrom(512)
    udp.sendto(packet.upper(), whom)
"""


@pytest.fixture
def container() -> Iterator[Container]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Container(f"dnsc{os.getpid()}") as made:
        yield made


async def told(node: Node, *served: Container, **fields: tuple[str, ...]) -> Names:
    """An agent that knows the records and has these containers answered."""
    names = node.agent()
    await names.apply(Changes(put=RECORDS))
    for number, each in enumerate(served, 1):
        await names.serve(TaskId(f"t{number}"), each.descriptor, asker(task=f"t{number}", **fields))
    return names


def in_container(container: Container, directory: Path, *argv: str) -> str:
    """What a program prints that resolves as programs in containers do."""
    conf = directory / "container.conf"
    conf.write_text("nameserver 127.0.0.11\noptions ndots:0\n")
    script = f'mount --bind {conf} /etc/resolv.conf && exec "$@"'
    return container.run("unshare", "-m", "sh", "-c", script, "sh", *argv)


def test_the_resolvers_of_containers_find_names(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)

        def run(*argv: str) -> str:
            return in_container(container, tmp_path, *argv)

        found = await asyncio.to_thread(run, "getent", "ahosts", "web")
        assert {line.split()[0] for line in found.splitlines()} == {"10.0.1.2", "fd00::2"}
        found = await asyncio.to_thread(run, "getent", "hosts", "10.0.1.6")
        assert found.split() == ["10.0.1.6", "web.2.t2.back"]
        found = await asyncio.to_thread(run, "busybox", "nslookup", "tasks.web.back")
        assert {"10.0.1.5", "10.0.1.6", "fd00::5"} <= {each for each in found.split()}
        code = "import socket; print(socket.gethostbyname_ex('www')[2])"
        assert await asyncio.to_thread(run, "python3", "-c", code) == "['10.0.1.2']\n"
        code = "import socket; print(len(socket.gethostbyname_ex('tasks.many')[2]))"
        assert await asyncio.to_thread(run, "python3", "-c", code) == "200\n"

    on_a_node(tmp_path, test)


def test_answers_that_do_not_fit_are_whole_by_tcp(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)

        short = await asked(container, "tasks.many")
        whole, other = await asked_by_tcp(container, "tasks.many", "web")

        assert short.flags & dns.flags.TC
        assert len(values(whole)) == 200
        assert values(other) == ["10.0.1.2"]

    on_a_node(tmp_path, test)


def test_a_container_may_have_port_53_itself(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        own = container.start("python3", "-c", OWN_53)
        try:
            assert own.stdout is not None
            assert await asyncio.to_thread(own.stdout.readline) == "bound\n"

            await told(node, container)

            assert values(await asked(container, "web")) == ["10.0.1.2"]
            assert values((await asked_by_tcp(container, "web"))[0]) == ["10.0.1.2"]
            code = (
                "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5); "
                "s.sendto(b'own', ('127.0.0.1', 53)); print(s.recv(9).decode())"
            )
            assert await asyncio.to_thread(container.run, "python3", "-c", code) == "OWN\n"
        finally:
            own.kill()
            own.communicate()

    on_a_node(tmp_path, test)


def test_a_changed_record_is_in_the_next_answer(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        names = await told(node, container)
        assert values(await asked(container, "tasks.web")) == ["10.0.1.5", "10.0.1.6"]

        leaving = endpoint("t2", "10.0.1.6", slot=2, is_serving=False)
        began = time.monotonic()
        await names.apply(Changes(put=(leaving,)))
        while values(await asked(container, "tasks.web")) != ["10.0.1.5"]:
            assert time.monotonic() - began < 15

        print(f"a change was answered after {(time.monotonic() - began) * 1000:.1f} ms")
        await names.apply(Changes(gone=(service("web"), leaving)))
        await until_answered(container, "www", rcode=dns.rcode.SERVFAIL)

    on_a_node(tmp_path, test)


async def until_answered(container: Container, name: str, *, rcode: int) -> None:
    deadline = time.monotonic() + 15
    while (await asked(container, name)).rcode() != rcode:
        assert time.monotonic() < deadline


def test_other_names_are_asked_of_the_hosts_servers_once(
    container: Container, tmp_path: Path
) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        async with upstream("127.0.0.1", says("1.2.3.4")) as server:
            assert values(await asked(container, "example.org")) == ["1.2.3.4"]
            assert values(await asked(container, "EXAMPLE.org", ident=8)) == ["1.2.3.4"]
            assert values(await asked(container, "intranet")) == ["1.2.3.4"]
            assert len(server.heard) == 2

            await asked(container, "web", "AAAA")
            await asked(container, "web.1", "AAAA")
            assert len(server.heard) == 2

            for each in range(20):
                await asked(container, f"n{each}.org")
            assert len({port for _, port in server.callers}) > 15
            assert len({packet[:2] for packet in server.heard}) > 15

    on_a_node(tmp_path, test)


def test_servers_that_are_slow_dead_or_gone_are_passed_over(
    container: Container, tmp_path: Path
) -> None:
    async def test(node: Node) -> None:
        node.resolv_conf.write_text(
            "nameserver 127.0.0.1\nnameserver 127.0.0.2\nnameserver 127.0.0.3\n"
        )
        await told(node, container)
        async with upstream("127.0.0.3", says("3.3.3.3")) as last:
            assert values(await asked(container, "a.org")) == ["3.3.3.3"]  # nobody else is there
            async with upstream("127.0.0.1", says_nothing) as first:
                began = time.monotonic()
                assert values(await asked(container, "b.org")) == ["3.3.3.3"]
                assert time.monotonic() - began > 0.9

                assert values(await asked(container, "c.org")) == ["3.3.3.3"]
                assert len(first.heard) == 1  # it is asked last for a while
            assert len(last.heard) == 3

    on_a_node(tmp_path, test)


def test_all_servers_silent_is_a_failure_in_time(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        async with upstream("127.0.0.1", says_nothing):
            message = await asked(container, "a.org", within_s=20)

        assert message.rcode() == dns.rcode.SERVFAIL

    on_a_node(tmp_path, test)


def test_cut_answers_are_fetched_whole(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        many = [f"1.1.1.{each}" for each in range(100)]
        async with upstream("127.0.0.1", says(is_truncated=True), says(*many)) as server:
            first = await asked(container, "a.org")
            (whole,) = await asked_by_tcp(container, "a.org")

            assert first.flags & dns.flags.TC
            assert len(values(whole)) == 100
            assert len(server.heard) == 2

    on_a_node(tmp_path, test)


def test_lies_are_not_believed(container: Container, tmp_path: Path) -> None:
    async def lie(question: bytes) -> list[bytes]:
        ident = int.from_bytes(question[:2], "big")
        forged = [
            reply(question, "a.org. 60 A 6.6.6.6", ident=each ^ ident) for each in range(1, 50)
        ]
        other = reply(ask("b.org", ident=ident), "b.org. 60 A 6.6.6.6")
        return [*forged, other, b"x", reply(question, "a.org. 60 A 1.2.3.4")]

    async def test(node: Node) -> None:
        await told(node, container)
        async with upstream("127.0.0.1", lie):
            assert values(await asked(container, "a.org")) == ["1.2.3.4"]

    on_a_node(tmp_path, test)


def test_the_hosts_configuration_is_read_again(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        async with upstream("127.0.0.1", says("1.1.1.1")), upstream("127.0.0.2", says("2.2.2.2")):
            assert values(await asked(container, "a.org")) == ["1.1.1.1"]
            node.resolv_conf.write_text("nameserver 127.0.0.2\n# changed\n")

            number, found = 0, ["1.1.1.1"]
            deadline = time.monotonic() + 15
            while found == ["1.1.1.1"]:
                assert time.monotonic() < deadline
                number += 1
                found = values(await asked(container, f"n{number}.org"))
                await asyncio.sleep(0.05)
            assert found == ["2.2.2.2"]

    on_a_node(tmp_path, test)


def test_servers_of_a_container_are_asked_from_within_it(
    container: Container, tmp_path: Path
) -> None:
    """The same address is another server in the container than on the host."""

    async def test(node: Node) -> None:
        await told(node, container, servers=("127.0.0.11", "127.0.0.7"))
        async with (
            upstream("127.0.0.7", says("1.1.1.1")) as hosts,
            upstream("127.0.0.7", says("7.7.7.7"), where=container) as own,
        ):
            assert values(await asked(container, "a.org")) == ["7.7.7.7"]
            assert values((await asked_by_tcp(container, "b.org"))[0]) == ["7.7.7.7"]
            assert (len(hosts.heard), len(own.heard)) == (0, 2)

    on_a_node(tmp_path, test)


def test_the_hosts_own_namespace_is_never_served(tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        with pytest.raises(KernelRefused, match="host's own"):
            await told(node, node.host)
        assert node.pids() == []

    if os.geteuid() != 0:
        pytest.skip("needs root")
    on_a_node(tmp_path, test)


def test_a_killed_service_comes_back_and_no_question_is_lost(
    container: Container, tmp_path: Path
) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        await asked(container, "web")
        slowest, pid = 0.0, await node.pid()
        for number in range(60):
            if number == 20:
                os.kill(pid, signal.SIGKILL)
            began = time.monotonic()
            assert values(await asked(container, "tasks.web")) == ["10.0.1.5", "10.0.1.6"]
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.005)

        assert await node.pid() != pid
        print(f"killed with -9: the slowest answer took {slowest * 1000:.0f} ms")

    on_a_node(tmp_path, test)


def test_answers_go_on_without_an_agent_and_the_next_one_takes_over(tmp_path: Path) -> None:
    """1. The agent dies; both containers are answered as before.

    2. One of them ends. Nobody hears of it, so its namespace stays.
    3. A new agent knows the other one only: the namespace of the first is let go.
    4. The service dies, and no question to the adopted container's is lost: the new agent
       got its sockets.
    5. Agent and service die both. The next agent opens new sockets, once, however often it is told.
    6. No container and no agent is left: the service goes by itself.
    """

    async def test(node: Node) -> None:
        with containers(2, f"dnsa{os.getpid()}_") as (gone, stays):
            holder = stays.start("sleep", "1000")
            try:
                for name, each in (("gone0", gone), ("stays0", stays)):
                    peer = ("peer", "name", "p0", "netns", each.name)
                    subprocess.run(["ip", "link", "add", name, "type", "veth", *peer], check=True)
                first = await told(node, gone, stays)
                await asked(gone, "web")
                pid = await node.pid()

                await first.close()
                assert values(await asked(gone, "web")) == ["10.0.1.2"]
                assert values(await asked(stays, "web")) == ["10.0.1.2"]
                gone.forget()
                assert has_link("gone0")

                second = node.agent()
                about = (asker(task="t2"), holder.pid)
                await until("nsenter did", lambda: in_namespace(holder.pid, stays))
                await second.apply(Changes())
                await second.reconcile({TaskId("t2"): about})
                await until("the namespace is let go", lambda: not has_link("gone0"))
                assert values(await asked(stays, "web")) == ["10.0.1.2"]
                assert node.pids() == [pid]

                await second.apply(Changes(put=RECORDS))
                await until("the sockets are handed over", lambda: second.has_sockets(TaskId("t2")))
                os.kill(pid, signal.SIGKILL)
                assert values(await asked(stays, "web")) == ["10.0.1.2"]
                assert await node.pid() != pid

                await second.close()
                os.kill(await node.pid(), signal.SIGKILL)
                third = node.agent()
                await third.apply(Changes(put=RECORDS))
                await third.reconcile({TaskId("t2"): about}, is_all=False)
                while not third.has_sockets(TaskId("t2")):
                    again = third.reconcile({TaskId("t2"): about})
                    await asyncio.gather(again, asyncio.sleep(0.001))
                await until_value(stays, "web", ["10.0.1.2"])

                stays.forget()
                holder.kill()
                holder.communicate()
                await third.reconcile({})
                await until("nothing holds it", lambda: not has_link("stays0"))
                await third.close()
                await until("the service went", lambda: node.pids() == [], within_s=20)
            finally:
                holder.kill()
                holder.communicate()

    if os.geteuid() != 0:
        pytest.skip("needs root")
    on_a_node(tmp_path, test)


async def until_value(container: Container, name: str, wanted: list[str]) -> None:
    """What is asked while its sockets are opened anew may be lost, and is asked again."""
    deadline = time.monotonic() + 10
    while True:
        try:
            if values(await asked(container, name, within_s=0.5)) == wanted:
                return
        except (TimeoutError, ConnectionError):
            pass
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def has_link(name: str) -> bool:
    return (
        name
        in subprocess.run(["ip", "-br", "link"], check=True, capture_output=True, text=True).stdout
    )


def in_namespace(pid: int, container: Container) -> bool:
    return Path(f"/proc/{pid}/ns/net").stat().st_ino == os.fstat(container.descriptor).st_ino


def test_a_service_of_another_version_is_replaced(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        path = node.run_root / "dns.sock"
        unix.bind(listener, str(path), 1)
        names = await told(node, container)
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(listener)
        with connection, listener:
            await loop.sock_sendall(connection, encode(Welcome(PROTOCOL, "0.0.0", 1)))
            assert b'"leave"' in await loop.sock_recv(connection, 1000)
            path.unlink()

        assert values(await asked(container, "web")) == ["10.0.1.2"]
        assert (await names.counted()).containers == 1

    on_a_node(tmp_path, test)


def test_a_node_that_leaves_its_swarm_has_no_service(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        names = await told(node, container)
        await asked(container, "web")

        await names.close()
        await names.end()

        await until("the service went", lambda: node.pids() == [])
        assert not (node.run_root / "dns.sock").exists()

    on_a_node(tmp_path, test)


def test_a_crash_leaves_its_reason(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        await told(node, container)
        await asked(container, "web")

        log = node.run_root / "dns.log"
        assert Path(f"/proc/{await node.pid()}/fd/2").readlink() == log

    on_a_node(tmp_path, test)


def test_without_descriptors_the_rest_goes_on(container: Container, tmp_path: Path) -> None:
    """1. The service has no descriptors left, and callers are queueing.

    2. What comes by UDP is answered as ever, without the loop turning in vain.
    3. The callers leave, and the next ones are served.
    """

    async def test(node: Node) -> None:
        await told(node, container)
        await asked(container, "web")
        pid = await node.pid()
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        highest = max(int(each.name) for each in Path(f"/proc/{pid}/fd").iterdir())
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (highest + 3, limits[1]))
        waiting = [await connected(container) for _ in range(10)]

        before = cpu_s(pid), time.monotonic()
        while time.monotonic() - before[1] < 1:
            assert values(await asked(container, "web")) == ["10.0.1.2"]
            await asyncio.sleep(0.02)
        assert cpu_s(pid) - before[0] < 0.5

        for each in waiting:
            each.close()
        assert values((await asked_by_tcp(container, "web"))[0]) == ["10.0.1.2"]

    on_a_node(tmp_path, test)


async def connected(container: Container) -> socket.socket:
    with entered(container.descriptor):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    await asyncio.get_running_loop().sock_connect(made, RESOLVER)
    return made


def test_noise_does_not_hurt(container: Container, tmp_path: Path) -> None:
    async def test(node: Node) -> None:
        names = await told(node, container)
        await asked(container, "web")
        pid, chance = await node.pid(), random.Random(5)
        with entered(container.descriptor):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        with udp:
            udp.connect(RESOLVER)
            for number in range(3000):
                whole = ask("tasks.many.back", payload=number % 2 * 1232)
                place, size = chance.randrange(len(whole)), chance.randrange(8)
                udp.send(whole[:place] + chance.randbytes(size) + whole[place + size // 2 :])
                if number % 50 == 0:  # it has read all of it once it answers what comes after
                    await asked(container, "web")
        for number in range(50):
            await babble(container, chance.randbytes(number * 7))
        await babble(container, b"\xff\xff" + bytes(70000))

        assert values(await asked(container, "web")) == ["10.0.1.2"]
        assert await node.pid() == pid
        counts = (await names.counted()).networks
        assert sum(each.failures for each in counts.values()) > 100

    on_a_node(tmp_path, test)


async def babble(container: Container, noise: bytes) -> None:
    with await connected(container) as made, suppress(ConnectionError):  # it may hang up on us
        await asyncio.get_running_loop().sock_sendall(made, noise)


def test_a_question_that_cannot_be_answered_is_told_so(
    container: Container, tmp_path: Path
) -> None:
    async def test(node: Node) -> None:
        await told(node, container)

        message = await sent(container, ask("web")[:-1])

        assert message.rcode() == dns.rcode.FORMERR

    on_a_node(tmp_path, test)


def test_thousands_of_questions_a_second(container: Container, tmp_path: Path) -> None:
    rate, seconds, callers = 2000, 3, 20

    async def test(node: Node) -> None:
        names = await told(node, container)
        await asked(container, "web")
        pid = await node.pid()
        before, began, latencies = cpu_s(pid), time.monotonic(), list[float]()

        async def ask_often(number: int) -> None:
            loop = asyncio.get_running_loop()
            with entered(container.descriptor):
                made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            with made:
                made.connect(RESOLVER)
                for turn in range(rate * seconds // callers):
                    await asyncio.sleep(began + turn * callers / rate - time.monotonic())
                    packet = PACKETS[(number + turn) % len(PACKETS)]
                    asked_at = time.monotonic()
                    await loop.sock_sendall(made, packet)
                    async with asyncio.timeout(15):
                        assert (await loop.sock_recv(made, 4096))[:2] == packet[:2]
                    latencies.append(time.monotonic() - asked_at)

        await asyncio.gather(*map(ask_often, range(callers)))

        took, computed = time.monotonic() - began, cpu_s(pid) - before
        latencies.sort()
        assert len(latencies) == rate * seconds
        assert (await names.counted()).networks["n1"].queries >= rate * seconds
        assert computed < took / 2
        print(
            f"{len(latencies) / took:.0f} questions/s, {computed / len(latencies) * 1e6:.0f} us of "
            f"CPU each; p50 {latencies[len(latencies) // 2] * 1e3:.2f} ms, "
            f"p99 {latencies[-len(latencies) // 100] * 1e3:.2f} ms as the asking loop sees it"
        )

    on_a_node(tmp_path, test)


PACKETS = [
    ask(name, kind, ident=number)
    for number, (name, kind) in enumerate(
        (name, kind)
        for name in ("web", "tasks.web", "web.1", "www.back", "6.1.0.10.in-addr.arpa")
        for kind in ("A", "AAAA", "PTR")
    )
]


def test_a_thousand_containers(tmp_path: Path) -> None:
    count = 1000

    async def test(node: Node) -> None:
        namespaces = [fresh() for _ in range(count)]
        try:
            names = node.agent()
            await names.apply(Changes(put=RECORDS))
            began, cpu = time.monotonic(), time.process_time()
            for number, netns in enumerate(namespaces):
                await names.serve(TaskId(f"c{number}"), netns, asker(task=f"c{number}"))
            took, cpu = time.monotonic() - began, time.process_time() - cpu
            for number in (0, count // 2, count - 1):
                assert await answered_in(namespaces[number])
            pid = await node.pid()
            memory, before = memory_kb(pid), len(list(Path(f"/proc/{pid}/fd").iterdir()))

            os.kill(pid, signal.SIGKILL)
            died = time.monotonic()
            assert await answered_in(namespaces[-1])
            back = time.monotonic() - died

            print(
                f"{count} containers: {took / count * 1e3:.2f} ms each ({cpu / count * 1e3:.2f} ms "
                f"of the agent's CPU), {memory} kB, {before} descriptors; after kill -9 the last "
                f"of them was answered in {back * 1e3:.0f} ms"
            )
            assert memory["Rss"] < 40_000
            assert before < 2 * count + 20
            assert back < 5
        finally:
            for each in namespaces:
                os.close(each)

    if os.geteuid() != 0:
        pytest.skip("needs root")
    on_a_node(tmp_path, test)


def fresh() -> int:
    """A namespace with its loopback up and no name."""
    home = mine()
    try:
        kernel.unshare(k.CLONE_NEWNET)
        made = mine()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return made
    finally:
        kernel.setns(home, k.CLONE_NEWNET)
        os.close(home)


async def answered_in(netns: int) -> bool:
    loop = asyncio.get_running_loop()
    with entered(netns):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with made:
        made.connect(RESOLVER)
        await loop.sock_sendall(made, ask("web"))
        async with asyncio.timeout(15):
            message = dns.message.from_wire(await loop.sock_recv(made, 512))
    return values(message) == ["10.0.1.2"]
