from pathlib import Path

from manager.groups import OWN_ETCD
from swarmd.etcd import EtcdConfig, Member, command, environment, last_words

ONE, TWO = Member("one", "https://10.0.0.1:2380"), Member("two", "https://10.0.0.2:2380")


def config(*members: Member, joins: bool = False, forces_new: bool = False) -> EtcdConfig:
    return EtcdConfig(
        name="one",
        data_dir=Path("/data/etcd"),
        client_url="https://127.0.0.1:2379",
        peer_url=ONE.peer_url,
        root_file=Path("/data/root.crt"),
        identity_file=Path("/data/identity.pem"),
        members=members,
        joins=joins,
        forces_new=forces_new,
    )


def flags(of: EtcdConfig) -> dict[str, str]:
    argv = command(of, parent_pid=42)
    return dict(arg.removeprefix("--").split("=", 1) for arg in argv[argv.index("etcd") + 1 :])


def test_etcd_ends_with_the_process_that_started_it() -> None:
    argv = command(config(), parent_pid=42)

    assert argv[:4] == ("setpriv", "--pdeathsig", "TERM", "--")
    assert argv[argv.index("etcd") - 1] == "42"


def test_clients_come_from_this_host_and_peers_from_outside() -> None:
    found = flags(config())

    assert found["listen-client-urls"] == "https://127.0.0.1:2379"
    assert found["listen-peer-urls"] == "https://10.0.0.1:2380"


def test_all_who_connect_must_be_managers() -> None:
    found = flags(config())

    for prefix in ("", "peer-"):
        assert found[f"{prefix}client-cert-auth"] == "true"
        assert found[f"{prefix}trusted-ca-file"] == "/data/root.crt"
    assert found["client-cert-allowed-hostname"] == "swarm-manager"
    assert found["peer-cert-allowed-hostname"] == "swarm-manager"
    assert found["enable-grpc-gateway"] == "false"


def test_etcd_takes_the_commits_that_the_store_makes() -> None:
    found = flags(config())

    assert int(found["max-txn-ops"]) == OWN_ETCD.operations
    assert int(found["max-request-bytes"]) == OWN_ETCD.bytes


def test_a_first_member_founds_a_cluster_of_one_and_is_quick_to_lead() -> None:
    found = flags(config())

    assert found["initial-cluster"] == "one=https://10.0.0.1:2380"
    assert found["initial-cluster-state"] == "new"
    assert int(found["election-timeout"]) == 250


def test_a_member_that_joins_names_all_and_is_patient() -> None:
    found = flags(config(ONE, TWO, joins=True))

    assert found["initial-cluster"] == "one=https://10.0.0.1:2380,two=https://10.0.0.2:2380"
    assert found["initial-cluster-state"] == "existing"
    assert int(found["election-timeout"]) == 1_000


def test_a_new_cluster_is_forced_only_when_asked_for() -> None:
    assert "force-new-cluster" not in flags(config(ONE, TWO))
    assert flags(config(ONE, TWO, forces_new=True))["force-new-cluster"] == "true"


def test_the_environment_of_others_does_not_configure_our_etcd() -> None:
    inherited = {"PATH": "/bin", "ETCD_NAME": "theirs", "NOTIFY_SOCKET": "/run/systemd/notify"}

    found = environment(inherited, notify_socket="@ours")

    assert found["PATH"] == "/bin"
    assert found["NOTIFY_SOCKET"] == "@ours"
    assert "ETCD_NAME" not in found


def test_its_last_words_are_its_last_complaint() -> None:
    log = b"""not json
{"level":"error","msg":"older"}
{"level":"fatal","msg":"discovery failed","error":"bind: address already in use"}
{"level":"warn","msg":"closing"}
{"level":"""

    assert last_words(log) == "discovery failed: bind: address already in use"
    assert not last_words(b"")
