"""Make small images for tests from Debian's static busybox."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

BUSYBOX = Path("/bin/busybox")
APPLETS = (
    "sh", "ash", "cat", "echo", "env", "false", "hostname", "httpd", "id", "kill", "ls", "mount",
    "nc", "ps", "pwd", "seq", "sleep", "stat", "tail", "test", "touch", "true", "umount", "wc",
    "wget", "yes", "dd", "df", "mkdir", "rm", "date", "grep", "ip",
)  # fmt: skip


def layer(files: dict[str, bytes], *, busybox: bool = True) -> bytes:
    """An uncompressed layer with `files`, and busybox with its applets as symbolic links."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for directory in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"):
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            tar.addfile(entry)
        if busybox:
            files = {"bin/busybox": BUSYBOX.read_bytes()} | files
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
        for applet in APPLETS if busybox else ():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname, entry.mode = tarfile.SYMTYPE, "busybox", 0o777
            tar.addfile(entry)
    return raw.getvalue()


def docker_archive(
    path: Path, *names: str, cmd: tuple[str, ...] = ("sleep", "1000000"),
    layers: tuple[bytes, ...] = (), config: dict[str, object] | None = None,
    top: dict[str, object] | None = None,
) -> Path:  # fmt: skip
    """Write what `docker save` writes: busybox by default, running `cmd`.

    `config` is how it runs, `top` what else its configuration says.
    """
    blobs = layers or (
        layer({"etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n", "etc/group": b"root:x:0:\n"}),
    )
    described = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2024-01-01T00:00:00Z",
        "config": {"Cmd": list(cmd), "Env": ["PATH=/bin"]} | (config or {}),
        "rootfs": {
            "type": "layers",
            "diff_ids": [f"sha256:{hashlib.sha256(blob).hexdigest()}" for blob in blobs],
        },
    } | (top or {})
    body = json.dumps(described).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    entries = {f"{number}/layer.tar": blob for number, blob in enumerate(blobs)}
    manifest = [{"Config": config_name, "RepoTags": list(names), "Layers": list(entries)}]
    with tarfile.open(path, "w") as tar:
        for name, content in {
            config_name: body, **entries, "manifest.json": json.dumps(manifest).encode(),
        }.items():  # fmt: skip
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return path
