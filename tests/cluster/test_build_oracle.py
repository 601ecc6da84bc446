"""What dockerd's own builder makes of a Dockerfile, we make too: configuration, history, layers.

Run with ORACLE=1, as `make oracle` does.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swarm.errors import SwarmError
from tests.cluster.engines import Docker
from tests.images import docker_archive
from tests.kernel.builder import HISTORY, Builder, Hearing
from tests.kernel.machine import Machine, wait_for

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(os.environ.get("ORACLE") != "1", reason="make oracle asks dockerd"),
]

_DIGEST = re.compile(r"(file|dir|multi):[0-9a-f]{64}")
_OF_THEIR_CONTAINERS = ("Image", "Hostname")
DOCKERFILES = {
    "files": """FROM busy:1 AS first
RUN echo built > /file; mkdir -m 700 /dir; ln -s /file /dir/link; rm /bin/yes
FROM busy:1
COPY --from=first /file /dir /copied/
COPY given sub /given/
COPY given /new/dir/name
COPY --chown=7:8 sub /chowned
COPY su? given /wild/
ADD a.tar.gz /untar/
WORKDIR /work
WORKDIR sub/x
RUN pwd > where; chmod 600 where; rm -r /chowned
""",
    "words": """ARG TAG=1
FROM busy:${TAG}
ARG WHO=nobody
ARG OTHER
ENV WHO2=$WHO A="b c" X=${UNSET:-def}
ENV old form  value
LABEL kind=test "a b"="c d"
MAINTAINER me <me@example.org>
RUN echo $WHO > /who
RUN true
USER 7
EXPOSE 81 90-92/udp
SHELL ["/bin/sh", "-ec"]
HEALTHCHECK --interval=90s --timeout=1500ms --retries=3 CMD wget -q x
HEALTHCHECK --start-period=1h CMD ["a","b"]
STOPSIGNAL SIGUSR1
ONBUILD RUN echo triggered > /triggered
ENTRYPOINT ["sh","-c"]
CMD ["a \\"quoted\\"", "\u00e9"]
VOLUME ["/v3", "/v 4"]
USER 0
RUN echo lost > /v3/x
""",
    "child": "FROM made:words\nCMD echo shell form\n",
    "scratch": "FROM scratch\nCOPY given /\n",
}
FAILING = {
    "exit": "FROM busy:1\nRUN exit 9\n",
    "word": "FROM busy:1\nNONSENSE x\n",
    "absent": "FROM busy:1\nCOPY nothere /x\n",
    "many": "FROM busy:1\nCOPY given sub /x\n",
    "none": "FROM busy:1\nCOPY nope* /x/\n",
    "outside": "FROM busy:1\nCOPY ../given /x/\n",
    "owner": "FROM busy:1\nCOPY --chown=bob given /b\n",
}


@pytest.fixture
def docker() -> Iterator[Docker]:
    made = Docker(shutil.which("runc") or "runc")
    made.environment["DOCKER_BUILDKIT"] = "0"
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path / "m")
    try:
        made.start_launcher()
        wait_for("the launcher listens", made.socket.exists)
        yield made
    finally:
        made.close()


def context(place: Path) -> Path:
    """Files for all of them."""
    (place / "sub/deep").mkdir(parents=True)
    (place / "sub/deep").chmod(0o700)
    (place / "given").write_text("given\n")
    (place / "sub/s").write_text("s\n")
    (place / "sub/link").symlink_to("s")
    (place / "in").mkdir()
    (place / "in/f").write_text("f\n")
    with tarfile.open(place / "a.tar.gz", "w:gz") as archive:
        archive.add(place / "in", arcname="in")
    return place


def packed(place: Path) -> bytes:
    path = place.with_suffix(".tar")
    subprocess.run(["tar", "--owner=0", "--group=0", "-C", place, "-cf", path, "."], check=True)
    return path.read_bytes()


def test_images_are_what_dockerd_makes_them(
    docker: Docker, machine: Machine, tmp_path: Path
) -> None:
    place = context(tmp_path / "context")
    for name, text in (DOCKERFILES | FAILING).items():
        (place / name).write_text(text)
    base = docker_archive(tmp_path / "base.tar", "busy:1", config={"Env": ["PATH=/bin"]},
                          top={"history": HISTORY})  # fmt: skip
    docker.cli("load", "-i", str(base))
    theirs = {name: their_image(docker, place, name, tmp_path) for name in DOCKERFILES}
    their_words = {name: their_failure(docker, place, name) for name in FAILING}

    async def build() -> tuple[dict[str, Any], dict[str, str]]:
        builder = Builder(machine)
        try:
            await builder.load(base)
            sent = packed(place)
            images: dict[str, Any] = {}
            for name in DOCKERFILES:
                await builder.build(context=sent, dockerfile=name, tags=(f"made:{name}",),
                                    args={"WHO": "me"}, labels={"z": "y w"})  # fmt: skip
                images[name] = await our_image(builder, name)
            words = {name: await our_failure(builder, sent, name) for name in FAILING}
            await builder.check()
            return images, words
        finally:
            await builder.close()

    ours, our_words = asyncio.run(build())

    for name in DOCKERFILES:
        assert ours[name]["config"] == theirs[name]["config"]
        assert ours[name]["history"] == theirs[name]["history"]
        assert ours[name]["layers"] == theirs[name]["layers"]
    for name in FAILING:
        assert our_words[name] == their_words[name]


def their_image(docker: Docker, place: Path, name: str, scratch: Path) -> dict[str, Any]:
    docker.cli("build", "-q", "-t", f"made:{name}", "-f", f"{place}/{name}", "--network", "none",
               "--build-arg", "WHO=me", "--label", "z=y w", str(place))  # fmt: skip
    saved, out = scratch / "saved.tar", scratch / f"out-{name}"
    docker.cli("save", "-o", str(saved), f"made:{name}")
    with tarfile.open(saved) as archive:
        archive.extractall(out, filter="tar")
    (manifest,) = json.loads((out / "manifest.json").read_text())
    document = json.loads((out / manifest["Config"]).read_text())
    layers: list[list[tuple[object, ...]]] = []
    for layer in manifest["Layers"]:
        with tarfile.open(out / layer) as archive:
            layers.append(sorted(told(each, archive) for each in archive))
    return compared(document, layers)


def told(entry: tarfile.TarInfo, archive: tarfile.TarFile) -> tuple[object, ...]:
    content = ""
    if entry.isreg():
        file = archive.extractfile(entry)
        assert file is not None
        content = hashlib.sha256(file.read()).hexdigest()
    is_whiteout = entry.name.rpartition("/")[2].startswith(".wh.")
    mode = 0 if entry.issym() or is_whiteout else entry.mode & 0o7777
    return (entry.name.rstrip("/"), mode, entry.uid, entry.gid, entry.linkname, content)


async def our_image(builder: Builder, name: str) -> dict[str, Any]:
    document = builder.config(f"made:{name}")
    found = (await builder.rootfs(f"made:{name}")).layer_dirs
    layers = [sorted(told_of(each, layer) for each in layer.rglob("*")) for layer in found]
    return compared(document, layers[::-1])


def told_of(path: Path, root: Path) -> tuple[object, ...]:
    status = path.lstat()
    name = path.relative_to(root)
    if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
        return (str(name.with_name(f".wh.{name.name}")), 0, 0, 0, "", hashlib.sha256().hexdigest())
    is_link = stat.S_ISLNK(status.st_mode)
    content = (
        hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not is_link else ""
    )
    return (
        str(name),
        0 if is_link else stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
        str(path.readlink()) if is_link else "",
        content,
    )


def compared(document: dict[str, Any], layers: list[list[tuple[object, ...]]]) -> dict[str, Any]:
    config = {
        name: value
        for name, value in document["config"].items()
        if value and name not in _OF_THEIR_CONTAINERS
    }
    history = [
        (
            _DIGEST.sub(r"\1", each.get("created_by", "")).replace("7:8dir", "7:8 dir"),
            each.get("empty_layer", False),
            each.get("author", ""),
        )
        for each in document.get("history", [])
    ]
    return {"config": config, "history": history, "layers": layers}


def their_failure(docker: Docker, place: Path, name: str) -> str:
    asked = ("build", "-f", f"{place}/{name}", "--network", "none", str(place))
    result = docker.cli(*asked, check=False)
    assert result.returncode
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return lines[-1].removeprefix("Error response from daemon: ")


async def our_failure(builder: Builder, sent: bytes, name: str) -> str:
    try:
        await builder.build(context=sent, dockerfile=name, hearing=Hearing())
    except SwarmError as err:
        return err.message
    raise AssertionError(f"{name} was built")
