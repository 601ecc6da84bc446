"""Debian's docker-registry on a free port, filled by skopeo."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.etcd import free_port

USER, PASSWORD = "swarm", "swordfish"
HTPASSWD = (
    "swarm:$2y$04$1.NAoBOBpT3TBT5RPRQJiu3oqrP98X3pSbf8lw5HT2iK1XbqGZUyy"  # bcrypt of PASSWORD
)

installed = pytest.mark.skipif(
    not (shutil.which("docker-registry") and shutil.which("skopeo")),
    reason="needs docker-registry and skopeo (make setup)",
)


@contextmanager
def real_registry(directory: Path, *, login: bool = False) -> Iterator[str]:
    """Run a registry in `directory`; gives HOST:PORT. With `login` it wants USER and PASSWORD."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    auth = ""
    if login:
        (directory / "htpasswd").write_text(HTPASSWD + "\n")
        auth = f"auth:\n  htpasswd:\n    realm: test\n    path: {directory / 'htpasswd'}\n"
    (directory / "config.yml").write_text(
        f"version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n"
        f"    rootdirectory: {directory / 'storage'}\nhttp:\n  addr: 127.0.0.1:{port}\n{auth}"
    )
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(directory / "config.yml")], stdout=log, stderr=log
        )
    try:
        _wait(f"http://127.0.0.1:{port}/v2/", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def skopeo(*arguments: str) -> None:
    """Run skopeo, without the signature policy of this machine."""
    subprocess.run(
        ["skopeo", "--insecure-policy", *arguments], check=True, capture_output=True, timeout=60
    )


def push(source: str, address: str, name: str, *, login: bool = False) -> None:
    """Copy `source` (such as `docker-archive:FILE`) to the registry at `address`."""
    credentials = [f"--dest-creds={USER}:{PASSWORD}"] if login else []
    skopeo("copy", "--dest-tls-verify=false", *credentials, source, f"docker://{address}/{name}")


def _wait(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError as err:
            err.close()
            if err.code == 401:
                return
        except OSError:
            time.sleep(0.02)
    raise AssertionError(f"docker-registry does not answer at {url}")
