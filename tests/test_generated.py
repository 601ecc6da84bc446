"""Generated code is committed; this fails when it no longer follows from proto/."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_generated_code_is_fresh(tmp_path: Path) -> None:
    protos = sorted(str(path) for path in (ROOT / "proto/swarm/api/v1").glob("*.proto"))

    outputs = [f"--python_out={tmp_path}", f"--grpc_python_out={tmp_path}"]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'proto'}"]
    subprocess.run([*protoc, *outputs, *protos], check=True, cwd=ROOT)

    fresh = {path.name: path.read_text() for path in tmp_path.rglob("*.py")}
    committed = {path.name: path.read_text() for path in (ROOT / "swarm/api/v1").glob("*_pb2*.py")}
    assert fresh == committed


def test_proto_is_no_python_package() -> None:
    assert not list((ROOT / "proto").rglob("*.py"))
