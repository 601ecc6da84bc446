"""How 127.0.0.11:53 becomes another port and back, without any connection being tracked.

Both directions are rewritten where packets leave a socket, before the loopback device: the
question at the priority `raw`, before conntrack would see it, and the answer at 300, after
it. So a container that tracks connections itself sees whole ones, to the other port.
"""

import os
from collections.abc import Iterator

import pytest

from tests.kernel.dns_namespaces import Container

PORT = 61053

REWRITING = f"""
table ip swarm_dns {{
 chain ask {{
  type filter hook output priority raw
  ip daddr 127.0.0.11 udp dport 53 udp dport set {PORT}
  ip daddr 127.0.0.11 tcp dport 53 tcp dport set {PORT}
 }}
 chain answer {{
  type filter hook output priority 300
  ip saddr 127.0.0.11 udp sport {PORT} udp sport set 53
  ip saddr 127.0.0.11 tcp sport {PORT} tcp sport set 53
 }}
}}
"""
TRACKING = """
table inet own {
 chain in {
  type filter hook input priority 0; policy drop
  ct state established,related accept
  ip daddr 127.0.0.11 accept
  udp dport 53 accept
 }
 chain out {
  type nat hook output priority -100
 }
}
"""
SERVER = f"""
import select, socket
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("127.0.0.11", {PORT}))
tcp = socket.create_server(("127.0.0.11", {PORT}))
print("ready", flush=True)
while True:
    for each in select.select([udp, tcp], [], [])[0]:
        if each is udp:
            said, whom = udp.recvfrom(65535)
            udp.sendto(said * 2, whom)
        else:
            caller, _ = tcp.accept()
            with caller:
                caller.sendall(caller.recv(65535) * 20000)
"""
CLIENT = """
import socket
own_udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
own_udp.bind(("0.0.0.0", 53))
own_tcp = socket.create_server(("0.0.0.0", 53))
def udp():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.settimeout(15)
    return made
asking = udp()
asking.connect(("127.0.0.11", 53))
asking.send(b"connected")
print(asking.recv(100).decode())
asking = udp()
asking.sendto(b"x" * 3000, ("127.0.0.11", 53))
heard, whom = asking.recvfrom(65535)
print(len(heard), *whom)
caller = socket.create_connection(("127.0.0.11", 53), 15)
caller.sendall(b"much")
size = 0
while heard := caller.recv(65536):
    size += len(heard)
print(size)
udp().sendto(b"own", ("127.0.0.1", 53))
own_udp.settimeout(15)
print(own_udp.recv(10).decode())
"""

pytestmark = pytest.mark.kernel


@pytest.fixture
def container() -> Iterator[Container]:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Container(f"dnsrw{os.getpid()}") as made:
        yield made


@pytest.mark.parametrize("tracking", ["", TRACKING])
def test_port_53_is_rewritten_though_the_container_has_it_itself(
    container: Container, tracking: str
) -> None:
    container.run("nft", "-f", "-", given=REWRITING + tracking)
    server = container.start("python3", "-c", SERVER)
    try:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"

        heard = container.run("python3", "-c", CLIENT)

        assert heard.splitlines() == ["connectedconnected", "6000 127.0.0.11 53", "80000", "own"]
    finally:
        server.kill()
        server.communicate()
