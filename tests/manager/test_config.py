from pathlib import Path

import msgspec
import pytest

from manager.config import Config, read_config
from swarm.errors import Invalid
from swarm.ids import ClusterId, NodeId

CONFIG = Config(
    node_id=NodeId("n1"),
    cluster_id=ClusterId("c"),
    certificates_dir="/d/certificates",
    data_key_path="/d/data.key",
    etcd_endpoints=("https://127.0.0.1:2379",),
    listen_addr="0.0.0.0:2377",
    advertise_addr="10.0.0.1:2377",
    data_root="/d",
    run_root="/r",
)


def test_what_swarmd_writes_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "manager.json"
    path.write_bytes(msgspec.json.encode(CONFIG))

    assert read_config(path) == CONFIG


@pytest.mark.parametrize(
    ("change", "complaint"),
    [(b'"node_id":"n1",', "node_id"), (b'"listen_addr":"0.0.0.0:2377",', "listen_addr")],
)
def test_what_is_missing_is_named(tmp_path: Path, change: bytes, complaint: str) -> None:
    path = tmp_path / "manager.json"
    path.write_bytes(msgspec.json.encode(CONFIG).replace(change, b""))

    with pytest.raises(Invalid, match=complaint):
        read_config(path)


def test_an_unknown_field_is_no_field(tmp_path: Path) -> None:
    path = tmp_path / "manager.json"
    path.write_bytes(msgspec.json.encode(CONFIG).replace(b"{", b'{"colour":"blue",', 1))

    with pytest.raises(Invalid, match="colour"):
        read_config(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="absent"):
        read_config(tmp_path / "absent.json")
