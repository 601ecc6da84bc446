import pytest
from msgspec.structs import replace

from agent.containers import Node
from agent.rights import Fences
from agent.standalone import making
from agent.standalone.lending import Lent
from agent.standalone.making import (
    NO_ENTRYPOINT,
    argv,
    environment,
    exposed,
    is_final,
    made,
    placed,
)
from agent.standalone.record import Record
from agent.templates import Host
from runtime.oci.config import IdMapping
from runtime.spec import ContainerSpec as Made
from runtime.spec import UserNamespace
from swarm.errors import Invalid, Refused
from swarm.ids import NetworkId, NodeId
from swarm.images.config import ImageConfig
from swarm.objects import Attachment
from swarm.specs import ContainerSpec, Mount, Port, Protocol
from swarm.standalone import StandaloneSpec

NODE = Node(
    host=Host(node_id=NodeId("n"), hostname="host1"), containers="/c", volumes="/v",
    cgroup_parent="swarmd", hosts="127.0.0.1 localhost\n", resolv="nameserver 9.9.9.9\n",
)  # fmt: skip
IMAGE = ImageConfig(
    entrypoint=("/enter",), cmd=("run",), env=("PATH=/bin", "COLOUR=red"), user="me",
    exposed_ports=("80/tcp",), stop_signal="SIGINT", labels={"of": "image"},
)  # fmt: skip
BRIDGED = Lent(
    attachments=(Attachment(network_id=NetworkId("bridge"), addresses=("172.17.0.2",)),),
    gateway="172.17.0.1",
)


def record(image: ImageConfig = IMAGE, mounts: tuple[Mount, ...] = (), **fields: object) -> Record:
    inner = {k: fields.pop(k) for k in tuple(fields) if k in ContainerSpec.__struct_fields__}
    spec = StandaloneSpec(name="it", container=ContainerSpec(image="i", **inner), **fields)
    return Record(
        id="e" * 64, spec=spec, image_id="sha256:1", image=image, created_at=1.0, mounts=mounts
    )


def make(found: Record, lent: Lent = BRIDGED, node: Node = NODE) -> Made:
    return made(
        found, ("/layer",), node, own="/own", mounts=placed(found, node, own="/own"), lent=lent,
        hostname=making.own_hostname(found, node, lent),
    )  # fmt: skip


def files(found: Made) -> dict[str, str]:
    return {each.path: each.content for each in found.files}


@pytest.mark.parametrize(
    ("command", "args", "runs"),
    [
        ((), (), ("/enter", "run")),
        ((), ("this",), ("/enter", "this")),
        (("/other",), (), ("/other",)),
        (("/other",), ("x",), ("/other", "x")),
        (NO_ENTRYPOINT, ("x",), ("x",)),
    ],
)
def test_words_replace_those_of_the_image(
    command: tuple[str, ...], args: tuple[str, ...], runs: tuple[str, ...]
) -> None:
    assert argv(ContainerSpec(command=command, args=args), IMAGE) == runs


def test_without_any_words_nothing_runs() -> None:
    for asked in (ContainerSpec(), ContainerSpec(command=NO_ENTRYPOINT)):
        with pytest.raises(Invalid, match="no command specified"):
            argv(asked, ImageConfig())


def test_a_variable_without_a_value_is_taken_away() -> None:
    asked = ContainerSpec(env=("A=1", "COLOUR", "A=2"))
    found = environment(asked, IMAGE, "it", ("LINK=x",))
    assert found[0] == "PATH=/bin"
    assert set(found[1:]) == {"HOSTNAME=it", "LINK=x", "A=2"}


def test_a_terminal_has_a_type_that_may_be_replaced() -> None:
    assert "TERM=xterm" in environment(ContainerSpec(tty=True), IMAGE, "it")
    own = environment(ContainerSpec(tty=True, env=("TERM=dumb",)), IMAGE, "it")
    assert "TERM=dumb" in own
    assert "TERM=xterm" not in own


def test_its_layer_lasts_and_its_name_is_its_id_s_beginning() -> None:
    found = make(record())
    assert found.rootfs.is_synced
    goes = make(record(auto_remove=True)).rootfs
    assert (goes.lasting, goes.is_synced) == (True, False)
    assert (found.id, found.hostname) == ("e" * 64, "e" * 12)
    assert found.awaits_network
    assert found.annotations == {"of": "image", "swarm.container.name": "it"}


def test_on_the_host_it_has_the_host_s_names() -> None:
    found = make(record(), Lent(on_host=True))
    assert (found.host_network, found.hostname) == (True, "host1")
    assert files(found)["/etc/resolv.conf"] == NODE.resolv
    assert files(found)["/etc/hosts"] == NODE.hosts


def test_hosts_may_be_the_node_itself() -> None:
    found = files(make(record(hosts=("up:host-gateway", "x:1.2.3.4"), domainname="example.org")))
    assert "172.17.0.1\tup\n" in found["/etc/hosts"]
    assert "1.2.3.4\tx\n" in found["/etc/hosts"]
    assert f"172.17.0.2\t{'e' * 12}.example.org {'e' * 12}\n" in found["/etc/hosts"]
    assert found["/etc/hostname"] == f"{'e' * 12}\n"
    with pytest.raises(Refused, match="no way to its node"):
        make(record(hosts=("up:host-gateway",)), Lent())


def test_a_file_that_is_mounted_over_is_not_ours() -> None:
    found = make(record(mounts=(Mount(source="v", target="/etc/hosts/"),)))
    assert sorted(files(found)) == ["/etc/hostname", "/etc/resolv.conf"]


def test_memory_that_was_asked_for_is_mounted_too() -> None:
    (found,) = make(record(tmpfs={"/run": "exec"})).mounts
    assert (found.target, found.options) == ("/run", ("exec",))


def test_what_this_node_refuses_is_refused() -> None:
    ids = (IdMapping(container_id=0, host_id=100000, size=65536),)
    mapped = replace(NODE, fences=Fences(user_namespace=UserNamespace(uids=ids, gids=ids)))
    with pytest.raises(Refused, match="privileged"):
        make(record(privileged=True), node=mapped)
    with pytest.raises(Refused, match="networks: host"):
        make(record(), Lent(on_host=True), mapped)


def test_ports_are_exposed_by_image_spec_and_publishing() -> None:
    spec = StandaloneSpec(
        exposed=("53/udp", "9"), ports=(Port(target=443), Port(target=53, protocol=Protocol.UDP))
    )
    assert exposed(spec, IMAGE) == ("53/udp", "9/tcp", "80/tcp", "443/tcp")


def test_some_signals_are_meant_to_end_it() -> None:
    assert is_final(record(), 2)  # the image's own
    assert is_final(record(), 9)
    assert is_final(record(), 15)
    assert not is_final(record(), 1)
